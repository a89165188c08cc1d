"""
What is prewarmed where not everything fits: a plan for one project.

What is in use and held stays, whatever else is wanted: renewing it takes no room. What room is
left goes to what most workloads use; of two that are used as much, to the one that starts sooner,
and then to the smaller one. What does not fit leaves its room to what comes after it. Nothing is
ever removed to make room but what failed, and holds nothing; what is no longer used lapses.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.domain.image_reference import Digest
from shared.domain.prewarm import PrewarmedArtifact

LIMIT_BYTES: Final = 100_000_000_000
"""
Compressed bytes that a project may have prewarmed, in all regions and repositories together.

Above it Artifact Registry makes room by itself, the oldest first, which may be what is in use:
so it must never be reached. https://docs.cloud.google.com/artifact-registry/docs/prewarm-images
"""

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that is in use in a region, by one platform's manifest."""

    digest: Digest
    location: str
    image_bytes: int
    """Compressed."""
    workloads: int = 1
    """How many use it."""
    next_start: datetime | None = None
    """When one of them starts by the clock; None where none does."""

    @property
    def key(self) -> tuple[Digest, str]:
        """What tells it from others: the cache is the region's."""
        return self.digest, self.location

    @property
    def rank(self) -> tuple[int, datetime, int, str, str]:
        """Its place among others: the first comes first."""
        start = self.next_start or _NEVER
        return (-self.workloads, start, self.image_bytes, self.digest, self.location)


@dataclass(frozen=True, slots=True)
class PrewarmPlan:
    """What to do about each that is wanted; what is in none of these is held, and lasts."""

    renewed: tuple[Wanted, ...] = ()
    """Held, and expiring soon."""
    added: tuple[Wanted, ...] = ()
    left_out: tuple[Wanted, ...] = ()
    """There is no room for them."""
    failed: tuple[Wanted, ...] = ()
    """They could not be cached; that is remembered until it expires."""


def plan_prewarming(
    wanted: Iterable[Wanted],
    held: Iterable[PrewarmedArtifact],
    *,
    now: datetime,
    retention: timedelta,
    limit_bytes: int = LIMIT_BYTES,
) -> PrewarmPlan:
    """
    Plan what a project's storage for prewarming is used for.

    Args:
        wanted: What is in use.
        held: Everything that is prewarmed, in use or not: it takes room until it lapses.
        now: By which clock it expires.
        retention: For how long a thing is prewarmed.
        limit_bytes: What the project may have prewarmed.
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
