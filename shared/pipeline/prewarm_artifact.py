"""
The rung ``prewarm-api``: Artifact Registry fills the region's streaming cache without a node.

A request only starts this. A later delivery or sweep sees that the image is cached and writes the
fact. If the API does not serve an image, the next rung does; the log line of the delivery has the
reason, once per hour for a reason that affects a whole repository, region or project.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from shared.domain.action import Prewarm, WriteFact
from shared.domain.ladder import PrewarmUnavailableError
from shared.domain.prewarm import PrewarmedArtifact, PrewarmRefusedError, RefusalKind
from shared.pipeline.execute import Executor
from shared.pipeline.plan_prewarm import (
    PrewarmLookup,
    PrewarmRequest,
    plan_prewarm,
    plan_prewarmed,
)

if TYPE_CHECKING:
    from shared.pipeline.ports import PrewarmReader

_PAUSE = timedelta(hours=1)
"""How long an instance does not repeat a request whose refusal affects more than one image."""

_SHARED: Final[tuple[RefusalKind, ...]] = ("permission", "unavailable", "full")
"""Refusals that affect more than one image."""


@dataclass(frozen=True, slots=True)
class PrewarmStep:
    """The progress of prewarming an image."""

    result: Literal["prewarming", "prewarmed", "would_create"]
    artifact: str


@dataclass(frozen=True, slots=True)
class _Closure:
    """A refusal that stays valid for other images and for some time."""

    until: datetime
    reason: str
    hint: str
    min_bytes: int = 0
    """Smaller images may still fit."""


@dataclass(slots=True)
class PrewarmRung:
    """The prewarm API, with what this instance remembers of its answers."""

    api: "PrewarmReader"
    execute: Executor
    retention_days: int
    _closures: dict[tuple[RefusalKind, str], _Closure] = field(default_factory=dict)
    _written: set[str] = field(default_factory=set)
    """Insert IDs of the facts that this instance has written."""

    @property
    def retention(self) -> timedelta:
        """How long an image is prewarmed."""
        return timedelta(days=self.retention_days)

    def serve(self, request: PrewarmRequest, was_pulled: Callable[[], bool]) -> PrewarmStep:
        """
        Prewarm an image, or write the fact that it is prewarmed.

        Args:
            request: The image and the region.
            was_pulled: Whether a node pulled the image before; only called for a mirrored one.

        Raises:
            PrewarmUnavailableError: The API does not serve the image.
            TransientError: The API or Cloud Logging is unavailable.
            ConfigurationError: One of them refuses our identity.
        """
        self.check(request)
        try:
            lookup = look_up_prewarmed(self.api, request, was_pulled)
            actions = plan_prewarm(request, lookup, self.retention_days)
            for action in actions:
                if isinstance(action, Prewarm):
                    return self.start(request, action)
                if isinstance(action, WriteFact):
                    self.write((action,))
                else:
                    self.execute.perform((action,))
        except PrewarmRefusedError as refusal:
            raise self.close(request, refusal) from refusal
        return _step(request, lookup.found)

    def start(self, request: PrewarmRequest, action: Prewarm) -> PrewarmStep:
        """
        Start to cache an image, or keep it cached; the API may answer that it is cached already.

        Raises:
            PrewarmRefusedError: The API does not serve the image.
            PrewarmUnavailableError: It could not cache the image.
            TransientError: The API or Cloud Logging is unavailable.
            ConfigurationError: One of them refuses our identity.
        """
        was_made, artifact = self.execute.prewarm(action)
        if not was_made:
            return PrewarmStep("would_create", f"prewarmed {request.name}")
        if artifact is not None:
            self.write(plan_prewarmed(request, artifact, self.retention_days))
        return _step(request, artifact)

    def write(self, actions: Iterable[WriteFact]) -> None:
        """
        Write the facts of prewarmed images, each once per instance.

        Raises:
            TransientError: Cloud Logging is unavailable.
            ConfigurationError: It refuses our identity.
        """
        for action in actions:
            if action.fact.insert_id not in self._written:
                self.execute.perform((action,))
                self._written.add(action.fact.insert_id)

    def check(self, request: PrewarmRequest) -> None:
        """
        Check that no earlier refusal covers the request.

        Raises:
            PrewarmUnavailableError: One does, and was logged then.
        """
        for kind in _SHARED:
            closure = self._closures.get((kind, _scope(kind, request)))
            if closure is None or request.image_bytes < closure.min_bytes:
                continue
            if request.now < closure.until:
                raise PrewarmUnavailableError(closure.reason, hint=closure.hint)

    def close(
        self, request: PrewarmRequest, refusal: PrewarmRefusedError
    ) -> PrewarmUnavailableError:
        """Return the error for a refusal, and remember one that affects more than one image."""
        kind = refusal.kind
        if kind == "unknown" and request.is_mirrored:
            # The image was pulled and has been cleaned up since: as if it had not been pulled.
            return PrewarmUnavailableError(str(refusal))
        if kind in _SHARED:
            self._closures[kind, _scope(kind, request)] = _Closure(
                until=request.now + _PAUSE,
                reason=str(refusal),
                hint=refusal.hint,
                min_bytes=request.image_bytes if kind == "full" else 0,
            )
        return PrewarmUnavailableError(str(refusal), hint=refusal.hint, is_news=True)


def _step(request: PrewarmRequest, artifact: PrewarmedArtifact | None) -> PrewarmStep:
    is_cached = artifact is not None and artifact.state == "ACTIVE"
    return PrewarmStep("prewarmed" if is_cached else "prewarming", request.name)


def look_up_prewarmed(
    api: "PrewarmReader", request: PrewarmRequest, was_pulled: Callable[[], bool]
) -> PrewarmLookup:
    """
    Read the state of an image, with as few requests as the decision needs.

    Raises:
        PrewarmRefusedError: The API does not serve it.
        TransientError: The API is unavailable.
        ConfigurationError: It refuses our identity.
    """
    found = api.check(request.version, location=request.location)
    if found is not None:
        return PrewarmLookup(found)
    if request.is_mirrored and not was_pulled():
        return PrewarmLookup(None, was_pulled=False)
    # Other repositories of the project are unknown here; a sweep knows those in use.
    held = sum(each.image_bytes for each in api.list_artifacts(request.version.repository))
    return PrewarmLookup(None, held_bytes=held)


def _scope(kind: RefusalKind, request: PrewarmRequest) -> str:
    """Return the region, repository or project that a refusal affects."""
    if kind == "unavailable":
        return request.location
    repository = request.version.repository
    return str(repository) if kind == "permission" else repository.project
