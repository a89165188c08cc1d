"""Decide how Artifact Registry prewarms one image: pure functions from what was read to actions."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.action import Action, Prewarm, RemovePrewarmed, WriteFact
from shared.domain.cluster import ClusterName
from shared.domain.fact import PREWARMED, Subject, WarmupFinished
from shared.domain.image_reference import Digest
from shared.domain.ladder import PREWARM_RUNG, PrewarmUnavailableError
from shared.domain.prewarm import ArtifactVersion, PrewarmedArtifact, PrewarmRefusedError
from shared.domain.prewarm_plan import LIMIT_BYTES
from shared.domain.streaming_verdict import Evidence
from shared.domain.timestamp import format_time
from shared.pipeline.resolved_request import ResolvedRequest

_REPORTED_FOR = timedelta(days=1)
"""
The time after the request in which the fact of a prewarmed image is written.

Every delivery within that time may be the first to see the image cached, so each writes the same
fact.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrewarmRequest:
    """One platform of an image that is wanted in a region's streaming cache."""

    subject: Subject
    """The subject of its fact."""
    version: ArtifactVersion
    location: str
    """The region of the cluster: a multi-region has no streaming cache."""
    now: datetime
    """The publish time of the message."""
    image_bytes: int
    """Compressed."""
    is_mirrored: bool = False
    """Whether Artifact Registry has the image only once a node has pulled it."""
    force: bool = False

    @property
    def name(self) -> str:
        """The image in log lines."""
        return f"{self.version.package}@{self.version.digest} in {self.location}"


def make_prewarm_request(
    resolved: ResolvedRequest, digest: Digest, platform: str, cluster: ClusterName, image_bytes: int
) -> PrewarmRequest | None:
    """
    Return the request for one platform of an image; None if it is not in Artifact Registry.

    Args:
        resolved: The image.
        digest: The digest of the platform's manifest.
        platform: ``os/architecture``.
        cluster: The cluster whose region gets the image.
        image_bytes: Compressed; 0 if unknown, and only for a lookup.
    """
    version = ArtifactVersion.of(resolved.source.mirror, digest, platform)
    if version is None:
        return None
    return PrewarmRequest(
        subject=Subject(
            image=resolved.request.image,
            mirror=str(resolved.pulled),
            digest=resolved.manifest.digest,
            cluster=str(cluster),
            cause=resolved.request.cause,
        ),
        version=version,
        location=cluster.region,
        now=resolved.publish_time,
        image_bytes=image_bytes,
        is_mirrored=resolved.source.repository is not None,
        force=resolved.request.force,
    )


@dataclass(frozen=True, slots=True)
class PrewarmLookup:
    """What Artifact Registry knows about an image before it is asked to prewarm it."""

    found: PrewarmedArtifact | None
    was_pulled: bool = True
    """Whether a node pulled a mirrored image before; only read if nothing was found."""
    held_bytes: int = 0
    """The prewarmed bytes of the repository; only read if the image may be added."""


def plan_prewarm(
    request: PrewarmRequest, lookup: PrewarmLookup, retention_days: int
) -> tuple[Action, ...]:
    """
    Return the actions that prewarm an image; none while it is being cached.

    Raises:
        PrewarmUnavailableError: A node must pull the image first, or it could not be cached.
        PrewarmRefusedError: The project has no room for it.
    """
    found, prewarm = lookup.found, make_prewarm(request, retention_days)
    if found is None:
        if not lookup.was_pulled:
            raise PrewarmUnavailableError("a mirrored image is pulled by a node first")
        if lookup.held_bytes + request.image_bytes > LIMIT_BYTES:
            message = f"{lookup.held_bytes} of {LIMIT_BYTES} bytes for prewarmed images are taken"
            raise PrewarmRefusedError("full", message)
        return (prewarm,)
    if request.force and found.state == "FAILED":
        return (RemovePrewarmed(request.version, request.location), prewarm)
    is_active = found.state == "ACTIVE"
    if is_active and (
        request.force or found.expires_soon(request.now, timedelta(days=retention_days))
    ):
        return (prewarm,)
    return plan_prewarmed(request, found, retention_days)


def plan_prewarmed(
    request: PrewarmRequest, artifact: PrewarmedArtifact, retention_days: int
) -> tuple[WriteFact, ...]:
    """
    Return the fact of an image that is cached; nothing while it is being cached.

    Raises:
        PrewarmUnavailableError: It could not be cached.
    """
    if artifact.state == "FAILED":
        reason = f"Artifact Registry could not cache {request.name}: {artifact.error}"
        hint = "Fix the cause in the reason, and publish a reference to the image with `force`."
        raise PrewarmUnavailableError(reason, hint=hint, is_news=True)
    at = artifact.began(request.now, timedelta(days=retention_days))
    if artifact.state == "CACHING" or request.now - at > _REPORTED_FOR:
        return ()
    until = format_time(artifact.expires)
    text = f"{artifact.uri} is ACTIVE in {artifact.location} until {until}"
    fact = WarmupFinished(
        subject=request.subject,
        outcome=PREWARMED,
        at=at,
        artifact=artifact,
        strategy=PREWARM_RUNG,
        image_bytes=artifact.image_bytes or request.image_bytes,
        evidence=(Evidence("prewarming", text),),
    ).as_fact()
    return (WriteFact(fact, of_change=True),)


def make_prewarm(request: PrewarmRequest, retention_days: int) -> Prewarm:
    """Return the action that starts to cache an image, or keeps it cached for longer."""
    return Prewarm(request.version, request.location, retention_days)
