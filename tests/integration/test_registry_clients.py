"""The clients of Artifact Registry and its registries, against the sandbox's server."""

from collections.abc import Iterator

import pytest

from sandbox.fault import Fault
from shared.clients.registry import RegistryClient
from shared.errors import ConfigurationError, TransientError
from tests.contract.registry_conformance import (
    HUB,
    TOOL,
    RegistryConformance,
    RepositoriesConformance,
    mirrored,
    refused,
)
from tests.integration.registry_world import SandboxWorld

pytestmark = pytest.mark.integration


@pytest.fixture
def world() -> Iterator[SandboxWorld]:
    world = SandboxWorld()
    yield world
    world.server.stop()


class TestRegistryClient(RegistryConformance):
    """The client of the registry API."""

    def test_connection_that_closes_without_an_answer_may_be_opened_again(
        self, world: SandboxWorld
    ) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.faults.add(Fault("registry", status=0, times=1))

        with pytest.raises(TransientError):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert world.registry.fetch_manifest(mirrored("team/tool:1.0")).digest == TOOL.digest

    @pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
    def test_passing_failure_is_the_world_s(self, world: SandboxWorld, status: int) -> None:
        world.faults.add(Fault("registry", status=status))

        with pytest.raises(TransientError, match=f"team/tool.*{status}"):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
    def test_refusal_keeps_its_status(self, world: SandboxWorld, status: int) -> None:
        world.faults.add(Fault("registry", status=status))

        with refused() as refusal:
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert refusal.status == status
        assert not refusal.by_upstream

    def test_invalid_address_is_misconfigured(self) -> None:
        client = RegistryClient(emulator_host="[::1")

        with pytest.raises(ConfigurationError, match="team/tool"):
            client.fetch_manifest(mirrored("team/tool:1.0"))


class TestArtifactRegistry(RepositoriesConformance):
    """The client of the repositories' REST API."""
