"""Decisions about the warmup queue: the Jobs that exist as input, the Jobs to resume as output."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.domain.action import EndJob, ResumeJobs, SuspendJob
from shared.domain.cluster_event import PodUnschedulable
from shared.domain.job_state import JobState
from shared.domain.node_wait import UnscheduledWarmup
from shared.domain.tenant import Tenant
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
    tenants: tuple[str, ...] = (),
    started: str = "",
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
        tenants=tenants,
        started=started,
    )


def running(tenant: str, number: int = 0) -> JobState:
    started = f"2026-11-24T07:{number:02}:00Z"
    name = f"{tenant}-running-{number}"
    return make_state(name, is_running=True, tenants=(tenant,), started=started)


def waiting(tenant: str, count: int) -> list[JobState]:
    return [make_state(f"{tenant}{number}", tenants=(tenant,)) for number in range(count)]


RUNNING = make_state("running", is_running=True)
A, B, C = make_state("a"), make_state("b"), make_state("c")
SHARED = make_state("shared", tenants=("x", "z"))


@pytest.mark.parametrize(
    ("queue", "max_running", "names", "limit"),
    [
        pytest.param([A, B, C], 2, "a b c", 2, id="room-for-two"),
        pytest.param([RUNNING, A], 2, "a", 1, id="running-one-counts"),
        pytest.param([RUNNING, A], 1, "a", 0, id="limit-reached"),
        pytest.param([RUNNING, RUNNING, A], 1, "a", -1, id="limit-exceeded"),
        pytest.param([], 5, "", 5, id="empty"),
    ],
)
def test_oldest_waiting_warmups_are_resumed_up_to_the_limit(
    queue: list[JobState], max_running: int, names: str, limit: int
) -> None:
    settings = Settings(project="demo", deployment_project="demo", max_running=max_running)

    plan = plan_resume(queue, settings, GPU_CLUSTER)

    assert plan == ResumeJobs(tuple(map(JobName, names.split())), limit)


@pytest.mark.parametrize(
    ("queue", "names"),
    [
        pytest.param([*waiting("x", 3), *waiting("y", 1)], "x0 y0 x1 x2", id="each-in-turn"),
        pytest.param(
            [*waiting("x", 2), *waiting("y", 2), *waiting("z", 2)],
            "x0 y0 z0 x1 y1 z1",
            id="three-tenants",
        ),
        pytest.param(
            [running("x"), *waiting("x", 2), *waiting("y", 2)], "y0 x0 y1 x1", id="after-the-last"
        ),
        pytest.param(
            [running("y"), *waiting("x", 1), *waiting("y", 1), *waiting("z", 1)],
            "z0 x0 y0",
            id="ring",
        ),
        pytest.param(
            [running("y", 1), running("x", 2), *waiting("x", 1), *waiting("y", 1)],
            "y0 x0",
            id="last-resumed-decides",
        ),
        pytest.param(
            [
                running("x", 2),
                make_state("new", is_running=True, tenants=("y",)),
                *waiting("y", 1),
                *waiting("z", 1),
            ],
            "z0 y0",
            id="start-not-written-yet",
        ),
        pytest.param([*waiting("x", 2), A], "a x0 x1", id="persons-have-a-turn"),
        pytest.param(
            [*waiting("x", 2), SHARED, *waiting("z", 1)], "x0 shared x1 z0", id="shared-by-two"
        ),
    ],
)
def test_tenants_are_served_in_turn(queue: list[JobState], names: str) -> None:
    settings = Settings(project="demo", deployment_project="demo", max_running=50)

    assert list(plan_resume(queue, settings, GPU_CLUSTER).names) == names.split()


def test_all_tenants_are_served_before_one_is_served_again() -> None:
    settings = Settings(project="demo", deployment_project="demo", max_running=1)
    queue = [*waiting("x", 4), *waiting("y", 4), *waiting("z", 4)]
    order = []

    last: list[JobState] = []
    while queue:
        name = plan_resume([*last, *queue], settings, GPU_CLUSTER).names[0]
        (state,) = [each for each in queue if each.name == name]
        queue.remove(state)
        order.append(str(name)[0])
        # It has ended, and its fact is not written yet.
        last = [replace(state, is_suspended=False, is_complete=True, started=f"{len(order):02}")]

    assert "".join(order) == "xyzxyzxyzxyz"


@pytest.mark.parametrize(
    ("queue", "max_running", "names"),
    [
        pytest.param(waiting("x", 5), 3, "x0 x1", id="one-tenant"),
        pytest.param([*waiting("x", 5), *waiting("y", 5)], 4, "x0 y0 x1", id="two-tenants"),
        pytest.param([running("x"), running("y"), *waiting("z", 1)], 3, "z0", id="third-tenant"),
        pytest.param([running("x", 1), running("x", 2), *waiting("x", 2)], 3, "", id="running"),
        pytest.param(waiting("x", 2), 1, "x0", id="only-place"),
        pytest.param([A, B, C], 2, "a b c", id="persons-have-no-limit"),
        pytest.param(
            [running("x", 1), running("x", 2), SHARED], 3, "shared", id="shared-with-another"
        ),
    ],
)
def test_one_tenant_never_takes_the_last_place(
    queue: list[JobState], max_running: int, names: str
) -> None:
    settings = Settings(project="demo", deployment_project="demo", max_running=max_running)

    assert list(plan_resume(queue, settings, GPU_CLUSTER).names) == names.split()


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


def test_queue_knows_the_tenants_of_a_warmup() -> None:
    cluster = FakeCluster()
    tenant = Tenant("namespace", "ml").label
    cluster.create_job(make_warmup("warm-a", tenant_label=tenant).body())
    cluster.patch_job("warm-a", {"metadata": {"labels": {"tenant.prestream.dev/00": "also"}}})

    assert [each.tenants for each in read_queue(cluster)] == [(tenant, "tenant.prestream.dev/00")]
