"""Mirrors under some settings, before registries in memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.image_reference import parse_reference
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RemoteRepository, RepositoryName, Source
from shared.errors import FailedOutcome, ImageError
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.settings.keys import make_settings
from shared.settings.yaml_file import Document
from tests.fakes.registries import FakeRegistry, FakeRepositories, state_of

ZONE = "us-central1-a"
HUB_NAME = RepositoryName("demo", "us-central1", "dockerhub-mirror")
HUB = RemoteRepository(HUB_NAME, "docker.io", None)
TOOL = Image((300, 20), build="tool")
PAIR = Image((700,), ("linux/amd64", "linux/arm64"), attestations=True, build="pair")
UNKNOWN = RegistryRefusalError(404, "NAME_UNKNOWN", 'Repository "dockerhub-mirror" not found')
OUR_403 = RegistryRefusalError(
    403, "DENIED", 'Permission "artifactregistry.repositories.downloadArtifacts" denied on resource'
)


@dataclass
class Deployment:
    """Mirrors under some settings, before registries in memory."""

    values: Mapping[str, Any] = field(default_factory=dict)
    registry: FakeRegistry = field(default_factory=FakeRegistry)

    def __post_init__(self) -> None:
        self.registry.add("docker.io/team/tool", "1.0", TOOL)
        self.registry.add("docker.io/team/pair", "1.0", PAIR)
        self.mirrors = self.start_instance()

    @property
    def repositories(self) -> FakeRepositories:
        return self.registry.repositories

    def answer(self, error: Exception) -> Callable[[], str]:
        """Let the mirror be there and answer with an error; return what asks it."""
        self.repositories.states[HUB_NAME] = state_of(HUB)
        self.registry.error = error
        return self.resolve

    def start_instance(self, **values: Any) -> Mirrors:
        settings = make_settings(
            Document({**self.values, **values}), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file"
        )
        return Mirrors(
            settings,
            registry=self.registry,
            repositories=lambda: self.repositories,
            execute=Executor(repositories=lambda: self.repositories, dry_run=settings.dry_run),
            pause=lambda _: None,
        )

    def locate(self, text: str, location: str = ZONE) -> Source:
        return self.mirrors.locate(parse_reference(text), location)

    def resolve(self, text: str = "team/tool:1.0") -> str:
        return self.mirrors.resolve(self.locate(text)).digest

    def use(self, text: str = "team/tool:1.0") -> str:
        """Resolve a reference, and confirm its mirror, as a warmup does."""
        digest = self.resolve(text)
        self.mirrors.confirm(self.locate(text))
        return digest


@contextmanager
def fails(
    outcome: FailedOutcome, match: str | None = None
) -> Iterator[pytest.ExceptionInfo[ImageError]]:
    """Expect an image's failure, with a hint for a person."""
    with pytest.raises(ImageError, match=match) as caught:
        yield caught
    assert caught.value.outcome == outcome
    assert caught.value.hint.endswith(".")
