"""An instance that has just started, and is given many messages at once."""

from typing import Any

from sandbox.clock import format_time
from tests.integration.pipelines import DEV, Pipeline

AT_ONCE = 8
NODE = "gke-gpu-l4-a"
COMPONENTS = {"k8s_pod": "kubelet", "k8s_node": "gcfs-snapshotter"}
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team"


def settled_lines(pipeline: Pipeline, function: str, messages: list[str]) -> list[dict[str, Any]]:
    """Wait until all messages are handled, and return all their lines, failures before included."""
    for message in messages:
        pipeline.line(message, "handled", function)
    return [line for message in messages for line in pipeline.lines(message, function)]


def test_first_references_of_an_instance_are_all_handled(pipeline: Pipeline) -> None:
    images = [pipeline.add_image(f"team/first-{number}") for number in range(AT_ONCE)]
    pipeline.warmup_of(pipeline.add_image("team/makes-the-mirror"))
    function = pipeline.serve_variant(
        "image_reference", "{dry_run: true, upstreams: {docker.io: }}", "first-references"
    )

    messages = [pipeline.ask(image, topic="first-references") for image in images]
    lines = settled_lines(pipeline, function, messages)

    assert [line["disposition"] for line in lines] == ["handled"] * AT_ONCE
    assert all(line["would_create"] for line in lines)


def test_first_reports_of_an_instance_are_all_recorded(pipeline: Pipeline) -> None:
    images = [f"{MIRROR}/reported-{number}:1" for number in range(AT_ONCE)]
    function = pipeline.serve_variant("pull_event", "", "first-reports")
    now = format_time(pipeline.cloud.clock.now())
    # The facts of a pull and of a stream need other reads, so one thread imports one library
    # first, and another the other.
    entries = [
        streamed(image, now) if n % 2 else pulled(image, now, place_pod(pipeline, n, image))
        for n, image in enumerate(images)
    ]

    messages = [pipeline.publish("first-reports", entry) for entry in entries]
    lines = settled_lines(pipeline, function, messages)

    assert [line["disposition"] for line in lines] == ["handled"] * AT_ONCE
    for number, image in enumerate(images):
        event = "stream.observed" if number % 2 else "pull.observed"
        assert pipeline.fact(event=event, mirror=image)["jsonPayload"]["node"] == NODE


def place_pod(pipeline: Pipeline, number: int, image: str) -> dict[str, Any]:
    """Create a pod that waits for an image on the node, and return its metadata."""
    spec = {"nodeName": NODE, "containers": [{"name": "app", "image": image}]}
    body = {"metadata": {"name": f"reported-{number}"}, "spec": spec}
    created = pipeline.api.create("pods", body, "ml", user=DEV)
    metadata: dict[str, Any] = created["metadata"]
    return metadata


def pulled(image: str, at: str, pod: dict[str, Any]) -> dict[str, Any]:
    """Return a kubelet's report of a pull."""
    about = {
        "kind": "Pod",
        "namespace": "ml",
        "name": pod["name"],
        "uid": pod["uid"],
        "fieldPath": "spec.containers{main}",
    }
    text = (
        f'Successfully pulled image "{image}" in 12.5s (12.5s including waiting).'
        " Image size: 310000000 bytes."
    )
    return report("k8s_pod", about, "Pulled", text, at)


def streamed(image: str, at: str) -> dict[str, Any]:
    """Return a snapshotter's report of an image that it streams."""
    about = {"kind": "Node", "name": NODE, "uid": NODE}
    return report(
        "k8s_node", about, "ImageStreaming", f"Image {image} is backed by image streaming.", at
    )


def report(resource: str, about: dict[str, str], reason: str, text: str, at: str) -> dict[str, Any]:
    """Return an event, as GKE's exporter writes it."""
    labels = {"project_id": "demo", "location": "us-central1", "cluster_name": "gpu"}
    namespace = about.get("namespace", "default")
    return {
        "insertId": text,
        "logName": "projects/demo/logs/events",
        "resource": {"type": resource, "labels": labels},
        "jsonPayload": {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "reported.1", "namespace": namespace, "uid": text},
            "involvedObject": about,
            "reason": reason,
            "message": text,
            "source": {"component": COMPONENTS[resource], "host": NODE},
            "lastTimestamp": at,
        },
    }
