"""The clients of Artifact Registry and its registries, against the sandbox's server."""

import time
from collections.abc import Iterator

import pytest

from sandbox.fault import Fault
from shared.clients import registry as registries
from shared.clients.registry import RegistryClient
from shared.errors import ConfigurationError, TransientError
from tests.contract.registry_conformance import (
    HUB,
    LOGIN,
    TOOL,
    RegistryConformance,
    RepositoriesConformance,
    mirrored,
    refused,
)
from tests.integration.registry_world import SandboxWorld

pytestmark = pytest.mark.integration

STALL_S = 30.0
SHORT_S = 0.2


@pytest.fixture
def world() -> Iterator[SandboxWorld]:
    world = SandboxWorld()
    yield world
    world.server.stop()


class TestRegistryClient(RegistryConformance):
    """The client of the registry API."""

    @pytest.mark.parametrize("status", [403, 502])
    def test_refusal_of_an_upstream_is_recognized_by_its_text(
        self, world: SandboxWorld, status: int
    ) -> None:
        world.server.switches.refusal_status = status
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/secret", "1.0", TOOL)
        world.lock("docker.io", LOGIN)

        with refused() as refusal:
            world.registry.fetch_manifest(mirrored("team/secret:1.0"))

        assert refusal.status == 401
        assert refusal.by_upstream

    @pytest.mark.parametrize("status", [500, 503])
    def test_broken_upstream_is_transient(self, world: SandboxWorld, status: int) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.catalogue.break_("docker.io", status)

        with pytest.raises(TransientError, match=str(status)):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

    def test_stalled_upstream_is_waited_for_no_longer_than_the_time_out(
        self, world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registries, "TIMEOUT", (SHORT_S, SHORT_S))
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.catalogue.stall("docker.io", STALL_S)
        started = time.monotonic()

        with pytest.raises(TransientError, match="timed out"):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert time.monotonic() - started < STALL_S / 2
        world.catalogue.restore("docker.io")

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

    def test_closed_port_is_transient(self) -> None:
        client = RegistryClient(emulator_host="127.0.0.1:1")

        with pytest.raises(TransientError, match="team/tool"):
            client.fetch_manifest(mirrored("team/tool:1.0"))

    def test_invalid_address_is_misconfigured(self) -> None:
        client = RegistryClient(emulator_host="[::1")

        with pytest.raises(ConfigurationError, match="team/tool"):
            client.fetch_manifest(mirrored("team/tool:1.0"))


class TestArtifactRegistry(RepositoriesConformance):
    """The client of the repositories' REST API."""
