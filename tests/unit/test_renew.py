"""Decisions about the room for prewarmed images of one project."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.fact import Subject
from shared.domain.image_reference import Digest, parse_reference
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
    PrewarmState,
)
from shared.domain.prewarm_plan import Wanted
from shared.domain.request import ReferenceRequest
from shared.pipeline.plan_prewarm import PrewarmRequest
from shared.pipeline.sweep.renew import PrewarmCandidate, plan_renewals
from tests.fakes.prewarmed_worlds import APPS, DAY, GB
from tests.fakes.sweeps import NOW

IN_USE = ReferenceRequest(image="a", reference=parse_reference("nginx"))


def make_candidate(number: int, size: int = GB, workloads: int = 1) -> PrewarmCandidate:
    digest = Digest(f"sha256:{number:064}")
    request = PrewarmRequest(
        subject=Subject(image=f"app-{number}"),
        version=ArtifactVersion(APPS, f"app-{number}", digest, "linux/amd64"),
        location="us-central1",
        now=NOW,
        image_bytes=size,
    )
    wanted = Wanted(digest, "us-central1", size, workloads)
    return PrewarmCandidate(request, wanted, replace(IN_USE, image=f"app-{number}"))


def make_artifact(number: int, state: PrewarmState, left: timedelta, size: int) -> Any:
    return PrewarmedArtifact(
        Digest(f"sha256:{number:064}"), "us-central1", state, expires=NOW + left, image_bytes=size
    )


@pytest.mark.parametrize(
    ("candidates", "held", "expected"),
    [
        pytest.param([make_candidate(1)], [], {"added": ["app-1"]}, id="new"),
        pytest.param(
            [make_candidate(1)],
            [make_artifact(1, "ACTIVE", timedelta(hours=1), GB)],
            {"renewed": ["app-1"]},
            id="expires-soon",
        ),
        pytest.param(
            [make_candidate(1, 60 * GB), make_candidate(2, 60 * GB, 2)],
            [],
            {"added": ["app-2"], "left_out": ["app-1"]},
            id="more-workloads-come-first",
        ),
        pytest.param(
            [make_candidate(1, 60 * GB), make_candidate(2, 60 * GB, 3)],
            [make_artifact(1, "ACTIVE", timedelta(hours=1), 60 * GB)],
            {"renewed": ["app-1"], "left_out": ["app-2"]},
            id="held-image-stays",
        ),
        pytest.param(
            [make_candidate(1, 60 * GB)],
            [make_artifact(1, "FAILED", DAY, 60 * GB)],
            {"failed": ["app-1"]},
            id="failed-with-room",
        ),
        pytest.param(
            [make_candidate(1, 60 * GB), make_candidate(2, 60 * GB)],
            [make_artifact(1, "FAILED", DAY, 60 * GB)],
            {"failed": ["app-1"], "left_out": ["app-2"], "removals": ["app-1"]},
            id="failed-without-room",
        ),
    ],
)
def test_room_of_a_project_is_planned(
    candidates: list[PrewarmCandidate],
    held: list[PrewarmedArtifact],
    expected: dict[str, list[str]],
) -> None:
    plan = plan_renewals(candidates, held, 3 * DAY)

    parts = ("renewed", "added", "left_out", "failed", "removals")
    found = {part: [each.request.version.package for each in getattr(plan, part)] for part in parts}
    assert found == {part: [] for part in parts} | expected


def test_targets_of_one_image_are_one_renewal_with_all_references() -> None:
    first, second = (
        make_candidate(1),
        replace(make_candidate(1), reference=replace(IN_USE, image="b")),
    )

    (renewal,) = plan_renewals([first, second], [], 3 * DAY).added

    assert [each.image for each in renewal.references] == ["app-1", "b"]
