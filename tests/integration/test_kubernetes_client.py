"""The client of a cluster's API, on an API server: its promises, and whose fault a failure is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.fault import Fault, Faults
from sandbox.kubernetes.server import KubernetesServer
from sandbox.local_cloud import read_manifests, resource_name
from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.warmup_job import SELECTOR
from shared.errors import (
    ClusterRefusedError,
    ClusterUnavailableError,
    ConfigurationError,
    EventError,
    InvalidEventError,
    TransientError,
)
from tests.contract.cluster_conformance import (
    Body,
    Cluster,
    ClusterConformance,
    World,
    names_of,
)
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.large_cluster import (
    PODS,
    make_large_object,
    make_large_spec,
    serve_large_cluster,
)
from tests.fakes.warmups import make_node, make_warmup

pytestmark = pytest.mark.integration

NAME = "warm-ray-ml-2-7-0-0123456789"
EMAIL = "prestream-image-reference@demo.iam.gserviceaccount.com"


def connect(
    kubernetes: KubernetesServer, folder: Path, token: str | None = None
) -> KubernetesCluster:
    """Connect as a user by a token; as the administrator if none is given."""
    tokens = {} if token is None else {"token": token}
    return connect_to(kubernetes.kubeconfig(GPU_CLUSTER.context, **tokens), folder)


def connect_to(kubeconfig: Body, folder: Path) -> KubernetesCluster:
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    directory = ClusterDirectory(Endpoints(kubeconfig=str(path)), namespace="prestream")
    return directory.connect(GPU_CLUSTER)


def make_namespace(kubernetes: KubernetesServer) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prestream"}}
    kubernetes.api.create("namespaces", body, user="admin")


@pytest.fixture
def cluster(kubernetes: KubernetesServer, tmp_path: Path) -> KubernetesCluster:
    make_namespace(kubernetes)
    return connect(kubernetes, tmp_path)


class ServedWorld:
    def __init__(self, kubernetes: KubernetesServer, cluster: KubernetesCluster) -> None:
        self._server = kubernetes
        self._cluster = cluster

    @property
    def cluster(self) -> Cluster:
        return self._cluster

    def place(self, body: Body) -> object:
        kind, metadata = resource_name(body), body["metadata"]
        created = self._server.api.create(kind, body, user="somebody")
        if body["kind"] != "Job" or "status" not in body:
            return created
        where = (metadata["name"], {"status": body["status"]}, metadata["namespace"])
        return self._server.api.patch(kind, *where, user="somebody", subresource="status")


class TestKubernetesCluster(ClusterConformance):
    @pytest.fixture
    def world(self, kubernetes: KubernetesServer, cluster: KubernetesCluster) -> World:
        return ServedWorld(kubernetes, cluster)


CALLS = [
    pytest.param(lambda cluster: cluster.fetch_job(NAME), id="fetch_job"),
    pytest.param(lambda cluster: cluster.create_job(make_warmup(NAME).body()), id="create_job"),
    pytest.param(lambda cluster: cluster.patch_job(NAME, {"spec": {}}), id="patch_job"),
    pytest.param(lambda cluster: cluster.delete_job(NAME, "uid"), id="delete_job"),
    pytest.param(lambda cluster: list(cluster.list_jobs(SELECTOR)), id="list_jobs"),
    pytest.param(lambda cluster: list(cluster.list_pods("a=b")), id="list_pods"),
    pytest.param(lambda cluster: list(cluster.list_pending_pods()), id="list_pending_pods"),
    pytest.param(lambda cluster: cluster.fetch_pod("p", "ml"), id="fetch_pod"),
    pytest.param(lambda cluster: list(cluster.list_events("reason=x")), id="list_events"),
    pytest.param(lambda cluster: list(cluster.list_pod_events("reason=x")), id="list_pod_events"),
    pytest.param(lambda cluster: cluster.fetch_node("gpu-1"), id="fetch_node"),
    pytest.param(lambda cluster: list(cluster.list_nodes()), id="list_nodes"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(400, InvalidEventError, id="bad-request"),
        pytest.param(401, ConfigurationError, id="unauthorized"),
        pytest.param(403, ClusterRefusedError, id="forbidden"),
        pytest.param(408, ClusterUnavailableError, id="timeout"),
        pytest.param(413, InvalidEventError, id="too-large"),
        pytest.param(415, ClusterRefusedError, id="media-type"),
        pytest.param(422, InvalidEventError, id="invalid"),
        pytest.param(429, ClusterUnavailableError, id="too-many"),
        pytest.param(500, ClusterUnavailableError, id="internal"),
        pytest.param(503, ClusterUnavailableError, id="unavailable"),
        pytest.param(504, ClusterUnavailableError, id="gateway-timeout"),
        pytest.param(0, ClusterUnavailableError, id="reset"),
    ],
)
def test_failure_is_classified(
    cluster: KubernetesCluster, faults: Faults, call: Any, status: int, error: type[EventError]
) -> None:
    faults.add(Fault("kubernetes", status=status))

    with pytest.raises(error) as caught:
        call(cluster)

    assert (caught.type is ConfigurationError) is (status == 401)
    assert str(GPU_CLUSTER) in str(caught.value)
    assert status == 0 or str(status) in str(caught.value)


def test_answer_that_is_no_json_is_a_transient_failure(
    cluster: KubernetesCluster, faults: Faults
) -> None:
    faults.add(Fault("kubernetes", status=204))

    with pytest.raises(TransientError, match="not JSON"):
        cluster.fetch_job(NAME)


def test_large_objects_are_read_in_pages_of_few(tmp_path: Path) -> None:
    body = make_large_object(make_large_spec(images=1, variables=1))
    with serve_large_cluster({PODS: (body, 7)}) as server:
        pods = connect_to(server.kubeconfig(GPU_CLUSTER.context), tmp_path).list_objects(
            "v1", "pods"
        )

        assert names_of(pods) == [f"app-00000{number}" for number in range(7)]

    assert [count for _, _, count in server.pages] == [7, 7, 6, 1, 2, 2, 2]


def test_read_whose_connection_breaks_off_is_sent_once_more(
    cluster: KubernetesCluster, kubernetes: KubernetesServer, faults: Faults
) -> None:
    kubernetes.api.create("nodes", make_node("gpu-1"), user="gke")
    faults.add(Fault("kubernetes", "GET", status=0, times=1))

    assert cluster.fetch_node("gpu-1") is not None


def test_write_whose_answer_is_lost_is_not_sent_again(
    cluster: KubernetesCluster, faults: Faults
) -> None:
    faults.add(Fault("kubernetes", "POST", status=0, times=1, applied=True))

    with pytest.raises(TransientError):
        cluster.create_job(make_warmup(NAME).body())

    assert cluster.fetch_job(NAME) is not None
    assert cluster.create_job(make_warmup(NAME).body()) is False


def test_client_does_not_follow_retry_after(cluster: KubernetesCluster, faults: Faults) -> None:
    faults.add(Fault("kubernetes", status=429, headers={"Retry-After": "1"}, times=1))

    with pytest.raises(TransientError, match="429"):
        list(cluster.list_nodes())


def test_missing_namespace_is_named_with_what_is_to_be_done(
    kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    cluster = connect(kubernetes, tmp_path)

    assert cluster.fetch_job(NAME) is None
    with pytest.raises(ConfigurationError, match=r"namespaces.*prestream.*manifests applied"):
        cluster.create_job(make_warmup(NAME).body())


@pytest.mark.parametrize(("token", "words"), [("of-nobody", "401 Unauthorized"), ("known", EMAIL)])
def test_user_without_rights_is_refused(
    kubernetes: KubernetesServer, tmp_path: Path, token: str, words: str
) -> None:
    kubernetes.add_user("known", EMAIL)
    cluster = connect(kubernetes, tmp_path, token=token)

    with pytest.raises(ConfigurationError, match=words):
        cluster.fetch_job(NAME)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("nodeSelector", {"a": "no value of a label!"}, r"422.*nodeSelector"),
        ("nodeSelectors", {}, "nodeSelectors"),
    ],
)
def test_body_that_the_server_refuses_is_an_invalid_event(
    cluster: KubernetesCluster, field: str, value: Any, words: str
) -> None:
    body = make_warmup(NAME).body()
    body["spec"]["template"]["spec"][field] = value

    with pytest.raises(InvalidEventError, match=words):
        cluster.create_job(body)


def test_conflict_that_leaves_nothing_is_no_success(
    cluster: KubernetesCluster, faults: Faults
) -> None:
    conflict = {
        "kind": "Status",
        "reason": "Conflict",
        "message": 'Operation cannot be fulfilled on resourcequotas "jobs"',
        "code": 409,
    }
    faults.add(Fault("kubernetes", "POST", status=409, body=conflict))

    with pytest.raises(TransientError, match="resourcequotas"):
        cluster.create_job(make_warmup(NAME).body())


def test_patch_of_any_version_that_is_in_conflict_is_a_transient_failure(
    cluster: KubernetesCluster, faults: Faults
) -> None:
    cluster.create_job(make_warmup(NAME).body())
    faults.add(Fault("kubernetes", "PATCH", 409))

    with pytest.raises(TransientError, match="409"):
        cluster.patch_job(NAME, {"spec": {"suspend": False}})
    assert not cluster.patch_job(NAME, {"metadata": {"resourceVersion": "1"}})


def test_error_that_is_no_status_is_quoted(cluster: KubernetesCluster, faults: Faults) -> None:
    faults.add(Fault("kubernetes", status=502, body={"oops": "a proxy"}))

    with pytest.raises(TransientError, match=r"502.*a proxy"):
        cluster.fetch_job(NAME)


@pytest.fixture
def crowded(cluster: KubernetesCluster, kubernetes: KubernetesServer) -> KubernetesCluster:
    for number in range(501):
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"}}
        kubernetes.api.create("nodes", body, user="gke")
    return cluster


def test_list_is_read_page_by_page(crowded: KubernetesCluster) -> None:
    assert len({node["metadata"]["name"] for node in crowded.list_nodes()}) == 501


def test_list_that_expires_between_two_pages_is_a_transient_failure(
    crowded: KubernetesCluster, kubernetes: KubernetesServer
) -> None:
    nodes = crowded.list_nodes()
    next(nodes)
    kubernetes.api.create("nodes", make_node("late"), user="gke")
    kubernetes.compact()

    with pytest.raises(TransientError, match="410"):
        list(nodes)


def test_every_call_is_within_the_rights_of_the_function_that_makes_warmups(
    kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    for body in read_manifests("demo"):
        kubernetes.api.create(resource_name(body), body, user="admin")
    kubernetes.api.create("nodes", make_node("gpu-1"), user="gke")
    kubernetes.add_user("known", EMAIL)
    cluster = connect(kubernetes, tmp_path, token="known")  # noqa: S106

    assert cluster.create_job(make_warmup(NAME).body()) is True
    assert cluster.patch_job(NAME, {"spec": {"suspend": False}}) is True
    job = cluster.fetch_job(NAME)
    assert job is not None
    assert [each["metadata"]["name"] for each in cluster.list_jobs(SELECTOR)] == [NAME]
    assert list(cluster.list_pods(f"batch.kubernetes.io/job-name={NAME}")) == []
    assert list(cluster.list_events("involvedObject.kind=Pod")) == []
    assert list(cluster.list_events("involvedObject.kind=Node", "default")) == []
    assert cluster.fetch_node("gpu-1") is not None
    assert len(list(cluster.list_nodes())) == 1
    cluster.delete_job(NAME, job["metadata"]["uid"])
    assert cluster.fetch_job(NAME) is None
