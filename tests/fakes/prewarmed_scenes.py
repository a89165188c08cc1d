"""A deployment whose ladder begins with the prewarm API, and images of a standard repository."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sandbox.catalogue.image import Image
from shared.domain.disposition import Outcome
from shared.domain.image_reference import Digest
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.prewarm import (
    PrewarmRefusedError,
    RefusalKind,
)
from tests.fakes.warmings import GB, RAY, Scene

APPS = RepositoryName("demo", "us-central1", "apps")
HUB = RepositoryName("demo", "us-central1", "dockerhub-mirror")
LADDER = ["prewarm-api", "gpu-node", "any-node"]
TRAINER = Image((4 * GB,), build="trainer")
PAIR = Image((3 * GB,), ("linux/amd64", "linux/arm64"), build="pair")
IMAGE = "us-central1-docker.pkg.dev/demo/apps/team/trainer:1"
TWIN = "us-central1-docker.pkg.dev/demo/apps/team/pair:1"
DIGEST = Digest(TRAINER.digest)


class PrewarmedScene(Scene):
    """A deployment whose ladder begins with the prewarm API, and a standard repository."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**{"ladder": LADDER, **values})
        self.repositories.states[APPS] = RepositoryState(is_docker_remote=False)
        for name, image in ((IMAGE, TRAINER), (TWIN, PAIR)):
            self.registry.add(name.rpartition(":")[0], "1", image)
        for image in (TRAINER, PAIR, RAY):
            for manifest in image.manifests:
                self.api.sizes[Digest(manifest.digest)] = manifest.image_bytes

    def ask(self, image: str = IMAGE, **fields: Any) -> Outcome:
        """Deliver a message that is published now."""
        return self.warm(image, **{"publish_time": self.api.now, **fields})

    def wait(self, by: timedelta) -> None:
        self.api.now += by

    def refuse(self, kind: RefusalKind, *methods: str) -> None:
        for method in methods or ("prewarm", "check", "list_artifacts"):
            self.api.refusals[method] = PrewarmRefusedError(kind, f"403 {kind}")

    @property
    def payloads(self) -> list[Mapping[str, Any]]:
        """The payloads of the facts, each fact once, as a query shows them."""
        distinct = {(fact.insert_id, fact.timestamp): fact.payload for fact in self.facts.facts}
        return list(distinct.values())
