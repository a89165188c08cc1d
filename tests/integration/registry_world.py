"""The sandbox's Artifact Registry, and the clients that ask it."""

from datetime import timedelta

from sandbox.artifact_registry.registry_server import ArtifactRegistry as ArtifactRegistryServer
from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.streaming_cache import StreamingCache
from shared.clients.artifact_registry import ArtifactRegistry
from shared.clients.registry import RegistryClient
from shared.domain.mirror import RepositoryName, UpstreamCredentials


class SandboxWorld:
    def __init__(self) -> None:
        self.clock, self.faults, self.catalogue = Clock(), Faults(), Catalogue()
        self.server = ArtifactRegistryServer(
            self.clock, self.faults, self.catalogue, StreamingCache(self.clock)
        ).start()
        self.registry = RegistryClient(emulator_host=self.server.address)
        self.repositories = ArtifactRegistry(emulator_host=self.server.address)
        for host in ("docker.io", "ghcr.io", "registry.example.com"):
            self.catalogue.restore(host)

    def publish(self, name: str, tag: str, image: Image) -> str:
        return self.catalogue.add(name, tag, image)

    def push(self, name: RepositoryName, path: str, tag: str, image: Image) -> str:
        return self.server.push(f"{name.registry}/{name.path}/{path}", tag, image)

    def limit(self, registry: str, retry_after_s: int) -> None:
        self.catalogue.limit(registry, after=0, retry_after_s=retry_after_s)

    def lock(self, registry: str, login: UpstreamCredentials) -> None:
        self.catalogue.require_credentials(registry, login.username, login.password_secret_version)

    def spend_quota(self) -> None:
        self.faults.add(Fault("registry", status=429))

    def hide_unknown(self) -> None:
        self.server.switches.hide_unknown = True

    def slow_down(self) -> None:
        self.server.switches.operation_delay_s = 3_600

    def finish(self) -> None:
        self.clock.advance(timedelta(hours=2))

    def fail(self) -> None:
        self.faults.add(Fault("registry"))
        self.faults.add(Fault("artifact-registry"))

    def calls(self, method: str) -> int:
        return sum(1 for request in self.server.requests if request[0] == method)
