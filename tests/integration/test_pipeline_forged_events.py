"""Events that a tenant with the role ``edit`` in one namespace creates on a real API server."""

from typing import Any

from sandbox.clock import format_time
from tests.integration.pipelines import DEV, Pipeline

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
NODE = "gke-gpu-l4-a"
DENIED = f'Failed to pull image "{MIRROR}/team/victim:1": 403 Forbidden'
PULLED = f'Successfully pulled image "{MIRROR}/team/victim:1" in 1s (1s including waiting).'
STREAMED = f"Image {MIRROR}/team/victim:1 is backed by image streaming."


def forge(
    name: str, kind: str, about: str, reason: str, message: str, **change: Any
) -> dict[str, Any]:
    """Return an Event with ``eventTime``, which may be about any object."""
    component = {"Pod": "kubelet", "Node": "gcfs-snapshotter"}.get(kind, "job-controller")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"forged-{name}"},
        "involvedObject": {"kind": kind, "name": about, "namespace": "prestream", "uid": "u"},
        "reason": reason,
        "message": message,
        "type": "Warning",
        "source": {"component": component, "host": NODE},
        "reportingComponent": component,
        "reportingInstance": NODE,
        "action": "Pulling",
        **change,
    }


FORGED = [
    forge("pod", "Pod", "warm-victim-x1", "Failed", DENIED),
    forge("pull", "Pod", "payroll-0", "Pulled", PULLED),
    forge("job", "Job", "warm-victim", "Completed", "Job completed"),
    forge("node", "Node", NODE, "ImageStreaming", STREAMED),
    forge("dots", "Pod", "..", "Pulled", PULLED),
    *(
        forge(
            f"host-{number}",
            "Pod",
            "trainer",
            "Pulled",
            PULLED,
            involvedObject={"kind": "Pod", "name": "trainer", "namespace": "ml", "uid": "u"},
            source={"component": "kubelet", "host": host},
        )
        for number, host in enumerate((".", "..", "a/b", "a" * 70_000, NODE))
    ),
]


def test_forged_events_decide_nothing(pipeline: Pipeline) -> None:
    since, facts = pipeline.count_lines("pull_event"), len(pipeline.facts())
    now = format_time(pipeline.cloud.clock.now())

    for body in FORGED:
        pipeline.api.create("events", {**body, "eventTime": now}, "ml", user=DEV)
    process = pipeline.cloud.functions["pull_event"]

    def lines() -> list[dict[str, Any]]:
        forged = ("another namespace", "no object can have", "does not confirm")
        return [
            line
            for line in process.lines[since:]
            if any(text in str(line.get("reason")) for text in forged)
        ]

    process.wait_for_line(lambda _: len(lines()) == len(FORGED), 20.0)
    assert {line["disposition"] for line in lines()} == {"ignored"}
    assert {line["severity"] for line in lines()} == {"INFO"}
    assert len(lines()) == len(FORGED)
    assert len(pipeline.facts()) == facts
