"""The rung prewarm-api: refusals, and the rung that serves instead."""

from datetime import timedelta

import pytest

from shared.domain.image_reference import Digest
from shared.domain.manifest import RegistryRefusalError
from shared.domain.prewarm import (
    PrewarmedArtifact,
    RefusalKind,
)
from shared.errors import ConfigurationError, TransientError
from tests.fakes.prewarmed_scenes import APPS, TWIN, PrewarmedScene
from tests.fakes.warmings import GB, PUBLISHED
from tests.fakes.warmups import make_node


@pytest.fixture
def scene() -> PrewarmedScene:
    return PrewarmedScene()


@pytest.mark.parametrize("kind", ["permission", "unavailable", "unsupported", "unknown", "full"])
def test_refused_image_is_left_to_the_next_rung(scene: PrewarmedScene, kind: RefusalKind) -> None:
    scene.cluster.place(make_node())
    scene.refuse(kind, "prewarm")

    outcome = scene.ask()

    assert "created" in outcome.details
    assert outcome.details["passed"] == [f"403 {kind}"]
    assert f"not prewarmed: 403 {kind}" in outcome.story
    assert scene.facts.facts == []
    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "gpu-node"


@pytest.mark.parametrize("kind", ["permission", "unavailable"])
def test_shared_refusal_is_logged_once_an_hour(scene: PrewarmedScene, kind: RefusalKind) -> None:
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


def test_refusal_of_one_image_does_not_affect_another(scene: PrewarmedScene) -> None:
    scene.cluster.place(make_node())
    scene.refuse("unsupported", "prewarm")
    scene.ask()
    scene.api.refusals.clear()

    assert "prewarming" in scene.ask(TWIN).details


def test_full_storage_can_take_a_smaller_image(scene: PrewarmedScene) -> None:
    scene.cluster.place(make_node())
    scene.refuse("full", "prewarm")
    scene.ask()
    scene.api.refusals.clear()

    assert "created" in scene.ask(force=True, message_id="message-2").details
    assert "prewarming" in scene.ask(TWIN).details


def test_nothing_is_evicted_for_an_image(scene: PrewarmedScene) -> None:
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
    assert "96500000000 of 100000000000 bytes" in outcome.details["passed"][0]
    assert "prewarm" not in scene.api.calls
    assert "prewarming" in scene.ask(TWIN).details


def test_failed_image_is_left_to_the_next_rung(
    scene: PrewarmedScene,
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
def test_last_rung_has_the_hint_of_the_refusal(
    scene: PrewarmedScene, kind: RefusalKind, word: str
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


def test_mirrored_image_without_a_node_has_the_hint_for_nodes(scene: PrewarmedScene) -> None:
    outcome = scene.ask("anyscale/ray-ml:2.7.0")

    assert outcome.details["outcome"] == "no_node"
    assert "node pool" in outcome.details["hint"]
    assert "pulled by a node first" in outcome.details["reason"]


@pytest.mark.parametrize("error", [TransientError, ConfigurationError])
@pytest.mark.parametrize("method", ["check", "list_artifacts", "prewarm"])
def test_failure_of_the_api_is_raised(
    scene: PrewarmedScene, method: str, error: type[Exception]
) -> None:
    scene.cluster.place(make_node())
    scene.api.refusals[method] = error("503")

    with pytest.raises(error):
        scene.ask()

    assert scene.cluster.jobs == {}


def test_image_that_the_registry_refuses_is_not_prewarmed(scene: PrewarmedScene) -> None:
    refusal = RegistryRefusalError(404, "MANIFEST_UNKNOWN", "gone")
    scene.registry.refusals["us-central1-docker.pkg.dev"] = refusal

    assert scene.ask().details["outcome"] == "pull_failed"
    assert scene.api.calls == []
