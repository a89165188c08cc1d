"""Decisions about the warmup queue: the Jobs that exist as input, the Jobs to resume as output."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.domain.action import EndJob, ResumeJobs, SuspendJob
from shared.domain.cluster_event import PodUnschedulable
from shared.domain.job_state import JobState
from shared.domain.node_wait import UnscheduledWarmup
from shared.domain.request import Cause
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import JobName
from shared.domain.warmup_refusal import REFUSAL_ANNOTATION, read_refusal
from shared.pipeline.plan_resume import plan_resume, read_queue
from shared.settings.keys import Settings
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
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

    assert plan_resume(queue, settings, GPU_CLUSTER) == ResumeJobs(
        tuple(map(JobName, names)), limit
    )


L4_MISSING = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
BUSY = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
NOW = parse_time("2026-11-24T08:00:30.5Z")
LIMITS = Settings(project="demo", deployment_project="demo", max_running=1)


def make_unscheduled(attempts: int, message: str = L4_MISSING) -> UnscheduledWarmup:
    state = replace(RUNNING, attempts=attempts)
    return UnscheduledWarmup(state, NOW, "running-x", "uid-of-pod", message)


@pytest.mark.parametrize(
    ("attempts", "message", "counted"),
    [
        pytest.param(0, L4_MISSING, 1, id="first"),
        pytest.param(1, L4_MISSING, 2, id="second"),
        pytest.param(1, BUSY, 1, id="behind-another-warmup"),
        pytest.param(2, BUSY, 2, id="last-behind-another-warmup"),
    ],
)
def test_warmup_without_a_node_moves_to_the_end(attempts: int, message: str, counted: int) -> None:
    unscheduled = make_unscheduled(attempts, message)

    plan = plan_resume([unscheduled.state, A, B], LIMITS, GPU_CLUSTER, [unscheduled])

    suspension = SuspendJob(RUNNING.name, "1", counted, "2026-11-24T08:00:30Z")
    assert plan == ResumeJobs((A.name, B.name, RUNNING.name), 0, (suspension,))


def test_warmup_without_a_node_ends_after_its_last_attempt() -> None:
    unscheduled = make_unscheduled(2)

    plan = plan_resume([unscheduled.state, A], LIMITS, GPU_CLUSTER, [unscheduled])

    (end,) = plan.releases
    assert isinstance(end, EndJob)
    assert (end.name, end.version) == (RUNNING.name, "1")
    job = {"metadata": {"annotations": {REFUSAL_ANNOTATION: end.refusal}}}
    (report,) = read_refusal(job, cluster=str(GPU_CLUSTER))
    assert isinstance(report, PodUnschedulable)
    assert (report.origin.message, report.origin.timestamp) == (L4_MISSING, NOW)
    assert (plan.names, plan.limit) == ((A.name,), 0)


def test_requeued_warmup_is_behind_those_that_waited_longer() -> None:
    again = replace(A, requeued="2026-11-24T07:00:01Z")
    late = replace(C, created="2026-11-24T07:00:02Z")

    assert sorted([late, again, B], key=lambda each: each.turn) == [B, again, late]


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
