"""The rung prewarm-api: what is asked of Artifact Registry, what is said, and what comes next."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.disposition import Outcome
from shared.domain.fact import Subject, WarmupFinished
from shared.domain.image_reference import Digest, parse_reference
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
    PrewarmRefusedError,
    RefusalKind,
)
from shared.errors import ConfigurationError, TransientError
from tests.fakes.warmings import GB, PUBLISHED, RAY, Scene
from tests.fakes.warmups import make_node

APPS = RepositoryName("demo", "us-central1", "apps")
HUB = RepositoryName("demo", "us-central1", "dockerhub-mirror")
LADDER = ["prewarm-api", "gpu-node", "any-node"]
TRAINER = Image((4 * GB,), build="trainer")
PAIR = Image((3 * GB,), ("linux/amd64", "linux/arm64"), build="pair")
IMAGE = "us-central1-docker.pkg.dev/demo/apps/team/trainer:1"
TWIN = "us-central1-docker.pkg.dev/demo/apps/team/pair:1"
DIGEST = Digest(TRAINER.digest)


class Prewarmed(Scene):
    """A deployment whose ladder begins with the prewarm API, and a standard repository."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**{"ladder": LADDER, **values})
        self.repositories.states[APPS] = RepositoryState(is_docker_remote=False)
        for name, image in ((IMAGE, TRAINER), (TWIN, PAIR)):
            self.registry.add(name.rpartition(":")[0], "1", image)
        for image in (TRAINER, PAIR, RAY):
            for manifest in image.manifests:
                self.api.sizes[Digest(manifest.digest)] = manifest.image_bytes

    def ask(self, image: str = IMAGE, **fields: Any) -> Outcome:
        """Deliver a message that is published now."""
        return self.warm(image, **{"publish_time": self.api.now, **fields})

    def wait(self, by: timedelta) -> None:
        self.api.now += by

    def refuse(self, kind: RefusalKind, *methods: str) -> None:
        for method in methods or ("prewarm", "check", "list_artifacts"):
            self.api.refusals[method] = PrewarmRefusedError(kind, f"403 {kind}")

    @property
    def payloads(self) -> list[Mapping[str, Any]]:
        """What the facts say, each fact once, as a query shows them."""
        distinct = {(fact.insert_id, fact.timestamp): fact.payload for fact in self.facts.facts}
        return list(distinct.values())


@pytest.fixture
def scene() -> Prewarmed:
    return Prewarmed()


# An image in a standard repository.


def test_the_first_delivery_asks_and_waits_for_nothing(scene: Prewarmed) -> None:
    outcome = scene.ask()

    assert outcome.disposition == "handled"
    assert outcome.details["prewarming"] == [f"team/trainer@{DIGEST} in us-central1"]
    assert "to be prewarmed" in outcome.story
    assert scene.cluster.jobs == {}
    assert scene.facts.facts == []
    (artifact,) = scene.api.held.values()
    assert (artifact.digest, artifact.location) == (DIGEST, "us-central1")
    assert artifact.expires == PUBLISHED + timedelta(days=3)


def test_while_it_is_caching_nothing_is_done(scene: Prewarmed) -> None:
    scene.ask()
    scene.api.calls.clear()

    outcome = scene.ask(message_id="message-2")

    assert "prewarming" in outcome.details
    assert scene.api.calls == ["check"]
    assert scene.facts.facts == []


def test_a_later_delivery_sees_that_it_is_cached_and_writes_the_fact(scene: Prewarmed) -> None:
    scene.ask()
    scene.wait(timedelta(minutes=5))

    outcome = scene.ask(message_id="message-2")

    assert outcome.details["prewarmed"] == [f"team/trainer@{DIGEST} in us-central1"]
    (fact,) = scene.facts.facts
    said = fact.payload
    assert (said["event"], said["outcome"]) == ("warmup.finished", "prewarmed")
    assert (said["strategy"], said["job"], said["node"]) == ("prewarm-api", None, None)
    assert (said["image"], said["digest"]) == (IMAGE, DIGEST)
    assert said["cluster"] == str(scene.cluster.name)
    assert said["image_bytes"] == TRAINER.manifests[0].image_bytes
    assert (said["streamed"], said["pull_seconds"]) == (None, None)
    (evidence,) = said["evidence"]
    assert evidence["kind"] == "prewarming"
    assert "ACTIVE in us-central1 until 2026-11-27T07:30:00Z" in evidence["text"]
    assert (fact.timestamp, fact.severity) == (PUBLISHED, "INFO")
    assert scene.cluster.jobs == {}


def test_whoever_sees_it_writes_the_same_fact(scene: Prewarmed) -> None:
    scene.ask()
    for minutes in (5, 60, 600):
        scene.wait(timedelta(minutes=minutes))
        scene.ask(message_id=f"message-{minutes}")
        scene.restart()

    assert len(scene.payloads) == 1
    assert len(scene.facts.facts) == 3


def test_one_instance_writes_it_once(scene: Prewarmed) -> None:
    scene.ask()
    for minutes in (5, 60):
        scene.wait(timedelta(minutes=minutes))
        scene.ask(message_id=f"message-{minutes}")

    assert len(scene.facts.facts) == 1


def test_what_was_cached_days_ago_is_not_told_again(scene: Prewarmed) -> None:
    scene.ask()
    scene.wait(timedelta(hours=30))

    assert "prewarmed" in scene.ask(message_id="message-2").details
    assert scene.facts.facts == []


def test_a_fact_that_cannot_be_written_is_written_by_the_next_delivery(scene: Prewarmed) -> None:
    scene.ask()
    scene.wait(timedelta(minutes=5))
    scene.facts.error = TransientError("cannot write")
    with pytest.raises(TransientError):
        scene.ask(message_id="message-2")
    scene.facts.error = None

    scene.ask(message_id="message-2")

    assert len(scene.payloads) == 1


def test_what_expires_soon_is_renewed_and_each_renewal_is_a_fact_of_its_own(
    scene: Prewarmed,
) -> None:
    scene.ask()
    scene.wait(timedelta(minutes=5))
    scene.ask(message_id="message-2")
    scene.wait(timedelta(days=2, hours=1))

    outcome = scene.ask(message_id="message-3")

    assert "prewarmed" in outcome.details
    first, second = scene.facts.facts
    assert first.insert_id != second.insert_id
    assert second.timestamp == scene.api.now
    (artifact,) = scene.api.held.values()
    assert artifact.expires == scene.api.now + timedelta(days=3)


def test_a_platform_is_cached_by_its_own_digest(scene: Prewarmed) -> None:
    scene.ask(TWIN, platform="linux/arm64")

    ((repository, digest, location),) = scene.api.held
    assert (repository, location) == (APPS, "us-central1")
    assert digest == PAIR.manifest_for("linux/arm64").digest


def test_an_index_without_the_platform_goes_on_to_a_node() -> None:
    scene = Prewarmed()
    scene.cluster.place(make_node(arch="arm64"))

    outcome = scene.ask("team/arm:1")

    assert "created" in outcome.details
    assert scene.api.calls == []


def test_the_region_of_a_zonal_cluster_is_meant(scene: Prewarmed) -> None:
    scene.cluster.name = replace(scene.cluster.name, location="us-central1-a")

    scene.ask()

    assert [key[2] for key in scene.api.held] == ["us-central1"]


def test_a_small_image_is_left_alone(scene: Prewarmed) -> None:
    scene.restart(min_image_bytes=50 * GB)

    assert scene.ask().disposition == "ignored"
    assert scene.api.calls == []


def test_a_rung_before_it_comes_first(scene: Prewarmed) -> None:
    scene.restart(ladder=["gpu-node", "prewarm-api"])
    without_node = scene.ask()
    scene.cluster.place(make_node())

    with_node = scene.ask(TWIN)

    assert "prewarming" in without_node.details
    assert "created" in with_node.details


def test_the_job_of_the_period_is_asked_for_first(scene: Prewarmed) -> None:
    scene.cluster.place(make_node())
    scene.restart(ladder=["gpu-node"])
    scene.ask()
    scene.restart(ladder=LADDER)
    scene.forget_calls()

    outcome = scene.ask(message_id="message-2")

    assert "waiting" in outcome.details or "known" in outcome.details
    assert scene.api.calls == []


def test_a_dry_run_says_what_it_would_ask_for(scene: Prewarmed) -> None:
    scene.restart(dry_run=True)

    outcome = scene.ask()

    assert outcome.details["would_create"] == [f"prewarmed team/trainer@{DIGEST} in us-central1"]
    assert "prewarm" not in scene.api.calls
    assert scene.api.held == {}


def test_who_insists_has_it_cached_longer(scene: Prewarmed) -> None:
    scene.ask()
    scene.wait(timedelta(hours=5))

    scene.ask(force=True, message_id="message-2")

    (artifact,) = scene.api.held.values()
    assert artifact.expires == scene.api.now + timedelta(days=3)


def test_the_days_are_the_configuration_s(scene: Prewarmed) -> None:
    scene.restart(prewarm_days=7)

    scene.ask()

    (artifact,) = scene.api.held.values()
    assert artifact.expires == PUBLISHED + timedelta(days=7)


# An image that is mirrored.


def test_a_mirrored_image_is_pulled_by_a_node_first_and_nothing_is_said_of_it(
    scene: Prewarmed,
) -> None:
    scene.cluster.place(make_node())

    outcome = scene.ask("anyscale/ray-ml:2.7.0")

    assert "created" in outcome.details
    assert "passed" not in outcome.details
    assert "prewarm" not in scene.api.calls


def test_a_mirrored_image_that_a_node_pulled_is_prewarmed_in_the_next_period(
    scene: Prewarmed,
) -> None:
    scene.cluster.place(make_node())
    scene.ask("anyscale/ray-ml:2.7.0")
    (job,) = scene.cluster.jobs
    scene.cluster.end_job(job, "Complete")
    scene.wait(timedelta(hours=48))

    outcome = scene.ask("anyscale/ray-ml:2.7.0", message_id="message-2")

    assert "prewarming" in outcome.details
    assert list(scene.cluster.jobs) == [job]
    ((repository, digest, _),) = scene.api.held
    assert (repository, digest) == (HUB, RAY.manifest_for("linux/amd64").digest)


def test_a_mirrored_image_whose_warmup_failed_goes_to_a_node_again(scene: Prewarmed) -> None:
    scene.cluster.place(make_node())
    scene.ask("anyscale/ray-ml:2.7.0")
    (job,) = scene.cluster.jobs
    scene.cluster.end_job(job, "Failed")
    scene.wait(timedelta(hours=48))

    assert "created" in scene.ask("anyscale/ray-ml:2.7.0", message_id="message-2").details


def test_a_mirrored_version_that_is_not_known_any_more_goes_to_a_node_silently(
    scene: Prewarmed,
) -> None:
    scene.cluster.place(make_node())
    scene.ask("anyscale/ray-ml:2.7.0")
    (job,) = scene.cluster.jobs
    scene.cluster.end_job(job, "Complete")
    scene.wait(timedelta(hours=48))
    scene.api.sizes.clear()

    outcome = scene.ask("anyscale/ray-ml:2.7.0", message_id="message-2")

    assert "created" in outcome.details
    assert "passed" not in outcome.details


# Refusals.


@pytest.mark.parametrize("kind", ["permission", "unavailable", "unsupported", "unknown", "full"])
def test_what_is_refused_goes_on_to_the_next_rung_and_the_line_says_so(
    scene: Prewarmed, kind: RefusalKind
) -> None:
    scene.cluster.place(make_node())
    scene.refuse(kind, "prewarm")

    outcome = scene.ask()

    assert "created" in outcome.details
    assert outcome.details["passed"] == [f"403 {kind}"]
    assert f"not prewarmed: 403 {kind}" in outcome.story
    assert scene.facts.facts == []
    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "gpu-node"


@pytest.mark.parametrize("kind", ["permission", "unavailable"])
def test_what_more_than_one_image_meets_is_said_and_asked_once_an_hour(
    scene: Prewarmed, kind: RefusalKind
) -> None:
    scene.cluster.place(make_node())
    scene.refuse(kind)
    scene.ask()
    asked = len(scene.api.calls)

    second = scene.ask(TWIN)
    silent = len(scene.api.calls)
    scene.wait(timedelta(minutes=61))
    third = scene.ask(TWIN, force=True, message_id="message-3")

    assert "created" in second.details
    assert "passed" not in second.details
    assert silent == asked == 1
    assert third.details["passed"] == [f"403 {kind}"]


def test_what_is_refused_for_one_image_says_nothing_of_another(scene: Prewarmed) -> None:
    scene.cluster.place(make_node())
    scene.refuse("unsupported", "prewarm")
    scene.ask()
    scene.api.refusals.clear()

    assert "prewarming" in scene.ask(TWIN).details


def test_a_storage_that_is_full_may_have_room_for_a_smaller_image(scene: Prewarmed) -> None:
    scene.cluster.place(make_node())
    scene.refuse("full", "prewarm")
    scene.ask()
    scene.api.refusals.clear()

    assert "created" in scene.ask(force=True, message_id="message-2").details
    assert "prewarming" in scene.ask(TWIN).details


def test_what_would_be_evicted_for_it_is_never_asked_for(scene: Prewarmed) -> None:
    # Artifact Registry may make room by itself, the oldest first.
    scene.api.limit_bytes = 500 * GB
    scene.cluster.place(make_node())
    other = PrewarmedArtifact(
        Digest(f"sha256:{1:064}"),
        "europe-west4",
        "ACTIVE",
        expires=PUBLISHED + timedelta(days=3),
        image_bytes=96_500_000_000,
    )
    scene.api.put(APPS, other)

    outcome = scene.ask()

    assert "created" in outcome.details
    assert "96500000000 are taken" in outcome.details["passed"][0]
    assert "prewarm" not in scene.api.calls
    assert "prewarming" in scene.ask(TWIN).details


def test_what_could_not_be_cached_goes_on_to_the_next_rung_and_says_so_once(
    scene: Prewarmed,
) -> None:
    scene.cluster.place(make_node())
    scene.api.failure = "layer is broken"
    scene.ask()
    scene.wait(timedelta(minutes=5))

    outcome = scene.ask(message_id="message-2")
    again = scene.ask(message_id="message-3")

    assert "created" in outcome.details
    assert "layer is broken" in outcome.details["passed"][0]
    assert "passed" not in again.details
    assert scene.facts.facts == []


def test_who_insists_has_what_failed_tried_again(scene: Prewarmed) -> None:
    scene.cluster.place(make_node())
    scene.api.failure = "layer is broken"
    scene.ask()
    scene.wait(timedelta(minutes=5))
    scene.api.failure = None

    outcome = scene.ask(force=True, message_id="message-2")

    assert "prewarming" in outcome.details
    assert "remove" in scene.api.calls


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("permission", "prewarmArtifact"),
        ("unavailable", "region"),
        ("full", "prewarm_days"),
        ("unsupported", "node"),
        ("unknown", "node"),
    ],
)
def test_where_no_other_rung_is_left_the_fact_has_the_hint_of_the_refusal(
    scene: Prewarmed, kind: RefusalKind, word: str
) -> None:
    scene.restart(ladder=["prewarm-api"])
    scene.refuse(kind, "prewarm")

    outcome = scene.ask()

    assert outcome.disposition == "handled"
    (said,) = scene.payloads
    assert (said["outcome"], said["job"]) == ("no_node", None)
    assert kind in said["reason"]
    assert word in said["hint"]
    assert said["hint"].endswith(".")


def test_a_mirrored_image_without_any_node_has_the_hint_for_nodes(scene: Prewarmed) -> None:
    outcome = scene.ask("anyscale/ray-ml:2.7.0")

    assert outcome.details["outcome"] == "no_node"
    assert "node pool" in outcome.details["hint"]
    assert "pulled by a node first" in outcome.details["reason"]


@pytest.mark.parametrize("error", [TransientError, ConfigurationError])
@pytest.mark.parametrize("method", ["check", "list_artifacts", "prewarm"])
def test_a_failure_of_the_api_is_the_delivery_s(
    scene: Prewarmed, method: str, error: type[Exception]
) -> None:
    scene.cluster.place(make_node())
    scene.api.refusals[method] = error("503")

    with pytest.raises(error):
        scene.ask()

    assert scene.cluster.jobs == {}


def test_an_image_that_the_registry_refuses_is_not_asked_for(scene: Prewarmed) -> None:
    refusal = RegistryRefusalError(404, "MANIFEST_UNKNOWN", "gone")
    scene.registry.refusals["us-central1-docker.pkg.dev"] = refusal

    assert scene.ask().details["outcome"] == "pull_failed"
    assert scene.api.calls == []


# Names and times.


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
def test_a_version_has_the_name_that_the_api_has_for_it(image: str, expected: str) -> None:
    version = ArtifactVersion.of(parse_reference(image), DIGEST, "linux/amd64")

    assert str(version) == f"{expected}/versions/{DIGEST}"


@pytest.mark.parametrize("image", ["docker.io/team/a", "gcr.io/demo", "us-docker.pkg.dev/demo/a"])
def test_what_lies_elsewhere_has_no_version(image: str) -> None:
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
def test_when_it_began_follows_from_when_it_ends(
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
def test_a_fact_of_a_prewarmed_image_is_told_from_others(changes: dict[str, Any]) -> None:
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
