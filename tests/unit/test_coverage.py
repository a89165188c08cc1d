"""Coverage: the state of each image in use, from what a sweep read of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.image_state import Progress, WarmupRecord
from shared.domain.manifest import Manifest
from shared.domain.warmup_job import JobName
from shared.pipeline.sweep.coverage import (
    Coverage,
    CoverageState,
    ImageCoverage,
    TargetReading,
    combine_targets,
    find_grace,
    judge_target,
)
from shared.pipeline.sweep.due import ImageInUse, Sweep, group_images, name_candidates
from shared.pipeline.sweep.inventory import Use
from shared.pipeline.sweep.queue import ExistingWarmup
from tests.fakes.sweep_values import (
    H100,
    INDEX,
    L4,
    LARGE,
    NOW,
    SMALL,
    TRAINER,
    TWO,
    locate,
    make_artifact,
    make_image,
    make_sweep,
    make_use,
    make_warmup,
)

PERIOD = timedelta(hours=48)
HOUR = timedelta(hours=1)


def seen(progress: Progress, hours: float = 1.0) -> WarmupRecord:
    """Return a warmup that ended, or was created, some hours ago."""
    return WarmupRecord(progress, NOW - hours * HOUR)


# One target


@pytest.mark.parametrize(
    ("reading", "state"),
    [
        pytest.param({"warmups": (seen("good"),)}, "warm", id="filled-the-cache"),
        pytest.param({"warmups": (seen("good", 47.9),)}, "warm", id="nearly-a-period-ago"),
        pytest.param({"warmups": (seen("good", 48),)}, "failed", id="a-period-ago"),
        pytest.param({"warmups": (seen("good", 48),), "is_requested": True}, "due", id="due-again"),
        pytest.param({"warmups": (seen("held"),)}, "held", id="held"),
        pytest.param(
            {"warmups": (seen("held"),), "is_requested": True}, "held", id="held-and-requested"
        ),
        pytest.param({"warmups": (seen("held"), seen("good", 9))}, "warm", id="held-while-warm"),
        pytest.param({"warmups": (seen("held"), seen("good", 49))}, "held", id="held-since"),
        pytest.param({"warmups": (seen("bad"),)}, "failed", id="failed"),
        pytest.param(
            {"warmups": (seen("bad"),), "is_requested": True}, "failed", id="failed-and-requested"
        ),
        pytest.param({"warmups": (seen("waiting"),)}, "warming", id="waits"),
        pytest.param({"warmups": (seen("warming"), seen("bad", 9))}, "warming", id="retried"),
        pytest.param({"warmups": (seen("warming"), seen("good", 9))}, "warm", id="renewed"),
        pytest.param({"is_requested": True}, "due", id="requested"),
        pytest.param({"is_requested": True, "refusal": "no_node"}, "failed", id="no-node"),
        pytest.param({"is_requested": True, "refusal": "misconfigured"}, "failed", id="too-far"),
        pytest.param(
            {"is_requested": True, "refusal": "already_present"}, "held", id="all-nodes-hold-it"
        ),
        pytest.param(
            {"warmups": (seen("good", 48),), "is_requested": True, "refusal": "already_present"},
            "held",
            id="due-but-all-nodes-hold-it",
        ),
        pytest.param(
            {"warmups": (seen("warming"),), "is_requested": True, "refusal": "no_node"},
            "warming",
            id="runs-although-the-node-is-gone",
        ),
        pytest.param({}, "failed", id="postponed"),
        pytest.param({"artifact": make_artifact()}, "warm", id="prewarmed"),
        pytest.param({"artifact": make_artifact(left=-HOUR)}, "failed", id="expired"),
        pytest.param({"artifact": make_artifact(state="CACHING")}, "warming", id="caching"),
        pytest.param({"artifact": make_artifact(state="FAILED")}, "failed", id="not-cached"),
        pytest.param(
            {"warmups": (seen("held"),), "artifact": make_artifact()}, "warm", id="held-prewarmed"
        ),
        pytest.param(
            {"warmups": (seen("good"),), "artifact": make_artifact(state="FAILED")},
            "warm",
            id="pulled-but-not-prewarmed",
        ),
        pytest.param(
            {"warmups": (seen("good"),), "is_eligible": False}, "not_eligible", id="too-small"
        ),
    ],
)
def test_state_of_an_image_on_a_target(reading: dict[str, Any], state: CoverageState) -> None:
    assert judge_target(TargetReading(**reading), NOW, PERIOD).state == state


@pytest.mark.parametrize(
    ("reading", "lapsed"),
    [
        pytest.param({"warmups": (seen("good"),)}, None, id="warm"),
        pytest.param({"is_requested": True}, None, id="never-warm"),
        pytest.param({"warmups": (seen("held", 60),)}, None, id="held-ever-since"),
        pytest.param({"warmups": (seen("held"), seen("good", 50))}, NOW - 2 * HOUR, id="held"),
        pytest.param({"warmups": (seen("bad"), seen("good", 50))}, NOW - 2 * HOUR, id="failed"),
        pytest.param(
            {"warmups": (seen("warming"), seen("good", 90), seen("good", 50))},
            NOW - 2 * HOUR,
            id="renewed-too-late",
        ),
        pytest.param({"artifact": make_artifact(left=-HOUR)}, NOW - HOUR, id="expired"),
    ],
)
def test_end_of_the_warmth_is_known(reading: dict[str, Any], lapsed: datetime | None) -> None:
    assert judge_target(TargetReading(**reading), NOW, PERIOD).lapsed == lapsed


# One image


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["warm", "warm"], "warm"),
        (["warm", "warming"], "warming"),
        (["due", "warming"], "due"),
        (["held", "due"], "held"),
        (["failed", "held", "warm"], "failed"),
        (["not_eligible", "warm"], "warm"),
        (["not_eligible", "failed"], "failed"),
        (["not_eligible", "not_eligible"], "not_eligible"),
    ],
)
def test_worst_target_decides(states: Sequence[CoverageState], state: CoverageState) -> None:
    assert combine_targets(map(ImageCoverage, states)).state == state


def count(sweep: Sweep, index: Manifest | None, **fields: Any) -> dict[str, Any]:
    """Return the details of a sweep with one image, with fields of its candidates."""
    coverage = Coverage(sweep)
    image = make_image(sweep)
    if index is None:
        coverage.add_unresolved(image)
    else:
        candidates = name_candidates(sweep, image, index).values()
        coverage.add(image, [replace(each, **fields) for each in candidates], ())
    return coverage.as_details()


def state_of(sweep: Sweep, index: Manifest | None = LARGE, **fields: Any) -> str:
    counts = count(sweep, index, **fields)["coverage"]
    (state,) = (state for state, number in counts.items() if number)
    return str(state)


def make_ended(
    use: Use, progress: Progress = "good", hours: float = 1.0, **fields: Any
) -> ExistingWarmup:
    """Return the Job of a use that ended some hours ago."""
    pulled = f"us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer@{LARGE.digest}"
    known = {"pulled": pulled, "target": use.placement.name, "platform": "linux/amd64"}
    warmup = make_warmup(JobName(f"warm-{use.placement.name}-{progress}-{hours}-{fields}"))
    return replace(warmup, record=seen(progress, hours), **{**known, **fields})


ON_L4, ON_H100 = make_use(), make_use(selector=H100)
ON_ARM, ON_AMD = make_use(platform="linux/arm64"), make_use(platform="linux/amd64")
NAMED: dict[str, Any] = {"targets": {"small": {"nodeSelector": L4}}}


@pytest.mark.parametrize(
    ("uses", "warmups", "state"),
    [
        pytest.param([ON_L4], [make_ended(ON_L4)], "warm", id="its-target"),
        pytest.param([ON_L4], [make_ended(ON_H100)], "failed", id="another-target"),
        pytest.param([ON_L4, ON_H100], [make_ended(ON_L4)], "failed", id="one-of-two-targets"),
        pytest.param(
            [ON_L4, ON_H100], [make_ended(ON_L4), make_ended(ON_H100)], "warm", id="both-targets"
        ),
        pytest.param([ON_L4], [make_ended(ON_L4, platform="linux/arm64")], "warm", id="any"),
        pytest.param([ON_ARM], [make_ended(ON_ARM)], "failed", id="another-platform"),
        pytest.param([ON_AMD, ON_ARM], [make_ended(ON_L4)], "failed", id="one-of-two-platforms"),
        pytest.param(
            [ON_AMD, ON_ARM],
            [make_ended(ON_L4), make_ended(ON_L4, platform="linux/arm64")],
            "warm",
            id="both-platforms",
        ),
        pytest.param([ON_L4], [make_ended(ON_L4, pulled=f"x@{TWO}")], "failed", id="older-version"),
        pytest.param([ON_L4], [make_ended(ON_L4, target="small")], "failed", id="unknown-name"),
    ],
)
def test_warmup_counts_on_its_target_and_platform(
    uses: list[Use], warmups: list[ExistingWarmup], state: str
) -> None:
    assert state_of(make_sweep(*uses, warmups=warmups)) == state


def test_unresolved_image_counts_on_each_target() -> None:
    for first, second in ((ON_L4, ON_H100), (ON_H100, ON_L4)):
        sweep = make_sweep(first, second, warmups=[make_ended(ON_L4)])

        assert state_of(sweep, index=None) == "failed"


def test_platform_of_the_node_selector_counts() -> None:
    selector = {**L4, "kubernetes.io/arch": "arm64"}
    use = make_use(selector=selector)

    assert state_of(make_sweep(use, warmups=[make_ended(use)])) == "failed"
    arm = make_ended(use, platform="linux/arm64")
    assert state_of(make_sweep(use, warmups=[arm])) == "warm"


def test_two_tags_of_one_digest_have_one_state() -> None:
    sweep = make_sweep(ON_L4)
    image = make_image(sweep)
    candidates = list(name_candidates(sweep, image, LARGE).values())
    coverage = Coverage(sweep)

    coverage.add(image, [replace(each, held=make_artifact()) for each in candidates], ())
    # A target that an earlier tag requested is not read again.
    coverage.add(image, candidates, [each.name for each in candidates])

    assert coverage.as_details()["coverage"]["warm"] == 2


def test_warmup_counts_on_the_configured_target() -> None:
    sweep = make_sweep(ON_L4, warmups=[make_ended(ON_L4, target="small")], **NAMED)

    assert state_of(sweep) == "warm"


@pytest.mark.parametrize(
    ("warmups", "state"),
    [
        pytest.param([], "failed", id="never-warmed"),
        pytest.param([make_ended(ON_L4, pulled=f"x@{TWO}")], "warm", id="warm"),
        pytest.param([make_ended(ON_L4, image="team/other:1")], "failed", id="another-image"),
        pytest.param([make_ended(ON_L4, "held")], "held", id="held"),
    ],
)
def test_image_whose_registry_limits_requests_is_as_last_seen(
    warmups: list[ExistingWarmup], state: str
) -> None:
    assert state_of(make_sweep(ON_L4, warmups=warmups), index=None) == state


@pytest.mark.parametrize(
    ("index", "fields", "state"),
    [
        pytest.param(LARGE, {"manifest": SMALL}, "not_eligible", id="too-small"),
        pytest.param(LARGE, {"is_skipped": True}, "not_eligible", id="no-such-platform"),
        pytest.param(INDEX, {"manifest": INDEX}, "failed", id="index"),
        pytest.param(LARGE, {"held": make_artifact()}, "warm", id="prewarmed"),
    ],
)
def test_read_of_a_target_decides(index: Manifest, fields: dict[str, Any], state: str) -> None:
    assert state_of(make_sweep(ON_L4), index, **fields) == state


@pytest.mark.parametrize(
    ("image", "values", "state"),
    [
        pytest.param("europe-west4-docker.pkg.dev/demo/ml/a:1", {}, "not_eligible", id="far"),
        pytest.param("us-docker.pkg.dev/demo/ml/a:1", {}, "failed", id="multi-region"),
        pytest.param(
            "europe-west4-docker.pkg.dev/demo/ml/a:1",
            {"ladder": ["gpu-node", "prewarm-api"]},
            "failed",
            id="far-but-prewarmed",
        ),
    ],
)
def test_image_that_cannot_stream_here_is_not_eligible(
    image: str, values: dict[str, Any], state: str
) -> None:
    assert state_of(make_sweep(make_use(image), **values)) == state


# Images that went cold


@pytest.mark.parametrize(
    ("progress", "hours", "is_cold"),
    [
        pytest.param("bad", 40, False, id="still-warm-when-it-failed"),
        pytest.param("bad", 52.7, False, id="within-a-tenth-of-the-period"),
        pytest.param("bad", 52.8, True, id="failed"),
        pytest.param("held", 53, True, id="held"),
        pytest.param("waiting", 53, True, id="waits-too-long"),
        pytest.param("good", 53, False, id="warm-again"),
    ],
)
def test_image_is_cold_some_time_after_its_warmth_ended(
    progress: Progress, hours: float, *, is_cold: bool
) -> None:
    warmups = [make_ended(ON_L4, "good", hours), make_ended(ON_L4, progress)]

    cold = count(make_sweep(ON_L4, warmups=warmups), LARGE)["cold"]

    assert cold == {"images": int(is_cold), "names": [TRAINER] if is_cold else []}


def test_image_that_is_not_eligible_any_more_is_not_cold() -> None:
    sweep = make_sweep(ON_L4, warmups=[make_ended(ON_L4, "good", 60)])

    assert count(sweep, LARGE, manifest=SMALL)["cold"]["images"] == 0


@pytest.mark.parametrize(
    ("values", "hours"),
    [
        ({}, 4.8),
        ({"period_hours": 24}, 2.4),
        ({"max_event_age_hours": 1}, 1.0),
        ({"period_hours": 720}, 12.5),
    ],
)
def test_image_is_cold_before_the_job_that_shows_it_is_removed(
    values: dict[str, Any], hours: float
) -> None:
    assert find_grace(make_sweep(**values).settings) == hours * HOUR


def test_line_names_twenty_cold_images() -> None:
    images = [f"team/app-{number:02}:1" for number in range(25)]
    uses = [make_use(image) for image in images]
    warmups = [
        replace(make_ended(ON_L4, "good", 60, image=image), name=JobName(image)) for image in images
    ]
    sweep = make_sweep(*uses, warmups=warmups)
    coverage = Coverage(sweep)
    found: list[ImageInUse] = group_images(sweep, locate(sweep))[0]
    for image in found:
        coverage.add_unresolved(image, find_refusal=lambda _: None)

    assert coverage.as_details()["cold"] == {"images": 25, "names": images[:20]}
