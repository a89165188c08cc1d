"""The decision about a warmup: what is known about an image on a target -> result and actions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.action import CreateJob, DeleteJob, MarkReported
from shared.domain.image_reference import ImageReference
from shared.domain.manifest import Manifest
from shared.domain.mirror import Source
from shared.domain.request import Cause, ReferenceRequest
from shared.domain.timestamp import format_time
from shared.domain.warmup_job import JobName
from shared.pipeline.choose_rung import RungChoice
from shared.pipeline.plan_warmup import WarmupPlan, WarmupSnapshot, plan_warmup
from shared.pipeline.prewarm_artifact import PrewarmStep
from shared.pipeline.resolved_request import ResolvedRequest, Target
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.warmups import DIGEST, L4, make_strategy, make_warmup

NAME = JobName("warm-ray-ml-1")
WARMUP = make_warmup(NAME, target_name="l4", cause=Cause("audit_log", "entry-1"))
NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
GB = 1_000_000_000
SMALL = 199_999_999
WARMUP_TIME = format_time(WARMUP.queued_at)
LATER = format_time(WARMUP.queued_at + timedelta(seconds=1))
MARK = MarkReported(NAME, "1", "insert-id", "pull_failed", fills_cache=False)


def make_resolved_request(**fields: Any) -> ResolvedRequest:
    image = ImageReference("docker.io", "anyscale/ray-ml", "2.7.0")
    request = ReferenceRequest(
        image="anyscale/ray-ml:2.7.0", reference=image, **{"cause": WARMUP.cause, **fields}
    )
    mirror = replace(WARMUP.mirror, tag="2.7.0", digest=None)
    return ResolvedRequest(request, "message-1", NOW, Source(image, mirror), Manifest(DIGEST))


def make_job(
    condition: str | None = None, *, suspend: bool = False, **annotations: str
) -> dict[str, Any]:
    body = WARMUP.body()
    body["metadata"] |= {"uid": "u-1", "creationTimestamp": "2026-11-24T07:00:00Z"}
    for key, value in annotations.items():
        body["metadata"]["annotations"][f"prestream.dev/{key.replace('_', '-')}"] = value
    body["spec"]["suspend"] = suspend
    if condition is not None:
        body["status"] = {"conditions": [{"type": condition, "status": "True"}]}
    return body


UNKNOWN = WarmupSnapshot(target=Target("l4", L4))
KNOWN = replace(UNKNOWN, resolved=make_resolved_request(), name=NAME, image_bytes=GB)
READY = replace(
    KNOWN, choice=RungChoice(make_strategy()), helper=WARMUP.helper, read_at=WARMUP.queued_at
)
FAILED = replace(READY, job=make_job("Failed"))
STEP = PrewarmStep("prewarming", "ray-ml in us-central1")


@pytest.fixture
def settings() -> Settings:
    return make_settings(Document({}), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file")


def names_of(plan: WarmupPlan) -> list[str]:
    return [type(each).__name__ for each in plan.actions]


@pytest.mark.parametrize(
    ("snapshot", "result", "actions"),
    [
        pytest.param(READY, "warm", ["CreateJob"], id="no-job"),
        pytest.param(replace(READY, job=make_job()), "known", [], id="running-job"),
        pytest.param(replace(READY, job=make_job("Complete")), "known", [], id="complete-job"),
        pytest.param(replace(READY, job=make_job(suspend=True)), "waiting", [], id="waiting-job"),
        pytest.param(FAILED, "warm", ["DeleteJob", "CreateJob"], id="failed-job"),
        pytest.param(
            replace(FAILED, report=(MARK,)),
            "warm",
            ["MarkReported", "DeleteJob", "CreateJob"],
            id="failed-job-is-reported-first",
        ),
        pytest.param(
            replace(READY, job=make_job("Complete", outcome="already_present")),
            "warm",
            ["DeleteJob", "CreateJob"],
            id="node-held-the-image",
        ),
        pytest.param(
            replace(READY, job=make_job("Complete", outcome="pulled", fills_cache="true")),
            "known",
            [],
            id="node-pulled-the-image",
        ),
        pytest.param(
            replace(READY, job=make_job("Complete", outcome="pulled", fills_cache="false")),
            "warm",
            ["DeleteJob", "CreateJob"],
            id="unknown-whether-the-node-held-it",
        ),
        pytest.param(
            replace(READY, job=make_job("Failed", not_before=LATER)),
            "postponed",
            [],
            id="before-the-time-of-a-retry",
        ),
        pytest.param(
            replace(READY, job=make_job("Failed", not_before=WARMUP_TIME)),
            "warm",
            ["DeleteJob", "CreateJob"],
            id="at-the-time-of-a-retry",
        ),
        pytest.param(
            replace(READY, job=make_job("Failed", not_before="soon")),
            "warm",
            ["DeleteJob", "CreateJob"],
            id="time-of-a-retry-is-invalid",
        ),
        pytest.param(
            replace(
                READY,
                job=make_job("Failed", not_before=LATER),
                resolved=make_resolved_request(force=True),
            ),
            "warm",
            ["DeleteJob", "CreateJob"],
            id="force-ignores-the-time-of-a-retry",
        ),
        pytest.param(replace(READY, image_bytes=SMALL), "too_small", [], id="small"),
        pytest.param(
            replace(READY, image_bytes=SMALL, job=make_job()), "known", [], id="job-before-size"
        ),
        pytest.param(
            replace(READY, image_bytes=SMALL, job=make_job("Failed")),
            "too_small",
            [],
            id="small-and-failed",
        ),
        pytest.param(
            replace(READY, image_bytes=SMALL, resolved=make_resolved_request(force=True)),
            "warm",
            ["CreateJob"],
            id="small-and-forced",
        ),
        pytest.param(
            replace(READY, image_bytes=SMALL, resolved=make_resolved_request(cause=Cause())),
            "warm",
            ["CreateJob"],
            id="small-and-manual",
        ),
        pytest.param(
            replace(KNOWN, choice=RungChoice(prewarm=STEP)), "prewarming", [], id="prewarmed"
        ),
        pytest.param(
            replace(FAILED, choice=RungChoice(prewarm=STEP)),
            "prewarming",
            [],
            id="prewarmed-after-failed-job",
        ),
        pytest.param(UNKNOWN, "warm_unless_small", [], id="nothing-known"),
        pytest.param(KNOWN, "warm", [], id="no-cluster"),
        pytest.param(replace(KNOWN, image_bytes=SMALL), "too_small", [], id="no-cluster-small"),
        pytest.param(
            replace(KNOWN, image_bytes=None), "warm_unless_small", [], id="no-cluster-no-size"
        ),
        pytest.param(
            replace(UNKNOWN, choice=READY.choice), "warm_unless_small", [], id="no-digest"
        ),
    ],
)
def test_result_and_actions_follow_from_the_snapshot(
    settings: Settings, snapshot: WarmupSnapshot, result: str, actions: list[str]
) -> None:
    plan = plan_warmup(snapshot, settings)

    assert (plan.result, names_of(plan)) == (result, actions)


def test_job_says_what_it_warms_and_why(settings: Settings) -> None:
    plan = plan_warmup(READY, settings)

    expected = replace(WARMUP, image_bytes=GB, time_to_live_s=263_000)
    (creation,) = plan.actions
    assert isinstance(creation, CreateJob)
    assert replace(creation.warmup, time_to_live_s=263_000) == expected
    assert creation.warmup.time_to_live_s > (48 + 24) * 3600
    assert creation.replaces is None


def test_failed_job_is_replaced_by_its_uid(settings: Settings) -> None:
    deletion, creation = plan_warmup(FAILED, settings).actions

    assert deletion == DeleteJob(NAME, "u-1")
    assert isinstance(creation, CreateJob)
    assert creation.replaces == "u-1"


def test_plan_without_a_helper_lists_the_creation(settings: Settings) -> None:
    (creation,) = plan_warmup(replace(READY, helper=None), settings).actions

    assert isinstance(creation, CreateJob)
    with pytest.raises(TypeError, match=NAME):
        creation.warmup.body()


@pytest.mark.parametrize(
    ("snapshot", "described"),
    [
        pytest.param(READY, {"job": NAME, "rung": "gpu-node", "image_bytes": GB}, id="new"),
        pytest.param(
            replace(KNOWN, job=make_job("Complete")),
            {
                "job": NAME,
                "rung": "gpu-node",
                "image_bytes": WARMUP.image_bytes,
                "is_complete": True,
            },
            id="existing-by-its-annotations",
        ),
        pytest.param(
            replace(KNOWN, choice=RungChoice(prewarm=STEP)),
            {"rung": "prewarm-api", "artifact": STEP.artifact},
            id="prewarmed",
        ),
        pytest.param(
            replace(READY, choice=RungChoice(make_strategy(), passed="no permission")),
            {"passed": "no permission"},
            id="passed-over",
        ),
        pytest.param(
            replace(UNKNOWN, choice=READY.choice), {"rung": "gpu-node", "job": None}, id="no-digest"
        ),
    ],
)
def test_plan_describes_the_warmup(
    settings: Settings, snapshot: WarmupSnapshot, described: dict[str, Any]
) -> None:
    plan = plan_warmup(snapshot, settings)

    assert {name: getattr(plan, name) for name in described} == described
