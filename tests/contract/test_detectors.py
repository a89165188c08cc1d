"""The detectors of audit entries, builds and pushes: the requests that they publish and log."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.publishers import FakePublisher
from tests.fakes.recorded_events import load_event
from tests.fakes.served_functions import Line, served
from tests.fakes.wired_functions import Serve

ROOT = Path(__file__).parents[2]
CLUSTER = "projects/starling-lab/locations/europe-west4/clusters/tern"
TRAINER = "europe-west4-docker.pkg.dev/starling-lab/vision/trainer"
DIGEST = "sha256:" + "3e7a" * 16
BASE_DIGEST = "sha256:" + "91c0" * 16
PUSHED_DIGEST = "sha256:" + "6ec1" * 16

AUDIT_LOG = "audit_log"
BUILD_NOTIFICATION = "build_notification"
REGISTRY_PUSH = "registry_push"


@pytest.fixture
def project() -> str:
    return "starling-lab"


@pytest.fixture
def detect(config: Path, publisher: FakePublisher) -> Iterator[Serve]:
    """Return a function that serves a detector by its name."""
    del config
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(served(name, publisher=lambda: publisher))


L4 = {
    "nodeSelector": {
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "cloud.google.com/gke-spot": "true",
    },
    "tolerations": [
        {
            "key": "cloud.google.com/gke-spot",
            "operator": "Equal",
            "value": "true",
            "effect": "NoSchedule",
        },
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ],
}
H100 = {
    "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"},
    "tolerations": [],
}


@pytest.mark.parametrize(
    ("name", "images", "placement"),
    [
        pytest.param(
            "audit-deployment-create",
            ["gcr.io/starling-lab/weights:7", "anyscale/ray-ml:2.7.0"],
            L4,
            id="create",
        ),
        pytest.param(
            "audit-deployment-patch",
            ["gcr.io/starling-lab/weights:7", "anyscale/ray-ml:2.9.0"],
            L4,
            id="patch",
        ),
        pytest.param(
            "audit-pod-create-by-raycluster",
            ["rayproject/ray-ml:2.9.0-gpu"],
            H100,
            id="pod-of-a-custom-resource",
        ),
        pytest.param(
            "audit-raycluster-with-body",
            ["rayproject/ray-ml:2.9.0-gpu"],
            H100,
            id="custom-resource",
        ),
        pytest.param(
            "audit-ephemeral-container",
            ["gcr.io/starling-lab/weights:7", "anyscale/ray-ml:2.7.0", "nicolaka/netshoot:v0.13"],
            L4,
            id="ephemeral-container",
        ),
    ],
)
@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_images_of_a_workload_are_published(
    detect: Serve,
    publisher: FakePublisher,
    line: Line,
    form: str,
    name: str,
    images: list[str],
    placement: Any,
) -> None:
    entry = load_event(name)

    status = getattr(detect(AUDIT_LOG), form)(entry)

    cause = {
        "kind": "audit_log",
        "id": entry["insertId"],
        "resource": entry["protoPayload"]["resourceName"],
    }
    assert status == 200
    assert publisher.messages == [
        {
            "image": image,
            "cluster": CLUSTER,
            "placement": placement,
            "platform": "linux/amd64",
            "cause": cause,
            "force": False,
        }
        for image in images
    ]
    said = line()
    assert (said["disposition"], said["severity"]) == ("handled", "INFO")
    assert said["published"] == images
    assert said["cause"] == cause
    assert (said["invalid_images"], said["excluded"]) == (0, 0)


@pytest.mark.parametrize(
    ("name", "images"),
    [
        pytest.param("build-success", [f"{TRAINER}:2026-03-02@{DIGEST}"], id="regional"),
        pytest.param(
            "build-success-tags-of-one-digest",
            [
                f"{TRAINER}:latest@{DIGEST}",
                f"gcr.io/starling-lab/trainer@{DIGEST}",
                f"{TRAINER}-base:1@{BASE_DIGEST}",
            ],
            id="several-tags",
        ),
    ],
)
@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_images_of_a_build_are_published(
    detect: Serve,
    publisher: FakePublisher,
    line: Line,
    form: str,
    name: str,
    images: list[str],
) -> None:
    build = load_event(name)

    status = getattr(detect(BUILD_NOTIFICATION), form)(build)

    cause = {"kind": "build", "id": build["id"], "resource": build["name"]}
    assert status == 200
    assert publisher.messages == [
        {"image": image, "cause": cause, "force": False} for image in images
    ]
    said = line()
    assert (said["disposition"], said["published"]) == ("handled", images)


@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_image_that_was_pushed_is_published_at_its_digest(
    detect: Serve, publisher: FakePublisher, line: Line, form: str
) -> None:
    image = f"{TRAINER}:2026-11@{PUSHED_DIGEST}"

    status = getattr(detect(REGISTRY_PUSH), form)(load_event("push-insert-tagged"))

    cause = {"kind": "push", "id": "m-1", "resource": image}
    assert status == 200
    assert publisher.messages == [{"image": image, "cause": cause, "force": False}]
    said = line()
    assert (said["disposition"], said["published"]) == ("handled", [image])


@pytest.mark.parametrize(
    ("function", "name", "reason"),
    [
        (AUDIT_LOG, "audit-daemonset-of-the-system", "the namespace is one of the system's"),
        (AUDIT_LOG, "audit-deployment-delete", "the verb is delete"),
        (AUDIT_LOG, "audit-deployment-dry-run", "the request was a dry run"),
        (AUDIT_LOG, "audit-deployment-refused", "the request was refused"),
        (AUDIT_LOG, "audit-deployment-scale", "the sub-resource scale brings no images"),
        (AUDIT_LOG, "audit-deployment-split", "the entry is a piece of a split one"),
        (AUDIT_LOG, "audit-deployment-truncated", "the bodies were truncated"),
        (AUDIT_LOG, "audit-job-event", "the entry is not about a Kubernetes resource"),
        (AUDIT_LOG, "audit-job-of-ours", "the namespace is our own"),
        (AUDIT_LOG, "audit-nodepool-create", "the entry is not about a Kubernetes resource"),
        (
            AUDIT_LOG,
            "audit-pod-create-by-replicaset",
            "the object belongs to a built-in controller, whose own was seen",
        ),
        (AUDIT_LOG, "audit-pod-exec", "the sub-resource exec brings no images"),
        (AUDIT_LOG, "audit-pod-mirror", "the object names no image"),
        (AUDIT_LOG, "audit-pod-status-patch", "the sub-resource status brings no images"),
        (AUDIT_LOG, "audit-pod-without-accelerator", "no pod asks for an accelerator"),
        (AUDIT_LOG, "audit-raycluster-without-body", "the entry holds no object"),
        (AUDIT_LOG, "audit-service-create", "the object names no image"),
        (BUILD_NOTIFICATION, "build-failure", "the build has not succeeded"),
        (BUILD_NOTIFICATION, "build-success-pushed-in-a-step", "the build pushed no image"),
        (BUILD_NOTIFICATION, "build-working", "the build has not succeeded"),
        (REGISTRY_PUSH, "push-delete-digest", "nothing was pushed"),
        (REGISTRY_PUSH, "push-delete-tag", "nothing was pushed"),
        (REGISTRY_PUSH, "push-insert-untagged", "what was pushed has no tag"),
        (
            REGISTRY_PUSH,
            "push-into-mirror",
            "our own mirror fetched it, because somebody pulls it",
        ),
        (REGISTRY_PUSH, "push-signature", "what was pushed is a signature or the like"),
    ],
)
def test_irrelevant_message_is_ignored_with_its_reason(
    detect: Serve,
    publisher: FakePublisher,
    line: Line,
    function: str,
    name: str,
    reason: str,
) -> None:
    body = load_event(name)

    assert detect(function).push(body) == 200
    assert publisher.messages == []
    said = line()
    assert (said["disposition"], said["reason"]) == ("ignored", reason)
    if function != REGISTRY_PUSH:
        assert said["cause"]["id"] == body.get("insertId", body.get("id"))


@pytest.mark.parametrize(
    "repository", ["prestream-functions", "gcf-artifacts", "cloud-run-source-deploy"]
)
@pytest.mark.parametrize("function", [BUILD_NOTIFICATION, REGISTRY_PUSH])
def test_image_of_a_serverless_build_is_ignored(
    detect: Serve, publisher: FakePublisher, line: Line, function: str, repository: str
) -> None:
    events = {BUILD_NOTIFICATION: "build-success", REGISTRY_PUSH: "push-insert-tagged"}
    text = json.dumps(load_event(events[function])).replace("/vision/", f"/{repository}/")

    assert detect(function).push(json.loads(text)) == 200
    assert publisher.messages == []
    said = line()
    assert said["disposition"] == "ignored"
    assert (
        said["reason"] == "the image is a function's or a Cloud Run service's, which no node pulls"
    )


def test_status_attribute_settles_a_build_before_its_data_is_read(
    detect: Serve, line: Line
) -> None:
    attributes = {"buildId": "b-7", "status": "TIMEOUT"}

    assert detect(BUILD_NOTIFICATION).push(b"unread", attributes=attributes) == 200
    said = line()
    assert (said["disposition"], said["status"]) == ("ignored", "TIMEOUT")
    assert said["cause"]["id"] == "b-7"


@pytest.mark.parametrize(
    ("configuration", "name", "images"),
    [
        pytest.param(
            "accelerators_only: false", "audit-pod-without-accelerator", ["nginx:1.29"], id="all"
        ),
        pytest.param(
            "exclude: ['docker.io/*']",
            "audit-deployment-create",
            ["gcr.io/starling-lab/weights:7"],
            id="exclude",
        ),
        pytest.param(
            "include: ['docker.io/anyscale/*']",
            "audit-deployment-create",
            ["anyscale/ray-ml:2.7.0"],
            id="include",
        ),
        pytest.param("exclude: ['*']", "audit-deployment-create", [], id="exclude-all"),
        pytest.param("clusters: [gull]", "audit-deployment-create", [], id="another-cluster"),
        pytest.param(
            f"clusters: [{CLUSTER}]",
            "audit-deployment-create",
            ["gcr.io/starling-lab/weights:7", "anyscale/ray-ml:2.7.0"],
            id="cluster",
        ),
        pytest.param("namespace: vision", "audit-deployment-create", [], id="own-namespace"),
        pytest.param("system_namespaces: [vision]", "audit-deployment-create", [], id="system"),
    ],
)
def test_configuration_decides_which_images_are_published(
    detect: Serve,
    config: Path,
    publisher: FakePublisher,
    configuration: str,
    name: str,
    images: list[str],
) -> None:
    config.write_text(configuration)

    assert detect(AUDIT_LOG).push(load_event(name)) == 200
    assert [request["image"] for request in publisher.messages] == images


@pytest.mark.parametrize(
    ("function", "name", "images", "excluded"),
    [
        (
            BUILD_NOTIFICATION,
            "build-success-tags-of-one-digest",
            [f"gcr.io/starling-lab/trainer@{DIGEST}"],
            2,
        ),
        (REGISTRY_PUSH, "push-insert-tagged", [], 1),
    ],
)
def test_build_and_push_need_no_accelerator_but_follow_the_patterns(
    detect: Serve,
    config: Path,
    publisher: FakePublisher,
    line: Line,
    function: str,
    name: str,
    images: list[str],
    excluded: int,
) -> None:
    config.write_text("accelerators_only: true\nexclude: ['*/vision/*']\n")

    assert detect(function).push(load_event(name)) == 200
    assert [request["image"] for request in publisher.messages] == images
    assert line()["excluded"] == excluded


def test_one_invalid_image_does_not_cost_the_others(
    detect: Serve, publisher: FakePublisher, line: Line
) -> None:
    entry = load_event("audit-deployment-create")
    pod = entry["protoPayload"]["response"]["spec"]["template"]["spec"]
    pod["initContainers"][0]["image"] = "Not An Image"

    assert detect(AUDIT_LOG).push(entry) == 200
    assert [request["image"] for request in publisher.messages] == ["anyscale/ray-ml:2.7.0"]
    assert line()["invalid_images"] == 1


def test_principal_is_neither_published_nor_logged(
    detect: Serve, publisher: FakePublisher, line: Line
) -> None:
    entry = load_event("audit-deployment-create")
    person = entry["protoPayload"]["authenticationInfo"]["principalEmail"]

    detect(AUDIT_LOG).push(entry)

    assert person
    assert person not in json.dumps([publisher.messages, line()])
