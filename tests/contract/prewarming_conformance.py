"""
The promises of the prewarm API to the pipeline: one suite for the fake and for the client.

A module that runs it names its class as tests, and has a fixture ``world``.
"""

from datetime import timedelta
from typing import Protocol

import pytest

from sandbox.catalogue.image import Image
from shared.domain.image_reference import Digest, parse_reference
from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import ArtifactVersion, PrewarmRefusedError
from shared.pipeline.ports import PrewarmApi

APPS = RepositoryName("demo", "us-central1", "apps")
REGION, OTHER_REGION = "us-central1", "europe-west4"
TOOL = Image((500_000, 30_000_000), build="tool")
LARGE = Image((60_000_000_000,), build="large")
SECOND = Image((50_000_000_000,), build="second")


class World(Protocol):
    """Artifact Registry, as a test arranges it."""

    api: PrewarmApi

    def push(self, path: str, image: Image) -> None:
        """Push an image to the repository ``apps``."""

    def advance(self, by: timedelta) -> None:
        """Let time pass."""

    def fail(self, reason: str) -> None:
        """Let every later request fail."""

    def limit(self, size: int) -> None:
        """Limit the prewarmed bytes of a project."""


def version_of(path: str, image: Image) -> ArtifactVersion:
    """Return the version that an image of the repository ``apps`` is."""
    reference = parse_reference(f"{APPS.registry}/{APPS.path}/{path}:1")
    version = ArtifactVersion.of(reference, Digest(image.digest), "linux/amd64")
    assert version is not None
    return version


def pushed(world: World, path: str, image: Image) -> ArtifactVersion:
    """Push an image, and return its version."""
    world.push(path, image)
    return version_of(path, image)


class PrewarmingConformance:
    """The promises."""

    def test_image_without_request_is_not_prewarmed(self, world: World) -> None:
        version = pushed(world, "team/tool", TOOL)

        assert world.api.check(version, location=REGION) is None
        assert list(world.api.list_artifacts(APPS)) == []

    def test_requested_artifact_is_caching_then_active_then_gone(self, world: World) -> None:
        version = pushed(world, "team/tool", TOOL)

        world.api.prewarm(version, location=REGION, retention_days=2)
        first = world.api.check(version, location=REGION)
        world.advance(timedelta(minutes=2))
        second = world.api.check(version, location=REGION)
        world.advance(timedelta(days=2))

        assert first is not None
        assert second is not None
        assert (first.state, second.state) == ("CACHING", "ACTIVE")
        assert (second.digest, second.location) == (TOOL.digest, REGION)
        assert second.image_bytes == TOOL.manifests[0].image_bytes
        assert second.created is not None
        assert second.expires - second.created == timedelta(days=2)
        assert second.uri.endswith(f"team/tool@{TOOL.digest}")
        assert world.api.check(version, location=REGION) is None

    def test_second_request_renews_the_artifact(self, world: World) -> None:
        version = pushed(world, "team/tool", TOOL)
        world.api.prewarm(version, location=REGION, retention_days=3)
        world.advance(timedelta(days=2))
        before = world.api.check(version, location=REGION)

        renewed = world.api.prewarm(version, location=REGION, retention_days=3)

        assert before is not None
        assert renewed is not None
        assert renewed.state == "ACTIVE"
        assert renewed.created == before.created
        assert renewed.expires > before.expires + timedelta(days=1)

    def test_failed_artifact_carries_its_reason(self, world: World) -> None:
        version = pushed(world, "team/tool", TOOL)
        world.fail("layer is broken")
        world.api.prewarm(version, location=REGION, retention_days=3)
        world.advance(timedelta(minutes=2))

        found = world.api.check(version, location=REGION)

        assert found is not None
        assert (found.state, found.error) == ("FAILED", "layer is broken")

    def test_unknown_version_is_refused(self, world: World) -> None:
        pushed(world, "team/other", LARGE)
        version = version_of("team/tool", TOOL)

        with pytest.raises(PrewarmRefusedError) as refused:
            world.api.prewarm(version, location=REGION, retention_days=3)

        assert refused.value.kind == "unknown"
        assert world.api.check(version, location=REGION) is None

    def test_full_storage_evicts_nothing(self, world: World) -> None:
        world.limit(100_000_000_000)
        first = pushed(world, "large", LARGE)
        second = pushed(world, "second", SECOND)
        world.api.prewarm(first, location=REGION, retention_days=3)

        with pytest.raises(PrewarmRefusedError) as refused:
            world.api.prewarm(second, location=REGION, retention_days=3)

        assert refused.value.kind == "full"
        assert [each.digest for each in world.api.list_artifacts(APPS)] == [LARGE.digest]

    def test_artifact_belongs_to_one_region(self, world: World) -> None:
        version = pushed(world, "team/tool", TOOL)

        world.api.prewarm(version, location=OTHER_REGION, retention_days=3)

        assert world.api.check(version, location=REGION) is None
        assert [each.location for each in world.api.list_artifacts(APPS)] == [OTHER_REGION]

    def test_removing_an_artifact_twice_succeeds(self, world: World) -> None:
        version = pushed(world, "team/tool", TOOL)
        world.api.prewarm(version, location=REGION, retention_days=3)

        world.api.remove(version, location=REGION)
        world.api.remove(version, location=REGION)

        assert world.api.check(version, location=REGION) is None

    def test_unknown_repository_has_no_prewarmed_artifacts(self, world: World) -> None:
        assert list(world.api.list_artifacts(RepositoryName("demo", REGION, "nothing"))) == []
