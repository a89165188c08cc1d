"""Which warmups have waited too long for a node."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.job_state import JobState
from shared.domain.placement import SCALING_PRIORITY_CLASS
from shared.domain.timestamp import parse_time
from shared.pipeline.plan_resume import read_unscheduled
from tests.fakes.clusters import FakeCluster
from tests.fakes.node_reports import JOB, POD, at, place_pod, place_warmup
from tests.fakes.warmups import make_strategy

NO_ROOM = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
NO_NODE = [{"type": "PodScheduled", "status": "False", "message": NO_ROOM}]
MINUTES = 60.0


def pod_status(status: str, **fields: Any) -> dict[str, Any]:
    return {"conditions": [{"type": "PodScheduled", "status": status, **fields}]}


def moment(minutes: float) -> datetime:
    """Return the time so long after the pod was created."""
    return parse_time(at(3)) + timedelta(minutes=minutes)


def find(cluster: FakeCluster, minutes: float) -> list[tuple[str, str]]:
    queue = [JobState.from_body(job) for job in cluster.jobs.values()]
    found = read_unscheduled(cluster, queue, moment(minutes))
    return [(each.state.name, each.message) for each in found]


@pytest.mark.parametrize(
    ("status", "minutes", "message"),
    [
        pytest.param(pod_status("False", message=NO_ROOM), 2, NO_ROOM, id="too-long"),
        pytest.param(pod_status("False", message=NO_ROOM), 1.99, None, id="not-yet"),
        pytest.param(pod_status("False"), 2, "no node took the pod", id="without-a-message"),
        pytest.param(pod_status("True"), 50, None, id="scheduled"),
        pytest.param({}, 50, None, id="not-tried-yet"),
    ],
)
def test_pod_without_a_node_waits_two_minutes(
    status: dict[str, Any], minutes: float, message: str | None
) -> None:
    cluster = FakeCluster()
    place_warmup(cluster)
    place_pod(cluster, node=None, status=status)

    assert find(cluster, minutes) == ([] if message is None else [(JOB, message)])


@pytest.mark.parametrize(("minutes", "count"), [(14.9, 0), (15, 1)])
def test_pod_waits_longer_for_a_node_that_is_added(minutes: float, count: int) -> None:
    cluster = FakeCluster()
    place_warmup(cluster, strategy=make_strategy(priority_class=SCALING_PRIORITY_CLASS))
    place_pod(cluster, node=None, status={"conditions": NO_NODE})

    assert len(find(cluster, minutes)) == count


def test_newest_pod_decides() -> None:
    cluster = FakeCluster()
    place_warmup(cluster)
    place_pod(cluster, node=None, status={"conditions": NO_NODE})
    place_pod(cluster, f"{POD}-2", seconds=90)

    assert find(cluster, 30) == []


@pytest.mark.parametrize(
    "pod", [{"job": "another", "node": None, "status": {"conditions": NO_NODE}}, None]
)
def test_warmup_without_a_pod_keeps_its_place(pod: dict[str, Any] | None) -> None:
    cluster = FakeCluster()
    place_warmup(cluster)
    if pod is not None:
        place_pod(cluster, **pod)

    assert find(cluster, 30) == []


@pytest.mark.parametrize(("minutes", "count"), [(11.9, 0), (12, 1)])
def test_time_before_the_last_suspension_does_not_count(minutes: float, count: int) -> None:
    cluster = FakeCluster()
    job = place_warmup(cluster)
    job["metadata"]["annotations"]["prestream.dev/requeued"] = at(3 + 10 * MINUTES)
    place_pod(cluster, node=None, status={"conditions": NO_NODE})

    assert len(find(cluster, minutes)) == count


@pytest.mark.parametrize("value", ["soon", "", "0000-01-01T00:00:00Z"])
def test_invalid_time_of_a_suspension_is_ignored(value: str) -> None:
    cluster = FakeCluster()
    job = place_warmup(cluster)
    job["metadata"]["annotations"]["prestream.dev/requeued"] = value
    place_pod(cluster, node=None, status={"conditions": NO_NODE})

    assert len(find(cluster, 2)) == 1


@pytest.mark.parametrize(
    ("change", "minutes"),
    [
        pytest.param({"suspend": True}, 30, id="suspended"),
        pytest.param({}, 1, id="resumed-a-minute-ago"),
    ],
)
def test_pods_are_read_only_if_one_may_be_overdue(change: dict[str, Any], minutes: float) -> None:
    cluster = FakeCluster()
    place_warmup(cluster)["spec"].update(change)
    cluster.calls.clear()

    assert find(cluster, minutes) == []
    assert cluster.calls == []
