"""Warmups whose pod is evicted: a full disk ends them, so that no other node tries the image."""

from typing import Any

import pytest

from tests.fakes.clusters import Body
from tests.fakes.node_reports import JOB, NODE, end, job_event, make_event, place_pod, pod_event
from tests.fakes.observers import ObservedWarmup

POD = f"{JOB}-x7k2p"
DISK = "The node was low on resource: ephemeral-storage. Threshold quantity: 5Gi, available: 1Gi. "
MEMORY = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 1Mi. "
PRESSURE = "Pod was rejected: The node had condition: [DiskPressure]. "


def evicted(message: str = DISK, **change: Any) -> Body:
    return make_event("Pod", POD, "Evicted", message, component="kubelet", host=NODE, **change)


@pytest.mark.parametrize("is_replaced", [False, True])
@pytest.mark.parametrize("events_are_gone", [False, True])
def test_full_disk_ends_the_warmup(*, events_are_gone: bool, is_replaced: bool) -> None:
    scene = ObservedWarmup(None)

    outcome = scene.happen(evicted())
    assert (outcome.details["ended"], scene.deadline) == (JOB, 1)
    if is_replaced:
        place_pod(scene.cluster, f"{JOB}-next", seconds=65, node="gke-gpu-l4-2")
    if events_are_gone:
        scene.cluster.events.clear()
    end(scene.cluster.jobs[JOB], "DeadlineExceeded")
    scene.happen(job_event("DeadlineExceeded"))

    (fact,) = scene.facts
    assert (fact["outcome"], fact["node"]) == ("pull_failed", NODE)
    assert fact["reason"] == "no space is left on the node's disk"
    assert "boot disk" in fact["hint"]
    assert [each["text"] for each in fact["evidence"]] == [DISK]


def test_pod_itself_shows_that_the_disk_was_full() -> None:
    scene = ObservedWarmup("BackoffLimitExceeded")
    (pod,) = scene.cluster.pods
    pod["status"] |= {"phase": "Failed", "reason": "Evicted", "message": PRESSURE}

    scene.happen(job_event("BackoffLimitExceeded"))

    (fact,) = scene.facts
    assert fact["outcome"] == "pull_failed"
    assert fact["reason"] == "no space is left on the node's disk"


@pytest.mark.parametrize(
    ("reason", "event"),
    [
        pytest.param(None, evicted(MEMORY), id="memory"),
        pytest.param(None, evicted(uid="another"), id="pod-of-another-job"),
        pytest.param(None, evicted(namespace="ml"), id="workload"),
        pytest.param("CompletionsReached", evicted(), id="complete"),
    ],
)
def test_another_eviction_does_not_end_a_warmup(reason: str | None, event: Body) -> None:
    scene = ObservedWarmup(reason)

    assert scene.happen(event).disposition == "ignored"
    assert "patch_job" not in scene.cluster.calls


def test_image_that_was_pulled_before_the_eviction_is_pulled() -> None:
    scene = ObservedWarmup("DeadlineExceeded")
    scene.cluster.place(pod_event("Pulled", 'Successfully pulled image "a:1" in 2s', 5))
    scene.cluster.place(evicted())

    scene.happen(job_event("DeadlineExceeded"))

    assert scene.facts[0]["outcome"] == "pulled"


def test_eviction_for_another_reason_is_not_a_failed_pull() -> None:
    scene = ObservedWarmup("DeadlineExceeded")
    scene.cluster.place(evicted(MEMORY))

    scene.happen(job_event("DeadlineExceeded"))

    assert scene.facts[0]["outcome"] == "timed_out"
