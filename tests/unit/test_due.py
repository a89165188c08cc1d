"""Decisions of a sweep about images in use: what was read as input, what is due as output."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.action import Publish, WriteFact
from shared.domain.cron_schedule import Schedule
from shared.domain.manifest import Manifest
from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.request import ReferenceRequest
from shared.domain.warmup_job import JobName
from shared.pipeline.sweep.due import (
    Candidate,
    Due,
    ImageInUse,
    Sweep,
    due,
    find_candidates,
    group_images,
    is_kept,
    name_candidates,
    request_all,
)
from shared.pipeline.sweep.inventory import Use
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.sweep_values import (
    DAY,
    GB,
    H100,
    INDEX,
    L4,
    LARGE,
    MIRRORED,
    NOW,
    ONE,
    OWN,
    SERVER,
    SMALL,
    TRAINER,
    TWO,
    WORKLOAD,
    locate,
    make_artifact,
    make_image,
    make_sweep,
    make_use,
    make_warmup,
)

# Images


def test_images_are_grouped_by_what_they_mean() -> None:
    spellings = (TRAINER, "docker.io/team/trainer:1", "index.docker.io/team/trainer:1", MIRRORED)
    sweep = make_sweep(*map(make_use, spellings), make_use(SERVER))

    images, skipped = group_images(sweep, locate(sweep))

    assert {image.names for image in images} == {frozenset(spellings), frozenset({SERVER})}
    assert skipped == {}


@pytest.mark.parametrize(
    ("image", "values", "outcome"),
    [
        pytest.param("evil.example/app:1", {}, "not_allowed", id="not-allowed"),
        pytest.param(TRAINER, {"exclude": ["docker.io/team/*"]}, "excluded", id="excluded"),
        pytest.param(
            MIRRORED, {"exclude": ["docker.io/team/*"]}, "excluded", id="excluded-by-its-upstream"
        ),
    ],
)
def test_images_outside_the_configuration_are_skipped(
    image: str, values: dict[str, Any], outcome: str
) -> None:
    sweep = make_sweep(make_use(image), make_use(SERVER), **values)

    images, skipped = group_images(sweep, locate(sweep))

    assert [each.names for each in images] == [frozenset({SERVER})]
    assert skipped == {outcome: 1}


def test_images_beyond_the_limit_of_their_workload_count_as_skipped() -> None:
    sweep = make_sweep(make_use(SERVER))
    sweep.inventory.left_out = 7

    images, skipped = group_images(sweep, locate(sweep))

    assert [each.names for each in images] == [frozenset({SERVER})]
    assert skipped == {"too_many": 7}


def test_images_without_a_warmup_come_first() -> None:
    names = [f"team/app-{number}:1" for number in range(10)]
    known = [make_warmup(JobName(f"warm-{name}"), name) for name in names[:5]]
    sweep = make_sweep(*map(make_use, names), warmups=known)

    images, _ = group_images(sweep, locate(sweep))

    texts = [name for image in images for name in image.names]
    assert set(texts[:5]) == set(names[5:])
    assert set(texts[5:]) == set(names[:5])


def test_order_of_images_differs_in_each_sweep() -> None:
    uses = [make_use(f"team/app-{number}:1") for number in range(10)]
    sweeps = [make_sweep(*uses, message_id=f"tick-{number}") for number in range(20)]

    first = {next(iter(group_images(each, locate(each))[0][0].names)) for each in sweeps}

    assert len(first) > 5


# Candidates


def find_all(
    sweep: Sweep, image: ImageInUse, manifest: Manifest, requested: Collection[str] = ()
) -> tuple[Candidate, ...]:
    return find_candidates(sweep, name_candidates(sweep, image, manifest).values(), requested)


def find_names(sweep: Sweep, manifest: Manifest = LARGE) -> list[JobName]:
    candidates = find_all(sweep, make_image(sweep), manifest)
    return [each.name for each in candidates]


@pytest.mark.parametrize(
    ("uses", "count"),
    [
        pytest.param([make_use()], 1, id="one"),
        pytest.param([make_use(), make_use("docker.io/team/trainer:1")], 1, id="two-spellings"),
        pytest.param([make_use(), make_use(selector=H100)], 2, id="two-targets"),
        pytest.param([make_use(), make_use(platform="linux/arm64")], 2, id="two-platforms"),
    ],
)
def test_each_target_and_platform_is_a_candidate(uses: list[Use], count: int) -> None:
    assert len(find_names(make_sweep(*uses))) == count


@pytest.mark.parametrize(
    ("warmup", "is_candidate"),
    [
        pytest.param({}, False, id="waits-or-runs"),
        pytest.param({"is_complete": True}, False, id="complete"),
        pytest.param({"retry": 1}, False, id="failed-a-moment-ago"),
        pytest.param({"retry": 0}, True, id="failed-and-due"),
    ],
)
def test_job_of_the_period_serves_a_use(warmup: dict[str, Any], *, is_candidate: bool) -> None:
    (name,) = find_names(make_sweep(make_use()))

    sweep = make_sweep(make_use(), warmups=[make_warmup(name, **warmup)])

    assert (find_names(sweep) == [name]) is is_candidate


@pytest.mark.parametrize(
    "later",
    [
        pytest.param({"now": NOW + timedelta(hours=48)}, id="next-period"),
        pytest.param({}, id="moved-tag"),
    ],
)
def test_job_of_another_period_or_digest_does_not_count(later: dict[str, Any]) -> None:
    (name,) = find_names(make_sweep(make_use()))
    sweep = replace(make_sweep(make_use(), warmups=[make_warmup(name)]), **later)

    manifest = LARGE if later else replace(LARGE, digest=TWO)

    assert find_names(sweep, manifest) != []


def test_requested_warmup_is_no_candidate() -> None:
    sweep = make_sweep(make_use())
    names = find_names(sweep)

    assert find_all(sweep, make_image(sweep), LARGE, set(names)) == ()


# Images that are due


def decide(
    sweep: Sweep, index: Manifest, manifest: Manifest | None, held: PrewarmedArtifact | None = None
) -> Due:
    """Decide about the candidates of the only image, with the same answers for each."""
    image = make_image(sweep)
    candidates = find_all(sweep, image, index)
    read = [replace(each, manifest=manifest, held=held) for each in candidates]
    return due(sweep, image, read)


def requests_of(found: Due) -> list[ReferenceRequest]:
    return [
        each for action in found.actions if isinstance(action, Publish) for each in action.requests
    ]


def facts_of(found: Due) -> list[WriteFact]:
    return [each for each in found.actions if isinstance(each, WriteFact)]


@pytest.mark.parametrize(
    ("index", "manifest", "references", "too_small"),
    [
        pytest.param(LARGE, LARGE, 1, 0, id="large"),
        pytest.param(LARGE, SMALL, 0, 1, id="small"),
        pytest.param(INDEX, replace(LARGE, digest=TWO), 1, 0, id="platform-of-an-index"),
        pytest.param(INDEX, INDEX, 1, 0, id="node-decides-the-platform"),
        pytest.param(LARGE, None, 0, 0, id="no-answer"),
    ],
)
def test_image_is_requested_unless_it_is_small(
    index: Manifest, manifest: Manifest | None, references: int, too_small: int
) -> None:
    sweep = make_sweep(make_use())

    found = decide(sweep, index, manifest)

    assert len(requests_of(found)) == len(found.names) == references
    assert found.too_small == too_small
    assert (found.prewarm_candidates, facts_of(found)) == ((), [])


def test_reference_has_the_target_and_the_cause() -> None:
    (request,) = requests_of(decide(make_sweep(make_use()), LARGE, LARGE))

    assert request.as_json() == {
        "image": TRAINER,
        "cluster": str(GPU_CLUSTER),
        "placement": {"nodeSelector": L4, "tolerations": []},
        "cause": {"kind": "schedule", "id": "tick-1", "resource": WORKLOAD},
        "force": False,
    }


def test_image_without_a_mirror_is_requested_for_each_target() -> None:
    sweep = make_sweep(make_use(), make_use("docker.io/team/trainer:1"), make_use(selector=H100))

    found = request_all(sweep, make_image(sweep))

    placements = [
        dict(each.placement.node_selector) for each in requests_of(found) if each.placement
    ]
    assert placements == [L4, H100]
    assert found == Due((Publish(tuple(requests_of(found))),))


# What Artifact Registry keeps prewarmed

FIRST: dict[str, Any] = {"ladder": ["prewarm-api", "gpu-node"]}
SECOND: dict[str, Any] = {"ladder": ["gpu-node", "prewarm-api"]}
FAILED = make_artifact(state="FAILED")
EXPIRING = make_artifact(left=timedelta(hours=23))


@pytest.mark.parametrize(
    ("held", "is_expected"),
    [
        pytest.param(None, False, id="nothing"),
        pytest.param(make_artifact(), True, id="active"),
        pytest.param(make_artifact(left=DAY), True, id="third-left"),
        pytest.param(EXPIRING, False, id="expires-soon"),
        pytest.param(make_artifact(state="CACHING", left=timedelta()), True, id="caching"),
        pytest.param(FAILED, False, id="failed"),
    ],
)
def test_prewarmed_image_is_kept(held: PrewarmedArtifact | None, *, is_expected: bool) -> None:
    assert is_kept(make_sweep(), held) is is_expected


@pytest.mark.parametrize(
    ("image", "values", "held", "expected"),
    [
        pytest.param(OWN, {}, None, "reference", id="no-rung"),
        pytest.param(OWN, FIRST, None, "prewarm", id="new"),
        pytest.param(OWN, SECOND, None, "reference", id="new-and-another-rung-first"),
        pytest.param(OWN, SECOND, EXPIRING, "prewarm", id="renewed-behind-another-rung"),
        pytest.param(OWN, FIRST, EXPIRING, "prewarm", id="renewed"),
        pytest.param(OWN, FIRST, FAILED, "prewarm", id="failed"),
        pytest.param(OWN, FIRST, make_artifact(), "nothing", id="kept"),
        pytest.param(OWN, FIRST, make_artifact(state="CACHING"), "nothing", id="caching"),
        pytest.param(TRAINER, FIRST, None, "reference", id="mirrored-and-never-pulled"),
        pytest.param(TRAINER, FIRST, EXPIRING, "prewarm", id="mirrored-and-renewed"),
    ],
)
def test_artifact_registry_serves_what_it_can(
    image: str, values: dict[str, Any], held: PrewarmedArtifact | None, expected: str
) -> None:
    found = decide(make_sweep(make_use(image), **values), LARGE, LARGE, held)

    assert (len(requests_of(found)), len(found.prewarm_candidates)) == {
        "reference": (1, 0),
        "prewarm": (0, 1),
        "nothing": (0, 0),
    }[expected]
    assert len(found.names) == 1


def test_mirrored_image_is_prewarmed_after_a_node_pulled_it() -> None:
    sweep = make_sweep(make_use(), **FIRST)
    earlier = replace(sweep, now=NOW - timedelta(hours=48))
    (name,) = find_names(earlier)
    for is_complete in (False, True):
        warmups = [make_warmup(name, is_complete=is_complete)]
        found = decide(make_sweep(make_use(), warmups=warmups, **FIRST), LARGE, LARGE)

        assert len(found.prewarm_candidates) == is_complete


def test_prewarm_candidate_has_the_workloads_and_the_next_start() -> None:
    uses = (
        make_use(OWN, workloads=2, schedules=frozenset({Schedule("0 20 * * *", None)})),
        make_use(OWN, H100, workloads=3, schedules=frozenset({Schedule("0 9 * * *", None)})),
    )

    first, second = decide(make_sweep(*uses, **FIRST), LARGE, LARGE).prewarm_candidates

    assert first.wanted == second.wanted
    assert first.wanted.workloads == 5
    assert first.wanted.next_start == datetime(2026, 11, 24, 9, tzinfo=UTC)
    assert (first.wanted.digest, first.wanted.image_bytes) == (ONE, GB)


@pytest.mark.parametrize(
    ("held", "is_reported"),
    [
        pytest.param(make_artifact(), True, id="active"),
        pytest.param(make_artifact(left=2 * DAY - timedelta(hours=1)), False, id="long-active"),
        pytest.param(make_artifact(state="CACHING"), False, id="caching"),
        pytest.param(FAILED, False, id="failed"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_prewarmed_image_has_a_fact(held: PrewarmedArtifact | None, *, is_reported: bool) -> None:
    found = decide(make_sweep(make_use(OWN), **FIRST), LARGE, None, held)

    outcomes = [each.fact.payload["outcome"] for each in facts_of(found)]
    assert outcomes == (["prewarmed"] if is_reported else [])
    assert all(each.of_change for each in facts_of(found))
