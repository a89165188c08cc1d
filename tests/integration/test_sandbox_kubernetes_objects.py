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

CONTINUE = "_continue"
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


def test_a_created_object_is_completed_as_the_server_does(batch: Any) -> None:
    created = batch.create_namespaced_job("default", job("warm"))

    uid = created.metadata.uid
    assert created.metadata.generation == 1
    assert created.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": uid}
    assert created.spec.template.metadata.labels == {
        "batch.kubernetes.io/controller-uid": uid,
        "controller-uid": uid,
        "batch.kubernetes.io/job-name": "warm",
        "job-name": "warm",
    }
    assert (created.spec.backoff_limit, created.spec.completions) == (6, 1)
    assert created.spec.template.spec.containers[0].image_pull_policy == "Always"
    assert batch.read_namespaced_job("warm", "default").metadata.uid == uid


def test_generated_names_differ(core: Any) -> None:
    body = {"metadata": {"generateName": "warm-"}}

    names = {core.create_namespaced_config_map("default", body).metadata.name for _ in range(20)}

    assert len(names) == 20
    assert all(name.startswith("warm-") and len(name) == 10 for name in names)


def test_a_dry_run_validates_and_leaves_nothing(core: Any) -> None:
    answered = core.create_namespaced_pod("default", pod("dry"), dry_run="All")

    assert answered.spec.restart_policy == "Always"
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_pod("dry", "default")
    assert caught.value.status == 404


def test_a_pod_gets_its_account_token_and_tolerations(core: Any) -> None:
    created = core.create_namespaced_pod("default", pod("plain"))

    assert created.spec.service_account_name == "default"
    assert created.spec.volumes[0].name.startswith("kube-api-access-")
    assert [one.key for one in created.spec.tolerations] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    assert (created.status.phase, created.status.qos_class) == ("Pending", "BestEffort")


def test_an_update_with_an_old_resource_version_is_a_conflict(core: Any) -> None:
    body = {"metadata": {"name": "settings"}, "data": {"a": "1"}}
    first = core.create_namespaced_config_map("default", body)
    core.patch_namespaced_config_map("settings", "default", {"data": {"b": "2"}})

    first.data = {"a": "3"}
    with pytest.raises(ApiException) as caught:
        core.replace_namespaced_config_map("settings", "default", first)

    assert (caught.value.status, caught.value.reason) == (409, "CONFLICT")
    assert "the object has been modified; please apply your changes" in str(caught.value.body)


def test_what_changes_nothing_makes_no_new_version(core: Any) -> None:
    body = {"metadata": {"name": "settings"}, "data": {"a": "1"}}
    first = core.create_namespaced_config_map("default", body)

    second = core.patch_namespaced_config_map("settings", "default", {"data": {"a": "1"}})

    assert second.metadata.resource_version == first.metadata.resource_version


def test_the_generation_counts_changes_of_the_specification_only(batch: Any) -> None:
    batch.create_namespaced_job("default", job("warm", suspend=True))

    labelled = batch.patch_namespaced_job("warm", "default", {"metadata": {"labels": {"a": "b"}}})
    resumed = batch.patch_namespaced_job("warm", "default", {"spec": {"suspend": False}})
    started = batch.patch_namespaced_job_status("warm", "default", {"status": {"active": 1}})

    assert labelled.metadata.generation == 1
    assert resumed.metadata.generation == 2
    assert (started.metadata.generation, started.status.active) == (2, 1)


def test_a_write_of_the_object_leaves_its_status_and_the_other_way_round(batch: Any) -> None:
    batch.create_namespaced_job("default", job("warm") | {"status": {"succeeded": 9}})
    assert batch.read_namespaced_job("warm", "default").status.succeeded is None

    batch.patch_namespaced_job_status(
        "warm", "default", {"status": {"succeeded": 1}, "spec": {"suspend": True}}
    )
    batch.patch_namespaced_job("warm", "default", {"status": {"succeeded": 7}})

    read = batch.read_namespaced_job("warm", "default")
    assert (read.status.succeeded, read.spec.suspend) == (1, False)


def test_a_json_patch_is_applied_and_a_failed_test_is_refused(
    server: KubernetesServer, core: Any
) -> None:
    core.create_namespaced_config_map("default", {"metadata": {"name": "s"}, "data": {"a": "1"}})
    path = "/api/v1/namespaces/default/configmaps/s"
    replace = {"op": "replace", "path": "/data/a", "value": "2"}

    test = {"op": "test", "path": "/data/a", "value": "1"}
    applied = send(server, "PATCH", path, [test, replace], JSON_PATCH)
    failed = send(server, "PATCH", path, [test], JSON_PATCH)

    assert applied.json()["data"] == {"a": "2"}
    assert (failed.status_code, failed.json()["reason"]) == (422, "Invalid")


def test_a_strategic_patch_merges_containers_by_name(server: KubernetesServer, core: Any) -> None:
    core.create_namespaced_pod("default", pod("web"))
    patch = {"spec": {"containers": [{"name": "main", "image": "nginx:1.28"}]}}

    send(server, "PATCH", "/api/v1/namespaces/default/pods/web", patch, STRATEGIC_PATCH)

    container = core.read_namespaced_pod("web", "default").spec.containers[0]
    assert (container.image, container.termination_message_policy) == ("nginx:1.28", "File")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param("app=a", ["a1"], id="equality"),
        pytest.param("app!=a", ["b1", "c1"], id="inequality"),
        pytest.param("app in (a, b),tier", ["b1"], id="set-and-existence"),
        pytest.param("!tier", ["a1", "c1"], id="absence"),
        pytest.param("app notin (a,b)", ["c1"], id="not-in"),
    ],
)
def test_labels_select(core: Any, selector: str, expected: list[str]) -> None:
    core.create_namespaced_pod("default", pod("a1", app="a"))
    core.create_namespaced_pod("default", pod("b1", app="b", tier="x"))
    core.create_namespaced_pod("default", pod("c1"))

    found = core.list_namespaced_pod("default", label_selector=selector).items

    assert [one.metadata.name for one in found] == expected


def test_fields_select_and_unknown_ones_are_refused(core: Any) -> None:
    core.create_namespaced_pod("default", pod("free"))
    bound = pod("bound")
    bound["spec"]["nodeName"] = "n1"
    core.create_namespaced_pod("default", bound)

    found = core.list_pod_for_all_namespaces(field_selector="spec.nodeName=n1").items
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(field_selector="spec.priority=1")

    assert [one.metadata.name for one in found] == ["bound"]
    assert caught.value.status == 400
    assert "field label not supported: spec.priority" in str(caught.value.body)


def test_pages_show_the_state_of_the_first_page(core: Any) -> None:
    for index in range(5):
        core.create_namespaced_pod("default", pod(f"p{index}"))

    first = core.list_namespaced_pod("default", limit=2)
    core.delete_namespaced_pod("p4", "default")
    core.create_namespaced_pod("default", pod("p2b"))
    second = core.list_namespaced_pod(
        "default", limit=9, _continue=getattr(first.metadata, CONTINUE)
    )

    assert first.metadata.remaining_item_count == 3
    assert [one.metadata.name for one in second.items] == ["p2", "p3", "p4"]
    assert second.metadata.resource_version == first.metadata.resource_version


def test_a_continue_token_expires_when_the_history_is_compacted(
    core: Any, server: KubernetesServer
) -> None:
    for index in range(3):
        core.create_namespaced_pod("default", pod(f"p{index}"))
    first = core.list_namespaced_pod("default", limit=1)
    server.compact()
    core.create_namespaced_pod("default", pod("later"))
    server.compact()

    with pytest.raises(ApiException) as caught:
        core.list_namespaced_pod("default", limit=1, _continue=getattr(first.metadata, CONTINUE))

    assert caught.value.status == 410
    assert "The provided continue parameter is too old" in str(caught.value.body)


def test_binding_gives_a_pod_its_node_once(core: Any) -> None:
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


def test_an_ephemeral_container_is_added_and_then_fixed(
    server: KubernetesServer, core: Any
) -> None:
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
