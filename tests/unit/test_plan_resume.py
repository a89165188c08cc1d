"""Decisions about the warmup queue: the Jobs that exist as input, the Jobs to resume as output."""

from datetime import UTC, datetime

import pytest

from shared.domain.action import ResumeJobs
from shared.domain.request import Cause
from shared.domain.warmup_job import JobName, JobState
from shared.pipeline.plan_resume import plan_resume, read_queue
from shared.settings.keys import Settings
from tests.fakes.clusters import FakeCluster
from tests.fakes.warmups import make_warmup


def make_state(
    name: str,
    *,
    is_running: bool = False,
    namespace: str | None = None,
) -> JobState:
    """Return a warmup Job that has not ended."""
    return JobState(
        name=JobName(name),
        uid=f"uid-of-{name}",
        resource_version="1",
        created="2026-11-24T07:00:00Z",
        queued="",
        is_suspended=not is_running,
        is_complete=False,
        is_failed=False,
        is_reported=False,
        asked_by=namespace,
    )


RUNNING = make_state("running", is_running=True)
A, B, C = make_state("a"), make_state("b"), make_state("c")
GREEDY = [make_state(f"greedy-{number}", namespace="greedy") for number in range(4)]
GREEDY_RUNNING = [
    make_state(f"greedy-{number}", is_running=True, namespace="greedy") for number in range(4)
]
OTHER = make_state("other", namespace="other")


@pytest.mark.parametrize(
    ("queue", "max_running", "budget", "names", "limit"),
    [
        pytest.param([A, B, C], 2, 0, ["a", "b", "c"], 2, id="room-for-two"),
        pytest.param([RUNNING, A], 2, 0, ["a"], 1, id="running-one-counts"),
        pytest.param([RUNNING, A], 1, 0, ["a"], 0, id="limit-reached"),
        pytest.param([RUNNING, RUNNING, A], 1, 0, ["a"], -1, id="limit-exceeded"),
        pytest.param([], 5, 0, [], 5, id="empty"),
        pytest.param(
            [*GREEDY, OTHER], 5, 2, ["greedy-0", "greedy-1", "other"], 5, id="namespace-budget"
        ),
        pytest.param(
            [GREEDY_RUNNING[0], *GREEDY[1:]], 5, 2, ["greedy-1"], 4, id="budget-counts-running"
        ),
        pytest.param([A, B], 5, 1, ["a", "b"], 5, id="no-namespace-no-budget"),
    ],
)
def test_oldest_waiting_warmups_are_resumed_up_to_the_limit(
    queue: list[JobState], max_running: int, budget: int, names: list[str], limit: int
) -> None:
    settings = Settings(
        project="demo",
        deployment_project="demo",
        max_running=max_running,
        namespace_budget=budget,
    )

    assert plan_resume(queue, settings) == ResumeJobs(tuple(map(JobName, names)), limit)


def test_queue_is_in_the_order_of_the_requests() -> None:
    cluster = FakeCluster()
    for name, microsecond in [("warm-a", 900_000), ("warm-b", 1), ("warm-c", 0)]:
        queued = datetime(2026, 11, 24, 7, 0, 0, microsecond, UTC)
        cluster.create_job(make_warmup(name, queued_at=queued).body())
    for job in cluster.jobs.values():
        job["metadata"]["creationTimestamp"] = "2026-11-24T07:00:00Z"
    cluster.create_job(make_warmup("warm-d").body())

    names = [each.name for each in read_queue(cluster)]

    assert names == ["warm-c", "warm-b", "warm-a", "warm-d"]


def test_queue_has_running_warmups_first_and_no_ended_or_foreign_job() -> None:
    cluster = FakeCluster()
    for name in ("warm-a", "warm-b", "warm-c", "warm-d", "backup"):
        cluster.create_job(make_warmup(name).body())
    cluster.end_job("warm-a", "Complete")
    cluster.end_job("warm-b", "Failed")
    cluster.jobs["warm-d"]["spec"]["suspend"] = False
    cluster.jobs["backup"]["metadata"]["labels"] = {}
    cluster.calls.clear()

    names = [each.name for each in read_queue(cluster)]

    assert names == ["warm-d", "warm-c"]
    assert cluster.calls == ["list_jobs"]


def test_queue_knows_the_namespace_of_the_request() -> None:
    cluster = FakeCluster()
    cause = Cause("audit_log", "id", "apps/v1/namespaces/ml/deployments/trainer")
    cluster.create_job(make_warmup("warm-a", cause=cause).body())

    assert [each.asked_by for each in read_queue(cluster)] == ["ml"]
