"""A cluster whose ladder begins with the prewarm API, and which is swept."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sandbox.catalogue.image import Image
from shared.domain.disposition import Outcome
from shared.domain.image_reference import Digest
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.prewarm import (
    PrewarmedArtifact,
    PrewarmState,
)
from tests.fakes.sweeps import NOW, SweptWorld

APPS = RepositoryName("demo", "us-central1", "apps")
HUB = RepositoryName("demo", "us-central1", "dockerhub-mirror")
HOST = "us-central1-docker.pkg.dev/demo/apps"
GB = 1_000_000_000
DAY = timedelta(days=1)


class World(SweptWorld):
    """A cluster whose ladder begins with the prewarm API, and a standard repository."""

    def __init__(self, **values: Any) -> None:
        super().__init__({"ladder": ["prewarm-api", "gpu-node"], **values})
        self.registry.repositories.states[APPS] = RepositoryState(is_docker_remote=False)

    def push(
        self, name: str, size: int = GB, *platforms: str, repository: RepositoryName = APPS
    ) -> str:
        """Push an image, let a Deployment use it, and return its reference."""
        image = Image((size,), platforms or ("linux/amd64",), build=name)
        package = f"{repository.registry}/{repository.path}/{name}"
        self.registry.add(package, "1", image)
        for manifest in image.manifests:
            self.api.sizes[Digest(manifest.digest)] = manifest.image_bytes
        self.use(f"{package}:1")
        return image.digest

    def forget(self) -> None:
        """Let no workload use anything any more."""
        self.cluster.objects.clear()

    def at(self, after: timedelta) -> Outcome:
        """Sweep at a time after the first."""
        self.api.now = NOW + after
        return self.sweep(NOW + after)

    def expires(self, digest: str) -> timedelta:
        """Return how long after the first sweep an image is prewarmed."""
        return self.api.held[APPS, Digest(digest), "us-central1"].expires - NOW

    def hold(self, digest: str, size: int, state: PrewarmState = "ACTIVE") -> None:
        """Let something be prewarmed, for three days."""
        artifact = PrewarmedArtifact(
            Digest(digest), "us-central1", state, expires=NOW + 3 * DAY, image_bytes=size
        )
        self.api.put(APPS, artifact)

    @property
    def due(self) -> list[str]:
        """The images of what was published, and not taken before."""
        return [request.image for request in self.take()]

    @property
    def prewarmed(self) -> list[Mapping[str, Any]]:
        """The facts of what was prewarmed."""
        return [each for each in self.events("warmup.finished") if each["outcome"] == "prewarmed"]
