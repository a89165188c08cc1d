"""Sources of the warmup state: a log of facts, and prewarmed artifacts."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
    PrewarmState,
)
from shared.domain.timestamp import parse_time
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.node_reports import (
    CREATED,
    at,
)
from tests.fakes.warmups import DIGEST, MIRRORS

NOW = CREATED + timedelta(minutes=5)
IMAGE = "anyscale/ray-ml:2.7.0"
NAME = f"{MIRRORS}/anyscale/ray-ml"


class Facts:
    """The log of facts, to read."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, Any]] = []
        self.error: Exception | None = None
        self.asked: list[str] = []

    def read(self, since: datetime, more: str = "") -> Iterator[Mapping[str, Any]]:
        self.asked.append(more)
        if self.error is not None:
            raise self.error
        yield from (each for each in self.entries if parse_time(each["timestamp"]) >= since)

    def add(self, outcome: str, seconds: float = 60, **fields: Any) -> None:
        payload = {
            "event": "warmup.finished",
            "image": IMAGE,
            "mirror": f"{NAME}@{DIGEST}",
            "digest": DIGEST,
            "cluster": str(GPU_CLUSTER),
            "target": "nvidia-l4-6af5d1",
            "outcome": outcome,
            **fields,
        }
        self.entries.append(
            {
                "insertId": f"entry-{len(self.entries)}",
                "timestamp": at(seconds),
                "jsonPayload": payload,
            }
        )


class Prewarmed:
    """Artifact Registry's API, to read what is prewarmed."""

    def __init__(self) -> None:
        self.artifacts: list[PrewarmedArtifact] = []
        self.repositories: list[RepositoryName] = []
        self.checked: list[ArtifactVersion] = []
        self.error: Exception | None = None

    def add(
        self,
        state: PrewarmState,
        *,
        hours: float = 72,
        region: str = "us-central1",
        name: str = NAME,
    ) -> None:
        self.artifacts.append(
            PrewarmedArtifact(
                digest=DIGEST,
                location=region,
                state=state,
                expires=NOW + timedelta(hours=hours),
                uri=f"{name}@{DIGEST}",
                error="no room" if state == "FAILED" else "",
            )
        )

    def check(self, version: ArtifactVersion, *, location: str) -> PrewarmedArtifact | None:
        self.checked.append(version)
        return next(iter(self._find(location)), None)

    def list_artifacts(self, repository: RepositoryName) -> Iterator[PrewarmedArtifact]:
        prefix = f"{repository.registry}/{repository.path}/"
        yield from (each for each in self._find(None) if each.uri.startswith(prefix))

    def list_repositories(self, project: str) -> list[RepositoryName]:
        if self.error is not None:
            raise self.error
        return [each for each in self.repositories if each.project == project]

    def _find(self, region: str | None) -> list[PrewarmedArtifact]:
        if self.error is not None:
            raise self.error
        return [each for each in self.artifacts if region in {None, each.location}]
