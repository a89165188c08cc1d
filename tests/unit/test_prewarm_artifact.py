"""The rung prewarm-api: requests, renewals and facts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import TransientError
from tests.fakes.prewarmed_scenes import (
    APPS,
    DIGEST,
    HUB,
    IMAGE,
    LADDER,
    PAIR,
    TRAINER,
    TWIN,
    PrewarmedScene,
)
from tests.fakes.warmings import GB, PUBLISHED, RAY
from tests.fakes.warmups import make_node


@pytest.fixture
def scene() -> PrewarmedScene:
    return PrewarmedScene()


def test_first_delivery_starts_and_does_not_wait(scene: PrewarmedScene) -> None:
    outcome = scene.ask()

    assert outcome.disposition == "handled"
    assert outcome.details["prewarming"] == [f"team/trainer@{DIGEST} in us-central1"]
    assert "to be prewarmed" in outcome.story
    assert scene.cluster.jobs == {}
    assert scene.facts.facts == []
    (artifact,) = scene.api.held.values()
    assert (artifact.digest, artifact.location) == (DIGEST, "us-central1")
    assert artifact.expires == PUBLISHED + timedelta(days=3)


def test_delivery_during_caching_changes_nothing(scene: PrewarmedScene) -> None:
    scene.ask()
    scene.api.calls.clear()

    outcome = scene.ask(message_id="message-2")

    assert "prewarming" in outcome.details
    assert scene.api.calls == ["check"]
    assert scene.facts.facts == []


def test_later_delivery_writes_the_fact(scene: PrewarmedScene) -> None:
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


def test_every_instance_writes_the_same_fact(scene: PrewarmedScene) -> None:
    scene.ask()
    for minutes in (5, 60, 600):
        scene.wait(timedelta(minutes=minutes))
        scene.ask(message_id=f"message-{minutes}")
        scene.restart()

    assert len(scene.payloads) == 1
    assert len(scene.facts.facts) == 3


def test_instance_writes_the_fact_once(scene: PrewarmedScene) -> None:
    scene.ask()
    for minutes in (5, 60):
        scene.wait(timedelta(minutes=minutes))
        scene.ask(message_id=f"message-{minutes}")

    assert len(scene.facts.facts) == 1


def test_failed_fact_is_written_by_the_next_delivery(scene: PrewarmedScene) -> None:
    scene.ask()
    scene.wait(timedelta(minutes=5))
    scene.facts.error = TransientError("cannot write")
    with pytest.raises(TransientError):
        scene.ask(message_id="message-2")
    scene.facts.error = None

    scene.ask(message_id="message-2")

    assert len(scene.payloads) == 1


def test_each_renewal_has_a_fact(
    scene: PrewarmedScene,
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


def test_platform_is_prewarmed_by_its_digest(scene: PrewarmedScene) -> None:
    scene.ask(TWIN, platform="linux/arm64")

    ((repository, digest, location),) = scene.api.held
    assert (repository, location) == (APPS, "us-central1")
    assert digest == PAIR.manifest_for("linux/arm64").digest


def test_index_without_the_platform_is_left_to_a_node() -> None:
    scene = PrewarmedScene()
    scene.cluster.place(make_node(arch="arm64"))

    outcome = scene.ask("team/arm:1")

    assert "created" in outcome.details
    assert scene.api.calls == []


def test_zonal_cluster_uses_its_region(scene: PrewarmedScene) -> None:
    scene.cluster.name = replace(scene.cluster.name, location="us-central1-a")

    scene.ask()

    assert [key[2] for key in scene.api.held] == ["us-central1"]


def test_small_image_is_ignored(scene: PrewarmedScene) -> None:
    scene.restart(min_image_bytes=50 * GB)

    assert scene.ask().disposition == "ignored"
    assert scene.api.calls == []


def test_earlier_rung_comes_first(scene: PrewarmedScene) -> None:
    scene.restart(ladder=["gpu-node", "prewarm-api"])
    without_node = scene.ask()
    scene.cluster.place(make_node())

    with_node = scene.ask(TWIN)

    assert "prewarming" in without_node.details
    assert "created" in with_node.details


def test_existing_job_serves(scene: PrewarmedScene) -> None:
    scene.cluster.place(make_node())
    scene.restart(ladder=["gpu-node"])
    scene.ask()
    scene.restart(ladder=LADDER)
    scene.forget_calls()

    outcome = scene.ask(message_id="message-2")

    assert "waiting" in outcome.details or "known" in outcome.details
    assert scene.api.calls == []


def test_dry_run_names_the_artifact(scene: PrewarmedScene) -> None:
    scene.restart(dry_run=True)

    outcome = scene.ask()

    assert outcome.details["would_create"] == [f"prewarmed team/trainer@{DIGEST} in us-central1"]
    assert "prewarm" not in scene.api.calls
    assert scene.api.held == {}


def test_forced_request_repeats_a_failed_one(scene: PrewarmedScene) -> None:
    scene.cluster.place(make_node())
    scene.api.failure = "layer is broken"
    scene.ask()
    scene.wait(timedelta(minutes=5))
    scene.api.failure = None

    outcome = scene.ask(force=True, message_id="message-2")

    assert "prewarming" in outcome.details
    assert "remove" in scene.api.calls


def test_retention_is_configurable(scene: PrewarmedScene) -> None:
    scene.restart(prewarm_days=7)

    scene.ask()

    (artifact,) = scene.api.held.values()
    assert artifact.expires == PUBLISHED + timedelta(days=7)


def test_mirrored_image_is_pulled_by_a_node_first(
    scene: PrewarmedScene,
) -> None:
    scene.cluster.place(make_node())

    outcome = scene.ask("anyscale/ray-ml:2.7.0")

    assert "created" in outcome.details
    assert "passed" not in outcome.details
    assert "prewarm" not in scene.api.calls


def test_pulled_image_is_prewarmed_in_the_next_period(
    scene: PrewarmedScene,
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


def test_image_of_a_failed_warmup_is_left_to_a_node(scene: PrewarmedScene) -> None:
    scene.cluster.place(make_node())
    scene.ask("anyscale/ray-ml:2.7.0")
    (job,) = scene.cluster.jobs
    scene.cluster.end_job(job, "Failed")
    scene.wait(timedelta(hours=48))

    assert "created" in scene.ask("anyscale/ray-ml:2.7.0", message_id="message-2").details


def test_cleaned_up_version_is_left_to_a_node(
    scene: PrewarmedScene,
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
