"""
Prewarming: Artifact Registry itself puts an image into a region's streaming cache, without a node.

What it holds so lasts for a number of days. It caches one platform's manifest at a time, so a
version here is never an index. https://docs.cloud.google.com/artifact-registry/docs/prewarm-images
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Self
from urllib.parse import quote

from shared.domain.image_reference import Digest, ImageReference
from shared.domain.mirror import ArtifactPath, RepositoryName

PrewarmState = Literal["CACHING", "ACTIVE", "FAILED"]

RefusalKind = Literal["permission", "unavailable", "unsupported", "unknown", "full"]
"""
What a refusal means, and how far it reaches. Whatever it is, the next rung of the ladder serves.

===========  ====================================  =========================================
kind         what it says                          what it is about
===========  ====================================  =========================================
permission   our identity may not prewarm there    the repository: asked again after an hour
unavailable  there is no prewarming in the region  the region: asked again after an hour
full         the project's storage for it is full  the project: as above, for images as large
unsupported  this image cannot be prewarmed        the image
unknown      there is no such version (yet)        the image
===========  ====================================  =========================================
"""

_GCR_LOCATIONS: Final = {
    "gcr.io": "us",
    "us.gcr.io": "us",
    "eu.gcr.io": "europe",
    "asia.gcr.io": "asia",
}
"""
Where the repositories lie that serve gcr.io; each has the host's name.

https://docs.cloud.google.com/artifact-registry/docs/transition/setup-gcr-repo
"""

_HINTS: Final[dict[RefusalKind, str]] = {
    "permission": "Grant Prestream's service accounts artifactregistry.repositories.prewarmArtifact"
    " and .checkPrewarmedArtifact on the repository, or take prewarm-api out of `ladder`.",
    "unavailable": "Take prewarm-api out of `ladder` until the region has it, or put a rung with"
    " nodes beside it.",
    "full": "Let less be prewarmed (`include`, `exclude`, a shorter `prewarm_days`), or put a rung"
    " with nodes beside prewarm-api.",
    "unsupported": "Put a rung with nodes beside prewarm-api in `ladder`: a node can pull what"
    " cannot be prewarmed.",
    "unknown": "Put a rung with nodes beside prewarm-api in `ladder`: once a node has pulled the"
    " image, Artifact Registry knows it.",
}

_MAX_DELAY: Final = timedelta(hours=1)
"""So much later than it was asked for, a thing may have been done."""

_NO_PLACE = re.compile(r"\b(?:location|region)s?\b|stream_?location", re.IGNORECASE)
"""How a refusal says that it is about where, and not about what."""

_TOO_FAST = re.compile(r"per (?:second|minute|hour|day)\b", re.IGNORECASE)
"""How a quota on requests names itself; the one on storage has no time in it."""


class PrewarmRefusedError(Exception):
    """Artifact Registry does not prewarm an image; the ladder goes on."""

    def __init__(self, kind: RefusalKind, message: str) -> None:
        super().__init__(message)
        self.kind: RefusalKind = kind

    @property
    def hint(self) -> str:
        """What a person can do about it, in one sentence."""
        return _HINTS[self.kind]


def judge_refusal(status: int, message: str) -> RefusalKind | None:
    """
    Tell what a refusal means; None where it passes by itself, as a quota on requests does.

    Args:
        status: HTTP status; not 401, which says that we have no identity at all.
        message: What the answer says about it.

    >>> judge_refusal(429, "limit 'Requests per minute per region' of service")
    >>> judge_refusal(429, "prewarm storage of 100 GB is exceeded")
    'full'
    """
    if status == 429:  # noqa: PLR2004
        return None if _TOO_FAST.search(message) else "full"
    if status == 404:  # noqa: PLR2004
        return "unknown"
    if status in {405, 501} or (status in {400, 403} and _NO_PLACE.search(message)):
        return "unavailable"
    return "permission" if status == 403 else "unsupported"  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class ArtifactVersion:
    """One platform's manifest, under the name that Artifact Registry's API has for it."""

    repository: RepositoryName
    package: str
    """The path within the repository."""
    digest: Digest
    platform: str
    """``os/architecture``, perhaps with a variant."""

    @classmethod
    def of(cls, image: ImageReference, digest: Digest, platform: str) -> Self | None:
        """Return what an image is there; None for one that lies somewhere else."""
        host = image.registry.lower()
        found = ArtifactPath.split(host, image.repository)
        if found is None and host in _GCR_LOCATIONS:
            # The registry is the repository here: read it as if the path named it.
            project, _, rest = _split_project(image.repository)
            location = _GCR_LOCATIONS[host]
            found = ArtifactPath(RepositoryName(project, location, host), rest)
        if found is None or not found.path:
            return None
        return cls(found.repository, found.path, digest, platform)

    def __str__(self) -> str:
        return f"{self.repository}/packages/{quote(self.package, safe='')}/versions/{self.digest}"


@dataclass(frozen=True, slots=True)
class PrewarmedArtifact:
    """What Artifact Registry says of a version that it was asked to prewarm."""

    digest: Digest
    """Of one platform's manifest."""
    location: str
    """The region whose cache has it, or gets it."""
    state: PrewarmState
    expires: datetime
    created: datetime | None = None
    """When it was prewarmed first."""
    image_bytes: int = 0
    """Compressed; it counts against the project's storage."""
    uri: str = ""
    error: str = ""
    """Why it could not be cached."""

    def expires_soon(self, now: datetime, retention: timedelta) -> bool:
        """Whether less than a third of what it is kept for is left."""
        return self.expires - now < retention / 3

    def began(self, now: datetime, retention: timedelta) -> datetime:
        """
        Return when it was asked for, or last renewed; the same however often it is looked at.

        The API says only until when it lasts. Where that cannot be, since it was asked for with
        another retention, the first time is meant.
        """
        began = self.expires - retention
        if self.created is not None and not self.created <= began <= now + _MAX_DELAY:
            return self.created
        return began


def _split_project(path: str) -> tuple[str, str, str]:
    """Split a path on gcr.io after its project, which has a slash where it is domain-scoped."""
    head, slash, rest = path.partition("/")
    if "." not in head:
        return head, slash, rest
    name, slash, rest = rest.partition("/")
    return f"{head}:{name}", slash, rest
