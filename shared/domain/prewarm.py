"""
Prewarming: Artifact Registry loads an image into a region's streaming cache, without a node.

A prewarmed image expires after some days. The API caches the manifest of one platform, so a version
is never an index. https://docs.cloud.google.com/artifact-registry/docs/prewarm-images
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Self
from urllib.parse import quote

from shared.domain.image_reference import Digest, ImageReference
from shared.domain.mirror import GCR_LOCATIONS, ArtifactPath, RepositoryName

PrewarmState = Literal["CACHING", "ACTIVE", "FAILED"]

RefusalKind = Literal["permission", "unavailable", "unsupported", "unknown", "full"]
"""
The kinds of refusals, with their scope. After any refusal the next rung of the ladder is tried.

===========  ====================================  =========================================
kind         meaning                               scope
===========  ====================================  =========================================
permission   our identity may not prewarm there    the repository: retried after an hour
unavailable  the region lacks prewarming           the region: retried after an hour
full         the project's storage for it is full  the project: as above, for images as large
unsupported  this image cannot be prewarmed        the image
unknown      the version does not exist (yet)      the image
===========  ====================================  =========================================
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
"""The tolerated delay between a request and its execution."""

_NO_PLACE = re.compile(r"\b(?:location|region)s?\b|stream_?location", re.IGNORECASE)
"""The text of a refusal that concerns the region and not the image."""

_TOO_FAST = re.compile(r"per (?:second|minute|hour|day)\b", re.IGNORECASE)
"""The text of a quota on requests; a quota on storage does not mention time."""


class PrewarmRefusedError(Exception):
    """Artifact Registry refuses to prewarm an image; the next rung is tried."""

    def __init__(self, kind: RefusalKind, message: str) -> None:
        super().__init__(message)
        self.kind: RefusalKind = kind

    @property
    def hint(self) -> str:
        """The remedy, in one sentence."""
        return _HINTS[self.kind]


def judge_refusal(status: int, message: str) -> RefusalKind | None:
    """
    Classify a refusal; ``None`` if it is temporary, like a quota on requests.

    Args:
        status: HTTP status; never 401, which means that the credentials are missing.
        message: The message of the answer.

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
    """The manifest of one platform, with its name in Artifact Registry's API."""

    repository: RepositoryName
    package: str
    """The path within the repository."""
    digest: Digest
    platform: str
    """``os/architecture``, optionally with a variant."""

    @classmethod
    def of(cls, image: ImageReference, digest: Digest, platform: str) -> Self | None:
        """Return the version of an image; ``None`` for an image in another registry."""
        host = image.registry.lower()
        found = ArtifactPath.split(host, image.repository)
        if found is None and host in GCR_LOCATIONS:
            # On gcr.io the host is the repository: treat it as part of the path.
            project, _, rest = _split_project(image.repository)
            location = GCR_LOCATIONS[host]
            found = ArtifactPath(RepositoryName(project, location, host), rest)
        if found is None or not found.path:
            return None
        return cls(found.repository, found.path, digest, platform)

    def __str__(self) -> str:
        return f"{self.repository}/packages/{quote(self.package, safe='')}/versions/{self.digest}"


@dataclass(frozen=True, slots=True)
class PrewarmedArtifact:
    """The state of a prewarmed version in Artifact Registry."""

    digest: Digest
    """The digest of one platform's manifest."""
    location: str
    """The region of the cache."""
    state: PrewarmState
    expires: datetime
    created: datetime | None = None
    """The time of the first prewarming."""
    image_bytes: int = 0
    """The compressed size, which counts against the project's storage."""
    uri: str = ""
    error: str = ""
    """The reason of a failure."""

    def expires_soon(self, now: datetime, retention: timedelta) -> bool:
        """Whether less than a third of its retention is left."""
        return self.expires - now < retention / 3

    def began(self, now: datetime, retention: timedelta) -> datetime:
        """
        Return the time of the request or of the last renewal; repeated reads agree on it.

        The API returns only the expiry. If the expiry does not match the retention, because the
        retention was changed, the time of the first prewarming is returned.
        """
        began = self.expires - retention
        if self.created is not None and not self.created <= began <= now + _MAX_DELAY:
            return self.created
        return began


def _split_project(path: str) -> tuple[str, str, str]:
    """Split a path on gcr.io after its project, which contains a slash if it is domain-scoped."""
    head, slash, rest = path.partition("/")
    if "." not in head:
        return head, slash, rest
    name, slash, rest = rest.partition("/")
    return f"{head}:{name}", slash, rest
