"""Artifact Registry's prewarmed images, as one sweep reads and changes them."""

from dataclasses import dataclass, field

from shared.domain.action import RemovePrewarmed
from shared.domain.image_reference import Digest
from shared.domain.ladder import PrewarmUnavailableError
from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import PrewarmedArtifact, PrewarmRefusedError, PrewarmState
from shared.pipeline.plan_prewarm import PrewarmRequest, make_prewarm
from shared.pipeline.prewarm_artifact import PrewarmRung

_Held = dict[tuple[Digest, str], PrewarmedArtifact]


@dataclass(slots=True)
class PrewarmedStorage:
    """The prewarmed images of the repositories in use, during one sweep."""

    rung: PrewarmRung
    passed: list[str] = field(default_factory=list)
    """The refusals of the API that the log line of the sweep includes."""
    _held: dict[RepositoryName, _Held] = field(default_factory=dict)

    def find(self, request: PrewarmRequest) -> PrewarmedArtifact | None:
        """
        Return the artifact of an image; each repository is listed once.

        Raises:
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        repository = request.version.repository
        if repository not in self._held:
            self._held[repository] = self._list(request)
        return self._held[repository].get((request.version.digest, request.location))

    def check(self, request: PrewarmRequest) -> None:
        """
        Check that no earlier refusal covers the request.

        Raises:
            PrewarmUnavailableError: One does.
        """
        self.rung.check(request)

    def list_held(self, project: str) -> list[PrewarmedArtifact]:
        """Return the prewarmed images of the project's repositories that were listed."""
        return [
            each
            for repository, held in self._held.items()
            if repository.project == project
            for each in held.values()
        ]

    def start(self, request: PrewarmRequest) -> bool:
        """
        Prewarm an image, or renew it; False if the API does not serve it, or in a dry run.

        Raises:
            TransientError: Artifact Registry or Cloud Logging is unavailable.
            ConfigurationError: One of them refuses our identity.
        """
        try:
            self.rung.check(request)
            step = self.rung.start(request, make_prewarm(request, self.rung.retention_days))
        except (PrewarmUnavailableError, PrewarmRefusedError) as exc:
            self._note(request, exc)
            return False
        if step.result == "would_create":
            return False
        self._keep(request, "ACTIVE" if step.result == "prewarmed" else "CACHING")
        return True

    def remove(self, request: PrewarmRequest) -> None:
        """
        Remove a failed artifact, so that it does not count any more.

        Raises:
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        removal = RemovePrewarmed(request.version, request.location)
        try:
            self.rung.execute.perform((removal,))
        except PrewarmRefusedError as refusal:
            self._note(request, refusal)

    def _keep(self, request: PrewarmRequest, state: PrewarmState) -> None:
        """Keep the artifact of an image that was not held until it was started."""
        version, expires = request.version, request.now + self.rung.retention
        artifact = PrewarmedArtifact(
            version.digest, request.location, state, expires, image_bytes=request.image_bytes
        )
        held = self._held.setdefault(version.repository, {})
        held.setdefault((version.digest, request.location), artifact)

    def _list(self, request: PrewarmRequest) -> _Held:
        try:
            self.rung.check(request)
            artifacts = list(self.rung.api.list_artifacts(request.version.repository))
        except (PrewarmUnavailableError, PrewarmRefusedError) as exc:
            self._note(request, exc)
            return {}
        return {(each.digest, each.location): each for each in artifacts}

    def _note(
        self, request: PrewarmRequest, error: PrewarmUnavailableError | PrewarmRefusedError
    ) -> None:
        if isinstance(error, PrewarmRefusedError):
            error = self.rung.close(request, error)
        if error.is_news:
            self.passed.append(str(error))
