"""
The rung ``prewarm-api``: let Artifact Registry fill the region's streaming cache, without a node.

Nothing here waits. Who comes first asks, and the answer is that it is under way; who comes later,
another delivery or a sweep, sees that it is done and writes the fact. What the API does not do is
left to the next rung. The delivery's line says so, once for what concerns a repository or a region
(and again an hour later), and not with each image; no fact does, as the image is warmed all the
same, and the fact of that names the rung that did it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from shared.domain.cluster import ClusterName
from shared.domain.fact import PREWARMED, Fact, Subject, WarmupFinished
from shared.domain.image_reference import Digest
from shared.domain.ladder import PREWARM_RUNG, RungUnavailableError
from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
    PrewarmRefusedError,
    RefusalKind,
)
from shared.domain.prewarm_plan import LIMIT_BYTES
from shared.domain.streaming_verdict import Evidence
from shared.domain.timestamp import format_time
from shared.pipeline.order import Order
from shared.settings.keys import Settings

_PAUSE = timedelta(hours=1)
"""How long what is refused for more than one image is not asked for again by this instance."""

_SHARED: Final[tuple[RefusalKind, ...]] = ("permission", "unavailable", "full")
"""Refusals that more than one image meets."""

_TOLD_WITHIN = timedelta(days=1)
"""
How long after it was asked for a thing that is prewarmed still gets its fact.

Whoever looks at it within that time may be the first, so all of them write it: it is the same fact.
Later it would only be written again and again.
"""


class PrewarmApi(Protocol):
    """Artifact Registry's API of prewarmed artifacts, as far as these workflows need it."""

    def prewarm(  # noqa: D102
        self, version: ArtifactVersion, *, location: str, retention_days: int
    ) -> PrewarmedArtifact | None: ...
    def check(self, version: ArtifactVersion, *, location: str) -> PrewarmedArtifact | None: ...  # noqa: D102
    def list_artifacts(self, repository: RepositoryName) -> Iterable[PrewarmedArtifact]: ...  # noqa: D102
    def remove(self, version: ArtifactVersion, *, location: str) -> None: ...  # noqa: D102


class PassedOverError(RungUnavailableError):
    """
    The API does not serve; the next rung of the ladder may.

    Attributes:
        hint: What a person can do about it; None where nothing is wrong.
        is_news: Whether the delivery's line has to say so.
    """

    def __init__(self, reason: str, *, hint: str | None = None, is_news: bool = False) -> None:
        super().__init__(reason)
        self.hint = hint
        self.is_news = is_news


@dataclass(frozen=True, slots=True, kw_only=True)
class PrewarmOrder:
    """One platform of an image that shall be in a region's cache."""

    subject: Subject
    """Of the fact that it is."""
    version: ArtifactVersion
    location: str
    """The cluster's region: a multi-region has no streaming cache."""
    now: datetime
    """When it was asked for, by the clock of the message."""
    image_bytes: int
    """Compressed."""
    is_mirrored: bool = False
    """Whether Artifact Registry has it only once a node has pulled it through."""
    force: bool = False

    @property
    def name(self) -> str:
        """How lines name it."""
        return f"{self.version.package}@{self.version.digest} in {self.location}"


def make_prewarm_order(
    order: Order, digest: Digest, platform: str, cluster: ClusterName, image_bytes: int
) -> PrewarmOrder | None:
    """
    Return the order for one platform of an image; None for what Artifact Registry does not have.

    Args:
        order: The image.
        digest: Of the platform's manifest.
        platform: ``os/architecture``.
        cluster: Where it shall be warm.
        image_bytes: Compressed; 0 where nothing will be asked for.
    """
    version = ArtifactVersion.of(order.source.mirror, digest, platform)
    if version is None:
        return None
    return PrewarmOrder(
        subject=Subject(
            image=order.request.image,
            mirror=str(order.pulled),
            digest=order.manifest.digest,
            cluster=str(cluster),
            cause=order.request.cause,
        ),
        version=version,
        location=cluster.region,
        now=order.publish_time,
        image_bytes=image_bytes,
        is_mirrored=order.source.repository is not None,
        force=order.request.force,
    )


@dataclass(frozen=True, slots=True)
class PrewarmStep:
    """How far prewarming is."""

    result: Literal["prewarming", "prewarmed", "would_create"]
    artifact: str


@dataclass(frozen=True, slots=True)
class _Closure:
    """Why the API is not asked for a while."""

    until: datetime
    reason: str
    hint: str
    min_bytes: int = 0
    """Smaller images may fit all the same."""


class Prewarming:
    """Prewarms images, one at a time; asking twice is asking once."""

    def __init__(
        self, settings: Settings, *, api: PrewarmApi, write: Callable[[Fact], object]
    ) -> None:
        self.api = api
        self.retention = timedelta(days=settings.prewarm_days)
        self._settings = settings
        self._write = write
        self._closures: dict[tuple[RefusalKind, str], _Closure] = {}
        self._told: set[str] = set()

    def serve(self, order: PrewarmOrder, was_pulled: Callable[[], bool]) -> PrewarmStep:
        """
        Ask for an image to be prewarmed, or take note that it is.

        Args:
            order: What shall be prewarmed, and where.
            was_pulled: Tells whether a node pulled the image before; asked of a mirrored one only.

        Raises:
            PassedOverError: The API does not serve.
            TransientError: It is unavailable, or a fact cannot be written.
            ConfigurationError: Our identity is refused altogether.
        """
        self.check_closures(order)
        try:
            found = self.api.check(order.version, location=order.location)
            if found is None:
                return self._begin(order, was_pulled)
            if order.force and found.state != "CACHING":
                return self._repeat(order, found)
            if found.state == "ACTIVE" and found.expires_soon(order.now, self.retention):
                return self.ask(order)
            return self.settle(order, found)
        except PrewarmRefusedError as refusal:
            raise self.pass_over(order, refusal) from refusal

    def ask(self, order: PrewarmOrder) -> PrewarmStep:
        """
        Ask the API, which begins to cache an image, or keeps one longer.

        Raises:
            PrewarmRefusedError: It does not do it.
            PassedOverError: It says at once that it failed.
            TransientError: It is unavailable, or a fact cannot be written.
            ConfigurationError: Our identity is refused altogether.
        """
        if self._settings.dry_run:
            return PrewarmStep("would_create", f"prewarmed {order.name}")
        days = self._settings.prewarm_days
        artifact = self.api.prewarm(order.version, location=order.location, retention_days=days)
        return (
            PrewarmStep("prewarming", order.name)
            if artifact is None
            else self.settle(order, artifact)
        )

    def settle(self, order: PrewarmOrder, artifact: PrewarmedArtifact) -> PrewarmStep:
        """
        Take note of how far an artifact is; of one that is cached the fact is written.

        Raises:
            PassedOverError: It could not be cached.
            TransientError: The fact cannot be written.
        """
        if artifact.state == "FAILED":
            reason = f"Artifact Registry could not cache {order.name}: {artifact.error}"
            hint = "Mend what the reason says, and publish a reference to the image with `force`."
            raise PassedOverError(reason, hint=hint, is_news=True)
        if artifact.state == "CACHING":
            return PrewarmStep("prewarming", order.name)
        self._tell(order, artifact)
        return PrewarmStep("prewarmed", order.name)

    def check_closures(self, order: PrewarmOrder) -> None:
        """
        Look whether the API was refused for more than one image, and not long ago.

        Raises:
            PassedOverError: It was, and that was said then.
        """
        for kind in _SHARED:
            closure = self._closures.get((kind, _scope(kind, order)))
            if closure is None or order.image_bytes < closure.min_bytes:
                continue
            if order.now < closure.until:
                raise PassedOverError(closure.reason, hint=closure.hint)

    def pass_over(self, order: PrewarmOrder, refusal: PrewarmRefusedError) -> PassedOverError:
        """Return the error for a refusal; of one that concerns more than an image take note."""
        kind = refusal.kind
        if kind == "unknown" and order.is_mirrored:
            # It was pulled long ago, and cleaned up since: as if it had not been.
            return PassedOverError(str(refusal))
        if kind in _SHARED:
            self._closures[kind, _scope(kind, order)] = _Closure(
                until=order.now + _PAUSE,
                reason=str(refusal),
                hint=refusal.hint,
                min_bytes=order.image_bytes if kind == "full" else 0,
            )
        return PassedOverError(str(refusal), hint=refusal.hint, is_news=True)

    def _begin(self, order: PrewarmOrder, was_pulled: Callable[[], bool]) -> PrewarmStep:
        if order.is_mirrored and not was_pulled():
            raise PassedOverError("a mirrored image is pulled by a node first")
        # The project's other repositories are not known here; a sweep knows those in use.
        held = sum(each.image_bytes for each in self.api.list_artifacts(order.version.repository))
        if held + order.image_bytes > LIMIT_BYTES:
            message = f"of {LIMIT_BYTES} bytes that may be prewarmed {held} are taken"
            raise PrewarmRefusedError("full", message)
        return self.ask(order)

    def _repeat(self, order: PrewarmOrder, found: PrewarmedArtifact) -> PrewarmStep:
        """Prewarm once more what somebody insists on."""
        if found.state == "FAILED" and not self._settings.dry_run:
            self.api.remove(order.version, location=order.location)
        return self.ask(order)

    def _tell(self, order: PrewarmOrder, artifact: PrewarmedArtifact) -> None:
        at = artifact.began(order.now, self.retention)
        if self._settings.dry_run or order.now - at > _TOLD_WITHIN:
            return
        until = format_time(artifact.expires)
        text = f"{artifact.uri} is ACTIVE in {artifact.location} until {until}"
        fact = WarmupFinished(
            subject=order.subject,
            outcome=PREWARMED,
            at=at,
            artifact=artifact,
            strategy=PREWARM_RUNG,
            image_bytes=artifact.image_bytes or order.image_bytes,
            evidence=(Evidence("prewarming", text),),
        ).as_fact()
        if fact.insert_id not in self._told:
            self._write(fact)
            self._told.add(fact.insert_id)


def _scope(kind: RefusalKind, order: PrewarmOrder) -> str:
    """Return what a refusal is about, beyond the image."""
    if kind == "unavailable":
        return order.location
    repository = order.version.repository
    return str(repository) if kind == "permission" else repository.project
