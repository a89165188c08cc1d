"""Reports of the scheduler on warmups: they give up their places, and end in the last attempt."""

from typing import Any

import pytest

from shared.domain.warmup_job import ATTEMPTS_ANNOTATION
from tests.fakes.node_reports import JOB, at, end, job_event, unschedulable_event
from tests.fakes.observers import ObservedWarmup

NO_ROOM = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."


class UnschedulableWarmup(ObservedWarmup):
    """A cluster with a warmup that has waited for a node, in an attempt."""

    def __init__(self, attempts: int = 0, **values: Any) -> None:
        super().__init__(None, **values)
        self.annotations[ATTEMPTS_ANNOTATION] = str(attempts)
        (pod,) = self.cluster.pods
        condition = {"type": "PodScheduled", "status": "False", "message": NO_ROOM}
        pod |= {"spec": {}, "status": {"conditions": [condition]}}


def test_warmup_without_a_node_leaves_its_place_to_the_next() -> None:
    scene = UnschedulableWarmup(max_running=1)
    scene.queue("warm-b-1")

    outcome = scene.happen(unschedulable_event(NO_ROOM, 600))

    assert outcome.disposition == "handled"
    assert outcome.details["requeued"] == [JOB]
    assert outcome.details["resumed"] == ["warm-b-1"]
    assert scene.waiting == [JOB]
    assert scene.annotations[ATTEMPTS_ANNOTATION] == "1"
    assert scene.annotations["prestream.dev/requeued"] == at(600)


def test_warmup_is_resumed_if_no_other_waits() -> None:
    scene = UnschedulableWarmup(max_running=1)

    outcome = scene.happen(unschedulable_event(NO_ROOM, 600))

    assert outcome.details["resumed"] == [JOB]
    assert scene.annotations[ATTEMPTS_ANNOTATION] == "1"


def test_report_that_comes_twice_counts_once() -> None:
    scene = UnschedulableWarmup(max_running=1)
    event = scene.cluster.place(unschedulable_event(NO_ROOM, 600))

    dispositions = [scene.see(event).disposition for _ in range(2)]

    assert dispositions == ["handled", "ignored"]
    assert scene.annotations[ATTEMPTS_ANNOTATION] == "1"


@pytest.mark.parametrize(
    ("seconds", "values"),
    [
        pytest.param(60, {}, id="in-time"),
        pytest.param(600, {"dry_run": True}, id="dry-run"),
    ],
)
def test_report_in_time_changes_nothing(seconds: float, values: dict[str, Any]) -> None:
    scene = UnschedulableWarmup(**values)

    outcome = scene.happen(unschedulable_event(NO_ROOM, seconds))

    reason = "no warmup has waited too long for a node"
    assert (outcome.disposition, outcome.details["reason"]) == ("ignored", reason)
    assert "patch_job" not in scene.cluster.calls


def test_report_of_a_workload_is_ignored() -> None:
    scene = UnschedulableWarmup()
    event = unschedulable_event(NO_ROOM, 600)
    event["involvedObject"]["namespace"] = "ml"

    assert scene.happen(event).disposition == "ignored"
    assert scene.cluster.calls == []


@pytest.mark.parametrize("events_are_kept", [True, False])
def test_last_attempt_ends_the_warmup_with_the_message(*, events_are_kept: bool) -> None:
    scene = UnschedulableWarmup(attempts=2)

    outcome = scene.happen(unschedulable_event(NO_ROOM, 600))
    assert outcome.details["ended"] == [JOB]
    assert scene.deadline == 1
    assert not scene.waiting

    # The Job controller deletes the pod, and events expire.
    scene.cluster.pods.clear()
    if not events_are_kept:
        scene.cluster.events.clear()
    end(scene.cluster.jobs[JOB], "DeadlineExceeded", 601)
    scene.happen(job_event("DeadlineExceeded", seconds=601))

    (fact,) = scene.facts
    assert (fact["outcome"], fact["reason"]) == ("no_node", NO_ROOM)
    assert [each["text"] for each in fact["evidence"]] == [NO_ROOM]
    assert fact["node"] is None


def test_end_of_another_warmup_reads_no_pod_of_the_others() -> None:
    scene = UnschedulableWarmup(max_running=1)
    scene.queue("warm-b-1")
    end(scene.cluster.jobs["warm-b-1"], seconds=600)
    event = job_event("Completed", seconds=600)
    event["involvedObject"] |= {"name": "warm-b-1", "uid": "uid-of-warm-b-1"}

    outcome = scene.happen(event)

    assert "requeued" not in outcome.details
    assert scene.cluster.calls.count("list_pods") == 1
