"""The registries in memory keep what the workflows are promised."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.catalogue.image import Image
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName, RepositoryState, UpstreamCredentials
from shared.errors import TransientError
from tests.contract.registry_conformance import RegistryConformance, RepositoriesConformance
from tests.fakes.registries import FakeRegistry, FakeRepositories


class FakeWorld:
    def __init__(self) -> None:
        self.repositories = FakeRepositories()
        self.registry = FakeRegistry(self.repositories)

    def publish(self, name: str, tag: str, image: Image) -> str:
        return self.registry.add(name, tag, image)

    def push(self, name: RepositoryName, path: str, tag: str, image: Image) -> str:
        self.repositories.states[name] = RepositoryState(is_docker_remote=False)
        return self.registry.add(f"{name.registry}/{name.path}/{path}", tag, image)

    def limit(self, registry: str, retry_after_s: int) -> None:
        retry_at = datetime.now(UTC) + timedelta(seconds=retry_after_s)
        refusal = RegistryRefusalError(429, "TOOMANYREQUESTS", "rate limit", retry_at=retry_at)
        self.registry.refusals[registry] = refusal

    def lock(self, registry: str, login: UpstreamCredentials) -> None:
        text = "Received invalid http status code 401 from external repository"
        self.registry.refusals[registry] = RegistryRefusalError(
            401, "DENIED", text, by_upstream=True
        )
        self.repositories.accepted_login = login

    def spend_quota(self) -> None:
        text = "Quota exceeded for quota metric 'Requests per project per region'"
        self.registry.error = RegistryRefusalError(429, "TOOMANYREQUESTS", text)

    def hide_unknown(self) -> None:
        self.registry.hides_unknown = True

    def slow_down(self) -> None:
        self.repositories.is_slow = True

    def finish(self) -> None:
        self.repositories.finish()

    def fail(self) -> None:
        self.registry.error = self.repositories.error = TransientError("503 unavailable")


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


class TestFakeRegistry(RegistryConformance):
    """The registry in memory."""


class TestFakeRepositories(RepositoriesConformance):
    """The repositories in memory."""
