"""
The promises of a registry and its repositories: one suite for fakes and clients.

A module that runs it names its classes as tests, and has a fixture ``world``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from sandbox.catalogue.image import Image
from shared.domain.image_reference import Digest, ImageReference, parse_reference
from shared.domain.manifest import InvalidManifestError, RegistryRefusalError
from shared.domain.mirror import (
    RemoteRepository,
    RepositoryName,
    UpstreamCredentials,
    UpstreamRefusedError,
)
from shared.domain.mirror_reference import rewrite_reference
from shared.errors import TransientError
from shared.pipeline.ports import Registry, Repositories

TOOL = Image((500_000, 30_000_000), build="tool")
PAIR = Image((700_000, 60_000_000), ("linux/amd64", "linux/arm64"), attestations=True, build="pair")
DOCKER = Image((40_000_000,), ("linux/amd64", "linux/arm64"), flavour="docker", build="docker")
OLD = Image((1_000_000,), flavour="schema-1", build="old")
ABSENT = Digest(f"sha256:{'0' * 64}")

HUB_NAME = RepositoryName("demo", "us-central1", "dockerhub-mirror")
GHCR_NAME = RepositoryName("demo", "us-central1", "ghcr-io-mirror")
APPS = RepositoryName("demo", "us-central1", "apps")
HUB = RemoteRepository(HUB_NAME, "docker.io", None)
GHCR = RemoteRepository(GHCR_NAME, "ghcr.io", "https://ghcr.io")
LOGIN = UpstreamCredentials("reader", "projects/demo/secrets/hub/versions/3")
OTHER_LOGIN = UpstreamCredentials("reader", "projects/demo/secrets/hub/versions/4")


class World(Protocol):
    """Artifact Registry and its upstreams, as a test arranges them."""

    registry: Registry
    repositories: Repositories

    def publish(self, name: str, tag: str, image: Image) -> str:
        """Let an image exist upstream, and return its digest."""

    def push(self, name: RepositoryName, path: str, tag: str, image: Image) -> str:
        """Push an image to a standard repository, which is made if it is missing."""

    def limit(self, registry: str, retry_after_s: int) -> None:
        """Let an upstream answer that its rate limit is exceeded."""

    def lock(self, registry: str, login: UpstreamCredentials) -> None:
        """Let an upstream refuse every other login."""

    def spend_quota(self) -> None:
        """Let Artifact Registry's registry API answer that our quota is spent."""

    def hide_unknown(self) -> None:
        """Let a missing repository look like a forbidden one."""

    def slow_down(self) -> None:
        """Let creations take longer than a test."""

    def finish(self) -> None:
        """Let the running creations end."""

    def fail(self) -> None:
        """Let every call be answered with 503."""


@contextmanager
def refused() -> Iterator[RegistryRefusalError]:
    """Yield the refusal, which is filled once the registry refuses a request."""
    refusal = RegistryRefusalError(0, "", "")
    with pytest.raises(RegistryRefusalError) as caught:
        yield refusal
    vars(refusal).update(vars(caught.value))


def mirrored(text: str, mirror: RemoteRepository = HUB) -> ImageReference:
    return rewrite_reference(parse_reference(text), mirror.name)


class RegistryConformance:
    """The promises of a registry."""

    @pytest.mark.parametrize("image", [TOOL, PAIR, DOCKER], ids=["single", "oci", "docker"])
    def test_tag_has_the_digest_of_what_it_points_at(self, world: World, image: Image) -> None:
        world.repositories.create_repository(HUB)
        digest = world.publish("docker.io/team/tool", "1.0", image)

        manifest = world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert manifest.digest == digest
        assert manifest.is_index == (len(image.platforms) > 1)

    @pytest.mark.parametrize("image", [PAIR, DOCKER], ids=["oci", "docker"])
    def test_index_names_the_manifest_of_each_platform(self, world: World, image: Image) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", image)
        reference = mirrored("team/tool:1.0")

        index = world.registry.fetch_manifest(reference)
        digests = {name: index.digest_for(name) for name in image.platforms}

        for platform, digest in digests.items():
            assert digest == image.manifest_for(platform).digest
            manifest = world.registry.fetch_manifest(reference.at(digest))
            assert manifest.digest == digest
            assert manifest.image_bytes == image.manifest_for(platform).image_bytes
        assert len(index.platforms) == len(image.platforms)

    def test_digest_decides_where_there_is_a_tag_too(self, world: World) -> None:
        world.repositories.create_repository(HUB)
        digest = world.publish("docker.io/team/tool", "1.0", TOOL)
        world.publish("docker.io/team/tool", "2.0", PAIR)

        manifest = world.registry.fetch_manifest(mirrored(f"team/tool:2.0@{digest}"))

        assert manifest.digest == digest
        assert not manifest.is_index

    def test_image_of_a_standard_repository_is_served(self, world: World) -> None:
        digest = world.push(APPS, "team/trainer", "1.0", TOOL)
        name = "us-central1-docker.pkg.dev/demo/apps/team/trainer"

        manifest = world.registry.fetch_manifest(parse_reference(f"{name}:1.0"))

        assert manifest.digest == digest

    def test_old_manifest_cannot_be_used(self, world: World) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/old", "1.0", OLD)

        with pytest.raises((InvalidManifestError, RegistryRefusalError)):
            world.registry.fetch_manifest(mirrored("team/old:1.0"))

    @pytest.mark.parametrize("version", [":none", f"@{ABSENT}"], ids=["tag", "digest"])
    def test_absent_image_differs_from_unknown_repository(self, world: World, version: str) -> None:
        world.publish("docker.io/team/tool", "1.0", TOOL)

        with refused() as unknown:
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))
        world.repositories.create_repository(HUB)
        with refused() as absent:
            world.registry.fetch_manifest(mirrored(f"team/tool{version}"))

        assert (unknown.status, unknown.code) == (404, "NAME_UNKNOWN")
        assert (absent.status, absent.code) == (404, "MANIFEST_UNKNOWN")

    def test_unknown_repository_may_be_hidden(self, world: World) -> None:
        world.hide_unknown()

        with refused() as refusal:
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert refusal.status == 403
        assert "artifactregistry." in refusal.message
        assert not refusal.by_upstream

    def test_upstream_limit_has_a_retry_time(self, world: World) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.limit("docker.io", retry_after_s=600)

        with refused() as refusal:
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert refusal.status == 429
        assert refusal.retry_at is not None
        left = refusal.retry_at - datetime.now(UTC)
        assert timedelta(seconds=540) < left <= timedelta(seconds=600)

    def test_our_own_quota_is_named(self, world: World) -> None:
        world.repositories.create_repository(HUB)
        world.spend_quota()

        with refused() as refusal:
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert refusal.status == 429
        assert "Quota exceeded for quota metric" in refusal.message

    def test_upstream_refusal_is_reported_as_the_upstreams(self, world: World) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/secret", "1.0", TOOL)
        world.lock("docker.io", LOGIN)

        with refused() as refusal:
            world.registry.fetch_manifest(mirrored("team/secret:1.0"))

        assert refusal.status in {401, 403}
        assert refusal.by_upstream

    def test_unavailable_registry_is_transient(self, world: World) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.fail()

        with pytest.raises(TransientError):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))


class RepositoriesConformance:
    """The promises of the repositories."""

    def test_there_is_nothing_at_first(self, world: World) -> None:
        assert world.repositories.fetch_repository(HUB_NAME) is None

    def test_mirror_is_found_as_requested(self, world: World) -> None:
        world.publish("ghcr.io/team/tool", "1.0", TOOL)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.repositories.create_repository(HUB)
        world.repositories.create_repository(GHCR)

        hub = world.repositories.fetch_repository(HUB_NAME)
        ghcr = world.repositories.fetch_repository(GHCR_NAME)

        assert hub is not None
        assert ghcr is not None
        assert (hub.is_docker_remote, hub.uri, hub.credentials) == (True, None, None)
        assert (ghcr.is_docker_remote, ghcr.uri) == (True, "https://ghcr.io")
        assert hub.is_ours
        assert ghcr.is_ours

    def test_mirror_is_made_with_its_credentials(self, world: World) -> None:
        world.publish("docker.io/team/secret", "1.0", TOOL)
        world.lock("docker.io", LOGIN)

        world.repositories.create_repository(RemoteRepository(HUB_NAME, "docker.io", None, LOGIN))

        state = world.repositories.fetch_repository(HUB_NAME)
        assert state is not None
        assert state.credentials == LOGIN

    def test_credentials_are_given_later(self, world: World) -> None:
        world.publish("docker.io/team/secret", "1.0", TOOL)
        world.repositories.create_repository(HUB)
        before = world.repositories.fetch_repository(HUB_NAME)

        world.repositories.update_credentials(RemoteRepository(HUB_NAME, "docker.io", None, LOGIN))

        after = world.repositories.fetch_repository(HUB_NAME)
        assert before is not None
        assert after is not None
        assert after.credentials == LOGIN
        assert (after.uri, after.labels) == (before.uri, before.labels)

    def test_credentials_are_taken_away(self, world: World) -> None:
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.repositories.create_repository(RemoteRepository(HUB_NAME, "docker.io", None, LOGIN))

        world.repositories.update_credentials(HUB)

        after = world.repositories.fetch_repository(HUB_NAME)
        assert after is not None
        assert after.credentials is None

    def test_making_a_mirror_twice_is_making_it_once(self, world: World) -> None:
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.repositories.create_repository(HUB)
        before = world.repositories.fetch_repository(HUB_NAME)

        world.repositories.create_repository(HUB)

        assert world.repositories.fetch_repository(HUB_NAME) == before

    def test_foreign_repository_is_left_unchanged(self, world: World) -> None:
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.push(HUB_NAME, "team/trainer", "1.0", TOOL)

        world.repositories.create_repository(HUB)

        state = world.repositories.fetch_repository(HUB_NAME)
        assert state is not None
        assert not state.is_docker_remote
        assert not state.is_ours

    def test_mirror_that_is_being_made_is_not_there_yet(self, world: World) -> None:
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.slow_down()
        world.repositories.create_repository(HUB)
        world.repositories.create_repository(HUB)
        during = world.repositories.fetch_repository(HUB_NAME)

        world.finish()

        assert during is None
        assert world.repositories.fetch_repository(HUB_NAME) is not None

    def test_upstream_that_refuses_the_credentials_makes_no_mirror(self, world: World) -> None:
        world.publish("docker.io/team/secret", "1.0", TOOL)
        world.lock("docker.io", LOGIN)
        wanted = RemoteRepository(HUB_NAME, "docker.io", None, OTHER_LOGIN)

        with pytest.raises(UpstreamRefusedError, match="upstream"):
            world.repositories.create_repository(wanted)

        assert world.repositories.fetch_repository(HUB_NAME) is None

    def test_wrong_credentials_do_not_replace_what_is_there(self, world: World) -> None:
        world.publish("docker.io/team/secret", "1.0", TOOL)
        world.lock("docker.io", LOGIN)
        world.repositories.create_repository(HUB)
        wanted = RemoteRepository(HUB_NAME, "docker.io", None, OTHER_LOGIN)

        with pytest.raises(UpstreamRefusedError, match="upstream"):
            world.repositories.update_credentials(wanted)

        state = world.repositories.fetch_repository(HUB_NAME)
        assert state is not None
        assert state.credentials is None

    def test_unavailable_service_is_transient(self, world: World) -> None:
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.repositories.create_repository(HUB)
        world.fail()

        with pytest.raises(TransientError):
            world.repositories.fetch_repository(HUB_NAME)
        with pytest.raises(TransientError):
            world.repositories.create_repository(GHCR)
        with pytest.raises(TransientError):
            world.repositories.update_credentials(HUB)
