"""
Image manifests and indexes, as a registry answers them.

https://github.com/opencontainers/image-spec/blob/main/manifest.md
https://github.com/opencontainers/image-spec/blob/main/image-index.md
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.domain.image_reference import Digest, InvalidReferenceError, parse_digest
from shared.domain.json_access import text_of
from shared.domain.rate_limit import Allowance

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_SCHEMA_1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)

ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))
"""What we ask a registry for: without the index types it would choose a platform for us."""

_MAX_BYTES = 2**63 - 1
"""Sizes are int64: https://github.com/opencontainers/image-spec/blob/main/descriptor.md"""

_MAX_NAME = 128
"""Characters of what a stranger wrote that a message may repeat."""


class InvalidManifestError(ValueError):
    """A registry answered something that is no manifest that can be streamed."""


class DamagedManifestError(InvalidManifestError):
    """
    What came is not what the registry holds: no JSON, or bytes that have another digest.

    A registry takes no such manifest, so something on the way has cut it, or answered instead.
    """


class RegistryRefusalError(Exception):
    """
    A registry answered a request for a manifest with a refusal; whose fault, is to be told.

    Attributes:
        status: HTTP status.
        code: The registry API's error code; empty where the answer has none.
        retry_at: When trying again can help, where the answer says so.
        by_upstream: Whether the status is the upstream's, which the mirror only passes on.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_at: datetime | None = None,
        by_upstream: bool = False,
    ) -> None:
        super().__init__(f"{status} {code}: {message}".strip())
        self.by_upstream = by_upstream
        self.status = status
        self.code = code
        self.message = message
        self.retry_at = retry_at


@dataclass(frozen=True, slots=True)
class PlatformManifest:
    """An entry of an index."""

    platform: str
    """``os/architecture`` or ``os/architecture/variant``; empty where the index names none."""
    digest: Digest


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index: ``platforms`` is empty for the former, ``layers`` for the latter."""

    digest: Digest
    """By which the registry knows it, whatever it was asked for."""
    platforms: tuple[PlatformManifest, ...] = ()
    layers: tuple[int, ...] = ()
    """Compressed sizes in bytes."""
    config_bytes: int = 0
    layer_digests: tuple[str, ...] = field(default=(), compare=False)
    """As they are written, in the order of ``layers``; empty for one that has none."""
    config_digest: str = field(default="", compare=False)
    allowance: Allowance | None = field(default=None, compare=False)
    """What the registry said beside it: how much more it gives; None if it said nothing."""

    @property
    def is_index(self) -> bool:
        """Whether it lists one manifest for each platform."""
        return bool(self.platforms)

    @property
    def image_bytes(self) -> int:
        """Compressed size of the image."""
        return sum(self.layers) + self.config_bytes

    def digest_for(self, platform: str) -> Digest | None:
        """
        Return the digest of a platform's manifest; None if the index has none.

        A variant that the caller does not name (``linux/arm64`` for ``linux/arm64/v8``) matches,
        but what is named exactly comes first. A single entry that names no platform is taken
        where none matches, as nodes do.
        """
        variants = [each for each in self.platforms if each.platform.startswith(f"{platform}/")]
        exact = [each for each in self.platforms if each.platform == platform]
        unnamed = [each for each in self.platforms if not each.platform]
        found = exact or variants or (unnamed if len(unnamed) == 1 else [])
        return found[0].digest if found else None

    def platform_digest(self, platform: str) -> Digest | None:
        """Return the digest of what a node of a platform runs: a single manifest is its own."""
        return self.digest_for(platform) if self.is_index else self.digest


def parse_manifest(body: bytes, media_type: str, digest: str | None) -> Manifest:
    """
    Parse a manifest or an index.

    Args:
        body: The bytes that the registry sent.
        media_type: The answer's content type, for bodies that do not name their own.
        digest: What they were asked for by, or else what the registry says that their digest is;
            None to compute it. The bytes must have it.

    Raises:
        DamagedManifestError: It is not what the digest names, or no JSON.
        InvalidManifestError: It is neither, or of schema 1.
    """
    try:
        known = _identify(body, digest)
        content = _decode(body)
        return _parse_content(content, media_type.partition(";")[0].strip(), known)
    except InvalidManifestError:
        raise
    except InvalidReferenceError as exc:
        raise InvalidManifestError(str(exc)) from exc
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as exc:
        raise InvalidManifestError(f"the manifest is malformed: {exc}") from exc


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as exc:
        raise DamagedManifestError(f"the manifest is no JSON: {exc}") from exc


def _identify(body: bytes, claimed: str | None) -> Digest:
    """Return the digest of a body; a digest that it does not have is not to be trusted."""
    digest = parse_digest(claimed) if claimed else None
    algorithm = digest.partition(":")[0] if digest else "sha256"
    actual = parse_digest(f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}")
    if digest not in {None, actual}:
        raise DamagedManifestError(f"its digest is {actual}, not {digest}")
    return actual


def _parse_content(content: Any, media_type: str, digest: Digest) -> Manifest:
    if not isinstance(content, dict):
        raise InvalidManifestError("the manifest is no JSON object")
    kind = str(content.get("mediaType") or media_type)[:_MAX_NAME]
    if kind in DOCKER_SCHEMA_1 or content.get("schemaVersion") == 1:
        raise InvalidManifestError("the manifest has schema version 1")
    if "manifests" in content and "layers" in content:
        # Two readers could see two images in it: CVE-2021-41190.
        raise InvalidManifestError("the manifest has both layers and manifests")
    if kind in {OCI_INDEX, DOCKER_LIST} or "manifests" in content:
        return Manifest(digest, platforms=_parse_platforms(content))
    if not isinstance(content.get("layers"), list):
        raise InvalidManifestError(f"the manifest has no layers: its type is {kind!r}")
    config = content.get("config") or {}
    manifest = Manifest(
        digest,
        layers=tuple(_size(layer) for layer in content["layers"]),
        config_bytes=_size(config),
        layer_digests=tuple(text_of(layer.get("digest")) or "" for layer in content["layers"]),
        config_digest=text_of(config.get("digest")) or "",
    )
    if manifest.image_bytes > _MAX_BYTES:
        raise InvalidManifestError(f"its layers have an impossible size: {manifest.image_bytes}")
    return manifest


def _parse_platforms(content: Mapping[str, Any]) -> tuple[PlatformManifest, ...]:
    """Return the platforms of an index; attestations, whose platform is unknown, are none."""
    entries = []
    for entry in content["manifests"]:
        platform = entry.get("platform") or {}
        parts = [platform.get(name) for name in ("os", "architecture", "variant")]
        name = "/".join(part for part in parts if part)
        if len(name) <= _MAX_NAME and not name.startswith("unknown"):
            entries.append(PlatformManifest(name, parse_digest(entry["digest"])))
    if not entries:
        raise InvalidManifestError("the index lists no platform")
    return tuple(entries)


def _size(descriptor: Mapping[str, Any]) -> int:
    size = descriptor.get("size", 0)
    if type(size) is not int or not 0 <= size <= _MAX_BYTES:
        raise InvalidManifestError(f"a descriptor has an invalid size: {str(size)[:_MAX_NAME]}")
    return size
