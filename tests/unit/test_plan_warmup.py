"""The decision whether a warmup Job is created: snapshot -> plan."""

from dataclasses import replace
from typing import Any

import pytest

from shared.domain.action import CreateJob, DeleteJob
from shared.domain.warmup_job import JobName
from shared.pipeline.execute import Executor
from shared.pipeline.plan_warmup import WarmupSnapshot, plan_warmup
from shared.pipeline.prewarm_artifact import PrewarmStep
from tests.fakes.clusters import FakeCluster
from tests.fakes.warmups import make_warmup

NAME = JobName("warm-a")
WARMUP = make_warmup(NAME)
UNKNOWN = WarmupSnapshot(name=NAME, min_image_bytes=100)
CERTAIN = replace(UNKNOWN, image_bytes=100, warmup=WARMUP)


def job(condition: str | None = None, *, suspend: bool = False) -> dict[str, Any]:
    body = WARMUP.body()
    body["metadata"] |= {"uid": "u-1", "creationTimestamp": "2026-11-24T07:00:00Z"}
    body["spec"]["suspend"] = suspend
    if condition is not None:
        body["status"] = {"conditions": [{"type": condition, "status": "True"}]}
    return body


@pytest.mark.parametrize(
    ("snapshot", "result", "actions"),
    [
        pytest.param(CERTAIN, "create", (CreateJob(WARMUP),), id="no-job"),
        pytest.param(
            replace(CERTAIN, body=job("Failed")),
            "create",
            (DeleteJob(NAME, "u-1"), CreateJob(WARMUP)),
            id="failed-job-is-replaced",
        ),
        pytest.param(replace(CERTAIN, body=job()), "known", (), id="running-job"),
        pytest.param(replace(CERTAIN, body=job("Complete")), "known", (), id="complete-job"),
        pytest.param(replace(CERTAIN, body=job(suspend=True)), "waiting", (), id="suspended-job"),
        pytest.param(replace(CERTAIN, image_bytes=99), "too_small", (), id="too-small"),
        pytest.param(
            replace(CERTAIN, image_bytes=99, min_image_bytes=0),
            "create",
            (CreateJob(WARMUP),),
            id="rule-bypassed",
        ),
        pytest.param(
            replace(CERTAIN, body=job(), image_bytes=99), "known", (), id="job-before-size"
        ),
        pytest.param(
            replace(UNKNOWN, image_bytes=100, prewarm=PrewarmStep("prewarmed", "a")),
            "prewarmed",
            (),
            id="prewarm-api",
        ),
        pytest.param(UNKNOWN, "unknown", (), id="nothing-known"),
        pytest.param(replace(UNKNOWN, image_bytes=100), "unknown", (), id="node-unknown"),
        pytest.param(replace(UNKNOWN, body=job("Failed")), "unknown", (), id="failed-and-unknown"),
        pytest.param(
            replace(CERTAIN, image_bytes=None), "create", (CreateJob(WARMUP),), id="size-unknown"
        ),
    ],
)
def test_plan_depends_on_job_size_and_node(
    snapshot: WarmupSnapshot, result: str, actions: tuple[Any, ...]
) -> None:
    plan = plan_warmup(snapshot)

    assert (plan.result, plan.actions) == (result, actions)


def test_existing_job_is_not_created_again() -> None:
    cluster = FakeCluster()
    execute = Executor()

    assert execute.create(cluster, lambda: (CreateJob(WARMUP),)) is True
    assert execute.create(cluster, lambda: (CreateJob(WARMUP),)) is False
    uid = cluster.jobs[NAME]["metadata"]["uid"]
    assert execute.create(cluster, lambda: (DeleteJob(NAME, uid), CreateJob(WARMUP))) is True
    assert cluster.jobs[NAME]["metadata"]["uid"] != uid


def test_dry_run_does_not_prepare_the_creation() -> None:
    def plan() -> Any:
        raise AssertionError("the plan reads what only a change needs")

    assert Executor(dry_run=True).create(FakeCluster(), plan) is None


def test_job_without_a_resolved_helper_is_refused() -> None:
    unresolved = (CreateJob(replace(WARMUP, helper=None)),)

    with pytest.raises(TypeError, match="warm-a"):
        Executor().create(FakeCluster(), lambda: unresolved)
