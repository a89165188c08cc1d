"""Which events about a pod its body confirms."""

import json
from typing import Any

import pytest

from shared.domain.cluster_event import ImagePulled, PodEvicted
from shared.domain.reported_pod import (
    confirm_eviction,
    confirms_pull,
    find_failed_pulls,
    find_waiting_pods,
)
from shared.messages.node_event import parse_log_entry
from tests.fakes.clusters import Body
from tests.fakes.node_reports import NODE, POD, log_entry, make_event, pod_event, pulled_text
from tests.fakes.warmups import MIRRORS

DISK = "The node was low on resource: ephemeral-storage. "


def parse(event: Body) -> Any:
    return parse_log_entry(json.dumps(log_entry(event)).encode())


def make_pod(uid: str = f"uid-of-{POD}", node: str = NODE, **spec: Any) -> Body:
    metadata = {"name": POD, "namespace": "ml", "uid": uid}
    return {"metadata": metadata, "spec": {"nodeName": node, **spec}, "status": {}}


def with_image(image: str) -> list[Body]:
    return [{"name": "image", "image": image}]


@pytest.mark.parametrize(
    ("pod", "confirms"),
    [
        pytest.param(make_pod(containers=with_image("docker.io/library/a:1")), True, id="image"),
        pytest.param(make_pod(containers=with_image("a:1")), True, id="short-name"),
        pytest.param(make_pod(initContainers=with_image("a:1")), True, id="init-container"),
        pytest.param(make_pod(ephemeralContainers=with_image("a:1")), True, id="ephemeral"),
        pytest.param(
            make_pod(volumes=[{"name": "v", "image": {"reference": "a:1"}}]), True, id="volume"
        ),
        pytest.param(make_pod(containers=with_image("a:2")), False, id="other-image"),
        pytest.param(make_pod(containers=with_image("A b")), False, id="invalid-image"),
        pytest.param(make_pod(), False, id="no-image"),
        pytest.param(make_pod("other", containers=with_image("a:1")), False, id="other-uid"),
        pytest.param(make_pod(node="b", containers=with_image("a:1")), False, id="other-node"),
        pytest.param({}, False, id="empty"),
        pytest.param(None, False, id="no-pod"),
    ],
)
def test_pod_confirms_the_pull_of_its_image(pod: Body | None, *, confirms: bool) -> None:
    text = pulled_text(image="docker.io/library/a:1")
    event = parse(pod_event("Pulled", text, namespace="ml"))
    assert isinstance(event, ImagePulled)

    assert confirms_pull(pod, event) is confirms


@pytest.mark.parametrize(
    ("status", "confirms"),
    [
        pytest.param({"reason": "Evicted", "message": DISK}, True, id="evicted"),
        pytest.param({"reason": "Evicted", "message": "memory"}, False, id="other-resource"),
        pytest.param({"reason": "Terminated", "message": DISK}, False, id="other-reason"),
        pytest.param({}, False, id="running"),
    ],
)
def test_pod_confirms_its_eviction(status: Body, *, confirms: bool) -> None:
    event = parse(make_event("Pod", POD, "Evicted", DISK, component="kubelet", host=NODE))
    assert isinstance(event, PodEvicted)

    confirmed = confirm_eviction({**make_pod(), "status": status}, event)

    assert (confirmed == event) is confirms


@pytest.mark.parametrize(
    ("reason", "fails"),
    [
        ("ErrImagePull", True),
        ("ImagePullBackOff", True),
        ("CrashLoopBackOff", False),
        ("ContainerCreating", False),
    ],
)
@pytest.mark.parametrize("kind", ["initContainerStatuses", "containerStatuses"])
def test_waiting_container_shows_its_failed_pull(kind: str, reason: str, *, fails: bool) -> None:
    waiting = {"reason": reason, "message": "403"}
    pod = make_pod() | {"status": {kind: [{"image": "a:1", "state": {"waiting": waiting}}]}}

    assert list(find_failed_pulls(pod)) == ([("a:1", "403")] if fails else [])


def test_pods_that_wait_for_a_mirror_are_those_with_its_images() -> None:
    pods = []
    for name, image in (("b", f"{MIRRORS}/x:1"), ("a", f"{MIRRORS}/y:1"), ("c", f"{MIRRORS}-2/x")):
        waiting = {"waiting": {"reason": "ErrImagePull"}}
        pod = make_pod() | {"status": {"containerStatuses": [{"image": image, "state": waiting}]}}
        pod["metadata"]["name"] = name
        pods.append(pod)

    assert find_waiting_pods([*pods, {}], MIRRORS) == ("ml/a", "ml/b")
