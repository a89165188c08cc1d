"""Artifact Registry's prewarm API in memory, by a clock that a test moves."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.domain.image_reference import Digest
from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import ArtifactVersion, PrewarmedArtifact, PrewarmRefusedError

Key = tuple[RepositoryName, Digest, str]


@dataclass
class FakePrewarmApi:
    """
    The prewarmed artifacts and the calls; an artifact is CACHING for a minute.

    ``prewarming_conformance`` checks it against the real client.
    """

    now: datetime
    sizes: dict[Digest, int] = field(default_factory=dict)
    """The size of each existing version, by its digest."""
    limit_bytes: int = 100_000_000_000
    failure: str | None = None
    """Why what is asked for from now on cannot be cached."""
    refusals: dict[str, Exception] = field(default_factory=dict)
    """The errors that calls of a method raise."""
    calls: list[str] = field(default_factory=list)
    held: dict[Key, PrewarmedArtifact] = field(default_factory=dict)

    def prewarm(
        self, version: ArtifactVersion, *, location: str, retention_days: int
    ) -> PrewarmedArtifact | None:
        self._called("prewarm")
        key = (version.repository, version.digest, location)
        size = self.sizes.get(version.digest)
        if size is None:
            raise PrewarmRefusedError("unknown", "404 Requested entity was not found.")
        before = self._look(key)
        expires = self.now + timedelta(days=retention_days)
        if before is not None and before.state != "FAILED":
            self.held[key] = replace(self.held[key], expires=expires)
            return self._look(key)
        self.held.pop(key, None)
        if sum(each.image_bytes for each in self.held.values()) + size > self.limit_bytes:
            raise PrewarmRefusedError("full", "429 prewarm storage is exceeded")
        self.held[key] = PrewarmedArtifact(
            digest=version.digest,
            location=location,
            state="CACHING",
            expires=expires,
            created=self.now,
            image_bytes=size,
            uri=f"{version.package}@{version.digest}",
            error=self.failure or "",
        )
        return self._look(key)

    def check(self, version: ArtifactVersion, *, location: str) -> PrewarmedArtifact | None:
        self._called("check")
        return self._look((version.repository, version.digest, location))

    def list_artifacts(self, repository: RepositoryName) -> Iterator[PrewarmedArtifact]:
        self._called("list_artifacts")
        found = [self._look(key) for key in list(self.held) if key[0] == repository]
        return iter([each for each in found if each is not None])

    def remove(self, version: ArtifactVersion, *, location: str) -> None:
        self._called("remove")
        self.held.pop((version.repository, version.digest, location), None)

    def put(self, repository: RepositoryName, artifact: PrewarmedArtifact) -> None:
        """Let something be prewarmed."""
        self.held[repository, artifact.digest, artifact.location] = artifact

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if method in self.refusals:
            raise self.refusals[method]

    def _look(self, key: Key) -> PrewarmedArtifact | None:
        found = self.held.get(key)
        if found is None or found.created is None:
            return found
        if found.expires <= self.now:
            del self.held[key]
            return None
        if self.now - found.created < timedelta(minutes=1):
            return found
        return replace(found, state="FAILED" if found.error else "ACTIVE")
