"""Names, times and facts of prewarmed artifacts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.fact import Subject, WarmupFinished
from shared.domain.image_reference import Digest, parse_reference
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
)
from tests.fakes.prewarmed_scenes import DIGEST, IMAGE
from tests.fakes.warmings import PUBLISHED, RAY


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(
            "us-docker.pkg.dev/demo/apps/a/b",
            "projects/demo/locations/us/repositories/apps/packages/a%2Fb",
            id="escaped",
        ),
        pytest.param(
            "us-docker.pkg.dev/example.com/demo/apps/a",
            "projects/example.com:demo/locations/us/repositories/apps/packages/a",
            id="domain-scoped",
        ),
        pytest.param(
            "eu.gcr.io/demo/team/a",
            "projects/demo/locations/europe/repositories/eu.gcr.io/packages/team%2Fa",
            id="gcr",
        ),
        pytest.param(
            "gcr.io/example.com/demo/a",
            "projects/example.com:demo/locations/us/repositories/gcr.io/packages/a",
            id="gcr-domain-scoped",
        ),
    ],
)
def test_version_has_the_resource_name(image: str, expected: str) -> None:
    version = ArtifactVersion.of(parse_reference(image), DIGEST, "linux/amd64")

    assert str(version) == f"{expected}/versions/{DIGEST}"


@pytest.mark.parametrize("image", ["docker.io/team/a", "gcr.io/demo", "us-docker.pkg.dev/demo/a"])
def test_image_elsewhere_has_no_version(image: str) -> None:
    assert ArtifactVersion.of(parse_reference(image), DIGEST, "linux/amd64") is None


@pytest.mark.parametrize(
    ("created", "days", "expected"),
    [
        pytest.param(PUBLISHED, 3, PUBLISHED, id="the-first-time"),
        pytest.param(PUBLISHED - timedelta(days=2), 3, PUBLISHED, id="renewed"),
        pytest.param(PUBLISHED, 7, PUBLISHED, id="with-a-shorter-retention"),
        pytest.param(
            PUBLISHED - timedelta(days=1), 1, PUBLISHED - timedelta(days=1), id="with-a-longer-one"
        ),
        pytest.param(None, 3, PUBLISHED, id="first-time-unknown"),
    ],
)
def test_start_follows_from_the_expiry(
    created: datetime | None, days: int, expected: datetime
) -> None:
    artifact = PrewarmedArtifact(
        DIGEST, "us-central1", "ACTIVE", expires=PUBLISHED + timedelta(days=3), created=created
    )

    # The message was published a little before.
    assert artifact.began(PUBLISHED - timedelta(minutes=5), timedelta(days=days)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"digest": Digest(RAY.digest)}, id="another-image"),
        pytest.param({"location": "us-east1"}, id="another-region"),
        pytest.param({"expires": datetime(2026, 11, 29, tzinfo=UTC)}, id="another-renewal"),
    ],
)
def test_insert_id_distinguishes_artifacts(changes: dict[str, Any]) -> None:
    artifact = PrewarmedArtifact(DIGEST, "us-central1", "ACTIVE", expires=PUBLISHED)
    first = WarmupFinished(
        subject=Subject(image=IMAGE, cluster="c"),
        outcome="prewarmed",
        at=PUBLISHED,
        artifact=artifact,
    )
    seen_again = replace(first, subject=Subject(image="another:tag", cluster="c"), target="t")
    other = replace(first, artifact=replace(artifact, **changes))

    assert first.as_fact().insert_id == seen_again.as_fact().insert_id
    assert first.as_fact().insert_id != other.as_fact().insert_id
