"""The warmup queue at a sweep: facts that are missing, and Jobs that waited for too long."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.action import DeleteJob, WriteFact
from shared.domain.image_state import Progress, WarmupRecord
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import JobName
from shared.errors import TransientError
from shared.pipeline.execute import Executor
from shared.pipeline.sweep.queue import (
    ExistingWarmup,
    WarmupQueue,
    plan_removal,
    read_warmup,
    repair_queue,
)
from shared.settings.keys import make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import GPU_CLUSTER, START, FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import LIMITED, end, place_pod, place_warmup, pod_event, pulled_text
from tests.fakes.warmups import DIGEST, MIRRORS, make_warmup

NAME = JobName("warm-a")
PERIOD = timedelta(hours=48)
CREATED = START + timedelta(seconds=1)
ENDED = parse_time("2026-11-24T08:00:00Z")


def make_job(
    condition: str | None = None, *, suspend: bool = True, **annotations: str
) -> dict[str, Any]:
    """Return a Job as the cluster lists it; with a condition, it has ended."""
    cluster = FakeCluster()
    cluster.create_job(make_warmup(NAME).body())
    cluster.jobs[NAME]["spec"]["suspend"] = suspend
    for name, value in annotations.items():
        key = f"prestream.dev/{name.replace('_', '-')}"
        cluster.jobs[NAME]["metadata"]["annotations"][key] = value
    if condition is not None:
        cluster.end_job(NAME, condition)
    return cluster.jobs[NAME]


# Removal


@pytest.mark.parametrize(
    ("job", "age", "is_removed"),
    [
        pytest.param(make_job(), PERIOD, True, id="waited-a-period"),
        pytest.param(make_job(), PERIOD - timedelta(seconds=1), False, id="waits"),
        pytest.param(make_job(suspend=False), 3 * PERIOD, False, id="runs"),
        pytest.param(make_job("Complete"), 3 * PERIOD, False, id="complete"),
        pytest.param(make_job("Failed"), 3 * PERIOD, False, id="failed"),
    ],
)
def test_warmup_that_waited_a_period_is_removed(
    job: dict[str, Any], age: timedelta, *, is_removed: bool
) -> None:
    actions = plan_removal(job, GPU_CLUSTER, PERIOD, CREATED + age)

    assert len(actions) == (2 if is_removed else 0)


def test_removal_writes_the_fact_first_and_deletes_only_the_version_read() -> None:
    job = make_job()
    metadata = job["metadata"]

    write, deletion = plan_removal(job, GPU_CLUSTER, PERIOD, CREATED + PERIOD)

    assert deletion == DeleteJob(NAME, metadata["uid"], metadata["resourceVersion"])
    assert isinstance(write, WriteFact)
    assert write.of_change
    payload = write.fact.payload
    assert write.fact.timestamp == CREATED + PERIOD
    assert (payload["outcome"], payload["job"]) == ("timed_out", NAME)
    assert (payload["image"], payload["cluster"]) == ("anyscale/ray-ml:2.7.0", str(GPU_CLUSTER))
    assert payload["total_seconds"] == PERIOD.total_seconds()
    assert "max_running" in payload["hint"]


def test_removed_job_that_is_not_a_warmup_has_no_fact() -> None:
    job = make_job()
    job["metadata"]["annotations"] = {}

    (deletion,) = plan_removal(job, GPU_CLUSTER, PERIOD, CREATED + PERIOD)

    assert isinstance(deletion, DeleteJob)


# The Jobs that remain

LATER = ENDED + PERIOD / 8


@pytest.mark.parametrize(
    ("job", "is_complete", "retry_at"),
    [
        pytest.param(make_job(), False, None, id="waits"),
        pytest.param(make_job(suspend=False), False, None, id="runs"),
        pytest.param(make_job("Complete"), True, None, id="complete"),
        pytest.param(
            make_job("Complete", outcome="pulled", fills_cache="true"), True, None, id="pulled"
        ),
        pytest.param(
            make_job("Complete", outcome="pulled", fills_cache="false"),
            True,
            START,
            id="unknown-whether-the-node-held-it",
        ),
        pytest.param(
            make_job("Complete", outcome="already_present"), True, START, id="node-held-the-image"
        ),
        pytest.param(make_job("Failed", reported="fact"), False, LATER, id="failed"),
        pytest.param(make_job("Failed", not_before=""), False, LATER, id="time-is-empty"),
        pytest.param(make_job("Failed", not_before="soon"), False, LATER, id="time-is-invalid"),
        pytest.param(
            make_job("Failed", not_before="2026-11-24T09:00:00Z"),
            False,
            parse_time("2026-11-24T09:00:00Z"),
            id="postponed",
        ),
    ],
)
def test_warmup_is_due_again_if_it_failed_or_filled_no_cache(
    job: dict[str, Any], retry_at: datetime | None, *, is_complete: bool
) -> None:
    warmup = read_warmup(job, None, PERIOD, START)

    assert (warmup.name, warmup.image) == (NAME, "anyscale/ray-ml:2.7.0")
    assert (warmup.is_complete, warmup.retry_at) == (is_complete, retry_at)


@pytest.mark.parametrize(
    ("job", "progress", "at"),
    [
        pytest.param(make_job(), "waiting", CREATED, id="waits"),
        pytest.param(make_job(suspend=False), "warming", CREATED, id="runs"),
        pytest.param(
            make_job("Complete", outcome="pulled", fills_cache="true"), "good", ENDED, id="warm"
        ),
        pytest.param(
            make_job("Complete", outcome="pulled", fills_cache="false"), "held", ENDED, id="held"
        ),
        pytest.param(make_job("Complete"), "held", ENDED, id="not-reported"),
        pytest.param(
            make_job("Failed", outcome="pulled", fills_cache="true"), "good", ENDED, id="not-run"
        ),
        pytest.param(make_job("Failed", outcome="pull_failed"), "bad", ENDED, id="failed"),
    ],
)
def test_warmup_shows_whether_its_image_is_warm(
    job: dict[str, Any], progress: Progress, at: datetime
) -> None:
    warmup = read_warmup(job, None, PERIOD, START)

    assert warmup.record == WarmupRecord(progress, at)


def test_fact_of_this_sweep_comes_before_the_annotations() -> None:
    scene = Scene()
    end(place_warmup(scene.cluster))
    place_pod(scene.cluster)
    scene.cluster.place(pod_event("Pulled", pulled_text(99.0)))

    (warmup,) = scene.repair().warmups.values()

    (fact,) = scene.log.facts
    assert fact.payload["streamed"] == "not_streamed"
    assert warmup.record.progress == "good"


def test_warmup_has_the_target_and_platform_of_its_job() -> None:
    warmup = read_warmup(make_job(), None, PERIOD, START)

    assert (warmup.pulled, warmup.target) == (
        f"{MIRRORS}/anyscale/ray-ml@{DIGEST}",
        "nvidia-l4-6af5d1",
    )
    assert warmup.platform == "linux/amd64"


def make_existing(*, is_complete: bool = False, retry_at: datetime | None = None) -> ExistingWarmup:
    warmup = read_warmup(make_job(), None, PERIOD, START)
    return replace(warmup, image="a", is_complete=is_complete, retry_at=retry_at)


@pytest.mark.parametrize(
    ("warmup", "is_served", "has_pulled"),
    [
        pytest.param(None, False, False, id="no-job"),
        pytest.param(make_existing(), True, False, id="waits-or-runs"),
        pytest.param(make_existing(is_complete=True), True, True, id="complete"),
        pytest.param(
            make_existing(retry_at=START + timedelta(seconds=1)), True, False, id="failed"
        ),
        pytest.param(make_existing(retry_at=START), False, False, id="due-again"),
    ],
)
def test_existing_warmup_serves_its_image(
    warmup: ExistingWarmup | None, *, is_served: bool, has_pulled: bool
) -> None:
    queue = WarmupQueue({NAME: warmup} if warmup else {})

    assert queue.is_served(NAME, START) is is_served
    assert queue.has_pulled(NAME) is has_pulled
    assert queue.images == (frozenset({"a"}) if warmup else frozenset())


# The step


class Scene:
    """A cluster and a log of facts, and the repair of its queue."""

    def __init__(self, cluster: FakeCluster | None = None, *, dry_run: bool = False) -> None:
        self.cluster, self.log = cluster or FakeCluster(), FakeFactLog()
        self._settings = make_settings(
            Document({"dry_run": dry_run}), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file"
        )

    def add(self, name: str = NAME, condition: str | None = None) -> None:
        self.cluster.create_job(make_warmup(name).body())
        self.cluster.jobs[name]["spec"]["suspend"] = condition is None
        if condition is not None:
            self.cluster.end_job(name, condition)

    def repair(self, now: datetime = START) -> WarmupQueue:
        execute = Executor(self.log, dry_run=self._settings.dry_run)
        return repair_queue(self.cluster, self._settings, execute, now)


@pytest.mark.parametrize("condition", ["Complete", "Failed"])
def test_ended_job_without_a_fact_is_reported_once(condition: str) -> None:
    scene = Scene()
    scene.add(NAME, condition)

    assert scene.repair().reported == 1
    assert scene.repair().reported == 0
    assert [fact.payload["job"] for fact in scene.log.facts] == [NAME]


def test_warmup_without_a_node_is_reported_as_such() -> None:
    scene = Scene()
    end(place_warmup(scene.cluster), "DeadlineExceeded")
    place_pod(scene.cluster, node=None)

    scene.repair()

    (fact,) = scene.log.facts
    assert (fact.payload["outcome"], fact.payload["streamed"]) == ("no_node", None)


def test_waiting_warmup_is_not_reported() -> None:
    scene = Scene()
    scene.add()

    queue = scene.repair()

    assert (queue.reported, queue.removed, scene.log.facts) == (0, 0, [])
    assert queue.warmups.keys() == {NAME}


def test_postponed_warmup_is_due_at_the_time_of_its_fact() -> None:
    scene = Scene()
    end(place_warmup(scene.cluster), "DeadlineExceeded")
    place_pod(scene.cluster)
    scene.cluster.place(pod_event("Failed", f'Failed to pull image "x": {LIMITED}', 60))

    # The sweep that writes the fact, and a later one.
    for _ in range(2):
        (warmup,) = scene.repair().warmups.values()
        (fact,) = scene.log.facts
        assert warmup.retry_at == parse_time(fact.payload["not_before"])


class Interrupted(FakeCluster):
    """A cluster in which somebody changes a Job just before it is patched."""

    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool:
        self.jobs[name]["metadata"]["resourceVersion"] = "changed"
        return super().patch_job(name, patch)


def test_conflict_of_one_job_does_not_affect_another() -> None:
    scene = Scene(Interrupted())
    for name in ("warm-a", "warm-b"):
        scene.add(name, "Complete")

    queue = scene.repair()

    assert [fact.payload["job"] for fact in scene.log.facts] == ["warm-a", "warm-b"]
    assert list(queue.warmups) == ["warm-a", "warm-b"]
    assert queue.reported == 0


def test_failure_of_the_log_is_raised_and_repaired_by_the_next_sweep() -> None:
    scene = Scene()
    scene.add(NAME, "Complete")
    scene.log.error = TransientError("no answer")

    with pytest.raises(TransientError, match="no answer"):
        scene.repair()

    scene.log.error = None
    assert scene.repair().reported == 1


class Resumed(FakeCluster):
    """A cluster in which somebody resumes a Job just before it is deleted."""

    def delete_job(self, name: str, uid: str, version: str | None = None) -> None:
        self.patch_job(name, {"spec": {"suspend": False}})
        super().delete_job(name, uid, version)


def test_job_resumed_at_that_moment_is_not_removed() -> None:
    scene = Scene(Resumed())
    scene.add()

    scene.repair(CREATED + PERIOD)

    assert scene.cluster.jobs[NAME]["spec"]["suspend"] is False


def test_removed_warmup_does_not_serve() -> None:
    scene = Scene()
    scene.add()

    queue = scene.repair(CREATED + PERIOD)

    assert (queue.removed, queue.warmups, scene.cluster.jobs) == (1, {}, {})
    assert [fact.payload["outcome"] for fact in scene.log.facts] == ["timed_out"]


def test_dry_run_removes_and_marks_nothing() -> None:
    scene = Scene(dry_run=True)
    scene.add()
    scene.add("warm-b", "Complete")
    scene.cluster.calls.clear()

    queue = scene.repair(START + 2 * PERIOD)

    assert (queue.removed, queue.reported) == (1, 1)
    assert [fact.payload["job"] for fact in scene.log.facts] == ["warm-b"]
    assert scene.cluster.jobs.keys() == {NAME, "warm-b"}
    assert not {"patch_job", "delete_job"} & set(scene.cluster.calls)


def test_foreign_job_is_not_reported() -> None:
    scene = Scene()
    body = make_warmup(NAME).body()
    body["metadata"]["annotations"] = {}
    scene.cluster.create_job(body)
    scene.cluster.end_job(NAME, "Complete")

    assert scene.repair().reported == 0
    assert scene.log.facts == []
