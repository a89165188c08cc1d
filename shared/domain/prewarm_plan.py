"""
Plan the prewarmed images of one project, whose storage may not hold all of them.

Prewarmed images that are in use are renewed first, because a renewal needs no storage. The free
storage goes to the images with the most workloads; among equals, to the one that starts sooner, and
then to the smaller one. An image that does not fit is skipped for the next one. Only failed
artifacts, which hold no data, are removed; unused images expire.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.domain.image_reference import Digest
from shared.domain.prewarm import PrewarmedArtifact

LIMIT_BYTES: Final = 100_000_000_000
"""
The limit of a project's prewarmed bytes, compressed, in all regions and repositories.

Above the limit Artifact Registry evicts the oldest images, which may be in use, so it must never be
reached. https://docs.cloud.google.com/artifact-registry/docs/prewarm-images
"""

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The manifest of one platform that is in use in a region."""

    digest: Digest
    location: str
    image_bytes: int
    """The compressed size."""
    workloads: int = 1
    """The number of workloads that use it."""
    next_start: datetime | None = None
    """The next scheduled start of a workload; ``None`` without one."""

    @property
    def key(self) -> tuple[Digest, str]:
        """Its identity: the version and the region, which has one cache."""
        return self.digest, self.location

    @property
    def rank(self) -> tuple[int, datetime, int, str, str]:
        """Its sort key; the smallest comes first."""
        start = self.next_start or _NEVER
        return (-self.workloads, start, self.image_bytes, self.digest, self.location)


@dataclass(frozen=True, slots=True)
class PrewarmPlan:
    """The actions for the wanted images; an image in none of the lists is held and stays."""

    renewed: tuple[Wanted, ...] = ()
    """Images that are held and expire soon."""
    added: tuple[Wanted, ...] = ()
    left_out: tuple[Wanted, ...] = ()
    """Images that do not fit."""
    failed: tuple[Wanted, ...] = ()
    """Images that could not be cached; the failure is kept until it expires."""


def plan_prewarming(
    wanted: Iterable[Wanted],
    held: Iterable[PrewarmedArtifact],
    *,
    now: datetime,
    retention: timedelta,
    limit_bytes: int = LIMIT_BYTES,
) -> PrewarmPlan:
    """
    Plan the use of a project's storage for prewarming.

    Args:
        wanted: The images in use.
        held: All prewarmed artifacts, which need storage until they expire, in use or not.
        now: The current time.
        retention: The time for which an image is prewarmed.
        limit_bytes: The limit of the project.
    """
    known = {(each.digest, each.location): each for each in held}
    room = limit_bytes - sum(each.image_bytes for each in known.values())
    renewed, added, left_out, failed = [], [], [], []
    for each in sorted({each.key: each for each in wanted}.values(), key=lambda each: each.rank):
        artifact = known.get(each.key)
        if artifact is None:
            if each.image_bytes <= room:
                room -= each.image_bytes
                added.append(each)
            else:
                left_out.append(each)
        elif artifact.state == "FAILED":
            failed.append(each)
        elif artifact.state == "ACTIVE" and artifact.expires_soon(now, retention):
            renewed.append(each)
    return PrewarmPlan(tuple(renewed), tuple(added), tuple(left_out), tuple(failed))
