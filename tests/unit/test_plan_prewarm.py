"""Decisions about prewarming one image: the artifact held as input, actions as output."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.action import Action, Prewarm, RemovePrewarmed
from shared.domain.fact import Subject
from shared.domain.image_reference import Digest
from shared.domain.ladder import PrewarmUnavailableError
from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import ArtifactVersion, PrewarmedArtifact, PrewarmRefusedError
from shared.pipeline.plan_prewarm import (
    PrewarmLookup,
    PrewarmRequest,
    plan_prewarm,
    plan_prewarmed,
)

NOW = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)
DAY = timedelta(days=1)
GB = 1_000_000_000
DIGEST = Digest(f"sha256:{1:064}")
VERSION = ArtifactVersion(
    RepositoryName("demo", "us-central1", "apps"), "team/trainer", DIGEST, "linux/amd64"
)
REQUEST = PrewarmRequest(
    subject=Subject(image="team/trainer:1", cluster="gpu"),
    version=VERSION,
    location="us-central1",
    now=NOW,
    image_bytes=4 * GB,
)
PREWARM = Prewarm(VERSION, "us-central1", 3)
REMOVE = RemovePrewarmed(VERSION, "us-central1")


def make_artifact(state: Any = "ACTIVE", left: timedelta = 3 * DAY) -> PrewarmedArtifact:
    return PrewarmedArtifact(
        DIGEST, "us-central1", state, expires=NOW + left, image_bytes=3 * GB, uri="trainer@1"
    )


ACTIVE, CACHING, FAILED = make_artifact(), make_artifact("CACHING"), make_artifact("FAILED")


@pytest.mark.parametrize(
    ("lookup", "force", "actions"),
    [
        pytest.param(PrewarmLookup(None), False, (PREWARM,), id="new"),
        pytest.param(PrewarmLookup(None, held_bytes=96 * GB), False, (PREWARM,), id="just-fits"),
        pytest.param(PrewarmLookup(CACHING), False, (), id="caching"),
        pytest.param(PrewarmLookup(CACHING), True, (), id="caching-and-forced"),
        pytest.param(PrewarmLookup(ACTIVE), True, (PREWARM,), id="active-and-forced"),
        pytest.param(PrewarmLookup(FAILED), True, (REMOVE, PREWARM), id="failed-and-forced"),
        pytest.param(
            PrewarmLookup(make_artifact(left=DAY - timedelta(seconds=1))),
            False,
            (PREWARM,),
            id="expires-soon",
        ),
        pytest.param(
            PrewarmLookup(make_artifact(left=DAY)), False, (), id="a-third-left-and-reported"
        ),
    ],
)
def test_image_is_prewarmed_unless_it_is_held(
    lookup: PrewarmLookup, actions: tuple[Action, ...], *, force: bool
) -> None:
    assert plan_prewarm(replace(REQUEST, force=force), lookup, 3) == actions


@pytest.mark.parametrize(
    ("lookup", "error", "message"),
    [
        pytest.param(
            PrewarmLookup(None, was_pulled=False),
            PrewarmUnavailableError,
            "pulled by a node first",
            id="mirrored-and-never-pulled",
        ),
        pytest.param(
            PrewarmLookup(None, held_bytes=96 * GB + 1),
            PrewarmRefusedError,
            "96000000001 of 100000000000 bytes",
            id="no-room",
        ),
        pytest.param(
            PrewarmLookup(replace(FAILED, error="a layer is broken")),
            PrewarmUnavailableError,
            "a layer is broken",
            id="failed",
        ),
    ],
)
def test_next_rung_serves_what_cannot_be_prewarmed(
    lookup: PrewarmLookup, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_prewarm(REQUEST, lookup, 3)


@pytest.mark.parametrize(
    ("artifact", "at"),
    [
        pytest.param(ACTIVE, NOW, id="just-now"),
        pytest.param(make_artifact(left=2 * DAY), NOW - DAY, id="a-day-ago"),
        pytest.param(make_artifact(left=2 * DAY - timedelta(seconds=1)), None, id="longer-ago"),
        pytest.param(CACHING, None, id="caching"),
    ],
)
def test_fact_is_written_for_a_day(artifact: PrewarmedArtifact, at: datetime | None) -> None:
    actions = plan_prewarmed(REQUEST, artifact, 3)

    assert [each.fact.timestamp for each in actions] == ([] if at is None else [at])
    assert all(each.of_change for each in actions)


def test_fact_has_the_artifact() -> None:
    (action,) = plan_prewarmed(REQUEST, ACTIVE, 3)

    payload = action.fact.payload
    assert (payload["outcome"], payload["strategy"]) == ("prewarmed", "prewarm-api")
    assert (payload["job"], payload["node"], payload["streamed"]) == (None, None, None)
    assert (payload["image"], payload["image_bytes"]) == ("team/trainer:1", 3 * GB)
    assert payload["evidence"] == [
        {
            "kind": "prewarming",
            "text": "trainer@1 is ACTIVE in us-central1 until 2026-11-27T07:30:00Z",
            "log": None,
            "insert_id": None,
        }
    ]


def test_size_of_the_request_is_used_if_the_artifact_has_none() -> None:
    (action,) = plan_prewarmed(REQUEST, replace(ACTIVE, image_bytes=0), 3)

    assert action.fact.payload["image_bytes"] == 4 * GB
