"""Objects of the embedded API server, through the client that the project uses."""

from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
import requests
from kubernetes.client.exceptions import ApiException

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.access import ADMIN_TOKEN
from sandbox.kubernetes.server import KubernetesServer

JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    yield server
    server.stop()


@pytest.fixture
def client(server: KubernetesServer) -> Iterator[Any]:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config_from_dict(
        server.kubeconfig("sandbox"), client_configuration=configuration
    )
    with kubernetes.client.ApiClient(configuration) as client:
        yield client


@pytest.fixture
def core(client: Any) -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(client)


@pytest.fixture
def batch(client: Any) -> kubernetes.client.BatchV1Api:
    return kubernetes.client.BatchV1Api(client)


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "nginx:1.27"}]},
    }


def job(name: str, **spec: Any) -> dict[str, Any]:
    template = {
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox"}],
        }
    }
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


def send(
    server: KubernetesServer,
    method: str,
    path: str,
    body: Any = None,
    content_type: str = "application/json",
) -> requests.Response:
    """Send what the client has no method for."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": content_type}
    url = f"http://{server.address}{path}"
    return requests.request(method, url, headers=headers, json=body, timeout=10)


def test_pod_gets_account_token_and_tolerations(core: Any) -> None:
    created = core.create_namespaced_pod("default", pod("plain"))

    assert created.spec.service_account_name == "default"
    assert created.spec.volumes[0].name.startswith("kube-api-access-")
    assert [one.key for one in created.spec.tolerations] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    assert (created.status.phase, created.status.qos_class) == ("Pending", "BestEffort")


def test_generation_counts_changes_of_spec(batch: Any) -> None:
    batch.create_namespaced_job("default", job("warm", suspend=True))

    labelled = batch.patch_namespaced_job("warm", "default", {"metadata": {"labels": {"a": "b"}}})
    resumed = batch.patch_namespaced_job("warm", "default", {"spec": {"suspend": False}})
    started = batch.patch_namespaced_job_status("warm", "default", {"status": {"active": 1}})

    assert labelled.metadata.generation == 1
    assert resumed.metadata.generation == 2
    assert (started.metadata.generation, started.status.active) == (2, 1)


def test_json_patch_with_failing_test_is_refused(server: KubernetesServer, core: Any) -> None:
    core.create_namespaced_config_map("default", {"metadata": {"name": "s"}, "data": {"a": "1"}})
    path = "/api/v1/namespaces/default/configmaps/s"
    replace = {"op": "replace", "path": "/data/a", "value": "2"}

    test = {"op": "test", "path": "/data/a", "value": "1"}
    applied = send(server, "PATCH", path, [test, replace], JSON_PATCH)
    failed = send(server, "PATCH", path, [test], JSON_PATCH)

    assert applied.json()["data"] == {"a": "2"}
    assert (failed.status_code, failed.json()["reason"]) == (422, "Invalid")


def test_strategic_patch_merges_containers_by_name(server: KubernetesServer, core: Any) -> None:
    core.create_namespaced_pod("default", pod("web"))
    patch = {"spec": {"containers": [{"name": "main", "image": "nginx:1.28"}]}}

    send(server, "PATCH", "/api/v1/namespaces/default/pods/web", patch, STRATEGIC_PATCH)

    container = core.read_namespaced_pod("web", "default").spec.containers[0]
    assert (container.image, container.termination_message_policy) == ("nginx:1.28", "File")


def test_pod_is_bound_once(core: Any) -> None:
    core.create_namespaced_pod("default", pod("web"))
    binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}}

    core.create_namespaced_pod_binding("web", "default", binding, _preload_content=False)
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_pod_binding("web", "default", binding, _preload_content=False)

    bound = core.read_namespaced_pod("web", "default")
    assert bound.spec.node_name == "n1"
    assert [(one.type, one.status) for one in bound.status.conditions] == [("PodScheduled", "True")]
    assert caught.value.status == 409
    assert 'pod web is already assigned to node \\"n1\\"' in str(caught.value.body)


def test_ephemeral_container_is_immutable(server: KubernetesServer, core: Any) -> None:
    core.create_namespaced_pod("default", pod("web"))
    path = "/api/v1/namespaces/default/pods/web/ephemeralcontainers"

    def patch(image: str) -> requests.Response:
        containers = [{"name": "debug", "image": image}]
        body = {"spec": {"ephemeralContainers": containers}}
        return send(server, "PATCH", path, body, STRATEGIC_PATCH)

    added, changed = patch("busybox:1"), patch("busybox:2")

    read = core.read_namespaced_pod("web", "default")
    assert added.status_code == 200
    assert [one.image for one in read.spec.ephemeral_containers] == ["busybox:1"]
    assert "existing ephemeral containers may not be changed" in changed.json()["message"]
