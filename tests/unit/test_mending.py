"""The queue of warmups, mended: missing facts, turns that never came, and what is tried again."""

from datetime import datetime, timedelta

import pytest

from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import JobName
from shared.errors import TransientError
from shared.pipeline.execute import Executor
from shared.pipeline.sweep.queue import WarmupQueue, repair_queue
from shared.settings.keys import make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import START, FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import LIMITED, end, place_pod, place_warmup, pod_event
from tests.fakes.warmups import make_warmup

NAME = JobName("warm-a")
PERIOD = timedelta(hours=48)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def log() -> FakeFactLog:
    return FakeFactLog()


def mend(
    cluster: FakeCluster, log: FakeFactLog, now: datetime = START, *, dry_run: bool = False
) -> WarmupQueue:
    environ = {"GOOGLE_CLOUD_PROJECT": "demo"}
    settings = make_settings(Document({"dry_run": dry_run}), environ, name="file")
    return repair_queue(cluster, settings, Executor(log, dry_run=dry_run), now)


def add(cluster: FakeCluster, name: str = NAME, *, suspend: bool = True) -> None:
    cluster.create_job(make_warmup(name).body())
    cluster.jobs[name]["spec"]["suspend"] = suspend


def created(cluster: FakeCluster) -> datetime:
    return parse_time(cluster.jobs[NAME]["metadata"]["creationTimestamp"])


# Facts that a lost event kept from being written


@pytest.mark.parametrize("condition", ["Complete", "Failed"])
def test_a_job_that_ended_unnoticed_gets_its_fact_once(
    cluster: FakeCluster, log: FakeFactLog, condition: str
) -> None:
    add(cluster, suspend=False)
    cluster.end_job(NAME, condition)

    assert mend(cluster, log).reported == 1
    assert [fact.payload["job"] for fact in log.facts] == [NAME]

    assert mend(cluster, log).reported == 0
    assert len(log.facts) == 1


def test_a_warmup_that_no_node_took_gets_an_honest_fact(
    cluster: FakeCluster, log: FakeFactLog
) -> None:
    end(place_warmup(cluster), "DeadlineExceeded")
    place_pod(cluster, node=None)

    mend(cluster, log)

    (fact,) = log.facts
    assert fact.payload["outcome"] == "no_node"
    assert fact.payload["streamed"] is None


def test_a_warmup_that_runs_or_waits_gets_no_fact(cluster: FakeCluster, log: FakeFactLog) -> None:
    add(cluster)
    add(cluster, "warm-b", suspend=False)

    queue = mend(cluster, log)

    assert (queue.reported, log.facts) == (0, [])
    assert set(queue.warmups) == {NAME, "warm-b"}


class Interrupted(FakeCluster):
    """A cluster in which somebody changes a Job just before it is marked or deleted."""

    def patch_job(self, name: str, patch: object) -> bool:
        self.jobs[name]["metadata"]["resourceVersion"] = "changed"
        return super().patch_job(name, patch)  # type: ignore[arg-type]


def test_a_job_that_somebody_else_marks_at_the_same_time_keeps_no_other_from_its_fact(
    log: FakeFactLog,
) -> None:
    cluster = Interrupted()
    for name in ("warm-a", "warm-b"):
        add(cluster, name, suspend=False)
        cluster.end_job(name, "Complete")

    queue = mend(cluster, log)

    assert [fact.payload["job"] for fact in log.facts] == ["warm-a", "warm-b"]
    assert set(queue.warmups) == {"warm-a", "warm-b"}


def test_a_fact_that_cannot_be_written_defers_the_sweep(
    cluster: FakeCluster, log: FakeFactLog
) -> None:
    add(cluster, suspend=False)
    cluster.end_job(NAME, "Complete")
    log.error = TransientError("no answer")

    with pytest.raises(TransientError, match="no answer"):
        mend(cluster, log)

    log.error = None
    assert mend(cluster, log).reported == 1


# Turns that never came


def test_a_warmup_whose_turn_did_not_come_in_a_period_is_removed_with_a_fact(
    cluster: FakeCluster, log: FakeFactLog
) -> None:
    add(cluster)
    over = created(cluster) + PERIOD

    assert mend(cluster, log, over - timedelta(seconds=1)).removed == 0
    queue = mend(cluster, log, over)

    assert (queue.removed, cluster.jobs) == (1, {})
    assert NAME not in queue.warmups
    (fact,) = log.facts
    assert fact.timestamp == over
    assert fact.payload["outcome"] == "timed_out"
    assert fact.payload["image"] == "anyscale/ray-ml:2.7.0"
    assert fact.payload["total_seconds"] == PERIOD.total_seconds()
    assert "max_running" in fact.payload["hint"]


def test_a_warmup_whose_turn_comes_in_that_moment_is_not_removed(log: FakeFactLog) -> None:
    class Resumed(FakeCluster):
        def delete_job(self, name: str, uid: str, version: str | None = None) -> None:
            self.patch_job(name, {"spec": {"suspend": False}})
            super().delete_job(name, uid, version)

    cluster = Resumed()
    add(cluster)

    mend(cluster, log, created(cluster) + PERIOD)

    assert cluster.jobs[NAME]["spec"]["suspend"] is False


def test_a_warmup_that_runs_is_left_to_its_deadline(cluster: FakeCluster, log: FakeFactLog) -> None:
    add(cluster, suspend=False)

    assert mend(cluster, log, START + 3 * PERIOD).removed == 0
    assert NAME in cluster.jobs


def test_a_dry_run_removes_and_marks_nothing(cluster: FakeCluster, log: FakeFactLog) -> None:
    add(cluster)
    add(cluster, "warm-b", suspend=False)
    cluster.end_job("warm-b", "Complete")
    cluster.calls.clear()

    queue = mend(cluster, log, START + 2 * PERIOD, dry_run=True)

    assert (queue.removed, queue.reported) == (1, 1)
    assert set(cluster.jobs) == {NAME, "warm-b"}
    assert not {"patch_job", "delete_job"} & set(cluster.calls)


# What may be tried again


def test_what_warms_or_has_warmed_is_served(cluster: FakeCluster, log: FakeFactLog) -> None:
    add(cluster)
    add(cluster, "warm-b", suspend=False)
    add(cluster, "warm-c", suspend=False)
    cluster.end_job("warm-c", "Complete")

    queue = mend(cluster, log)

    assert all(queue.is_served(JobName(f"warm-{name}"), START + PERIOD) for name in "abc")
    assert not queue.is_served(JobName("warm-d"), START)


def test_what_a_registry_postponed_is_tried_again_when_its_fact_says(
    cluster: FakeCluster, log: FakeFactLog
) -> None:
    end(place_warmup(cluster), "DeadlineExceeded")
    place_pod(cluster)
    cluster.place(pod_event("Failed", f'Failed to pull image "x": {LIMITED}', 60))

    # In the sweep that writes the fact, and in each one after it.
    for _ in range(2):
        queue = mend(cluster, log)
        (job,) = queue.warmups
        (fact,) = log.facts
        until = parse_time(fact.payload["not_before"])
        assert queue.warmups[job].retry_at == until
        assert queue.is_served(job, until - timedelta(seconds=1))
        assert not queue.is_served(job, until)


@pytest.mark.parametrize("marked", [None, "", "soon"])
def test_what_failed_otherwise_is_tried_again_after_a_while(
    cluster: FakeCluster, log: FakeFactLog, marked: str | None
) -> None:
    add(cluster, suspend=False)
    cluster.end_job(NAME, "Failed")
    cluster.jobs[NAME]["metadata"]["annotations"]["prestream.dev/reported"] = "fact"
    if marked is not None:
        cluster.jobs[NAME]["metadata"]["annotations"]["prestream.dev/not-before"] = marked

    queue = mend(cluster, log)

    assert queue.warmups[NAME].retry_at == parse_time("2026-11-24T08:00:00Z") + PERIOD / 8


def test_jobs_that_are_none_of_ours_are_left_alone(cluster: FakeCluster, log: FakeFactLog) -> None:
    body = make_warmup(NAME).body()
    body["metadata"]["annotations"] = {}
    cluster.create_job(body)
    cluster.end_job(NAME, "Complete")

    assert mend(cluster, log).reported == 0
    assert log.facts == []
