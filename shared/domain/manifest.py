"""
Image manifests and indexes from a registry.

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
"""The accepted media types; without the index types, a registry would choose a platform."""

_MAX_BYTES = 2**63 - 1
"""Sizes are int64: https://github.com/opencontainers/image-spec/blob/main/descriptor.md"""

_MAX_NAME = 128
"""The number of characters of an untrusted text that a message may repeat."""


class InvalidManifestError(ValueError):
    """The answer of a registry is not a manifest that can be streamed."""


class DamagedManifestError(InvalidManifestError):
    """
    The answer is not the stored manifest: its bytes have another digest.

    Without a digest, an answer that is not JSON counts too. A registry does not send such an
    answer, so a proxy has cut or replaced it.
    """


class RegistryRefusalError(Exception):
    """
    A registry refused a request for a manifest; the caller decides who is at fault.

    Attributes:
        status: HTTP status.
        code: The registry API's error code; empty if the answer has none.
        retry_at: The earliest time for a retry, if the answer contains one.
        by_upstream: Whether the mirror passes on a status of its upstream.
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
    """``os/architecture`` or ``os/architecture/variant``; empty if the index names none."""
    digest: Digest


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index: ``platforms`` is empty for the former, ``layers`` for the latter."""

    digest: Digest
    """The digest in the registry, also for a request by tag."""
    platforms: tuple[PlatformManifest, ...] = ()
    layers: tuple[int, ...] = ()
    """Compressed sizes in bytes."""
    config_bytes: int = 0
    layer_digests: tuple[str, ...] = field(default=(), compare=False)
    """The digests as written, in the order of ``layers``; empty for a layer without one."""
    config_digest: str = field(default="", compare=False)
    allowance: Allowance | None = field(default=None, compare=False)
    """The rate limit in the headers of the answer; ``None`` if they do not contain one."""

    @property
    def is_index(self) -> bool:
        """Whether it is an index, which lists one manifest for each platform."""
        return bool(self.platforms)

    @property
    def image_bytes(self) -> int:
        """Compressed size of the image."""
        return sum(self.layers) + self.config_bytes

    def digest_for(self, platform: str) -> Digest | None:
        """
        Return the digest of a platform's manifest; ``None`` if the index lacks it.

        ``linux/arm64`` matches ``linux/arm64/v8``, but an exact match is preferred. If nothing
        matches, a single entry without a platform is used, as nodes do.
        """
        variants = [each for each in self.platforms if each.platform.startswith(f"{platform}/")]
        exact = [each for each in self.platforms if each.platform == platform]
        unnamed = [each for each in self.platforms if not each.platform]
        found = exact or variants or (unnamed if len(unnamed) == 1 else [])
        return found[0].digest if found else None

    def platform_digest(self, platform: str) -> Digest | None:
        """Return the digest that a node of a platform runs; a single manifest has only its own."""
        return self.digest_for(platform) if self.is_index else self.digest


def parse_manifest(body: bytes, media_type: str, digest: str | None) -> Manifest:
    """
    Parse a manifest or an index.

    Args:
        body: The bytes that the registry sent.
        media_type: The answer's content type, for bodies that do not name their own.
        digest: The digest of the request, or else of the registry's header; the bytes must have
            it. ``None`` to compute it.

    Raises:
        DamagedManifestError: The body does not have the digest; or it has no digest to compare,
            and is not JSON.
        InvalidManifestError: The body cannot be read, is neither a manifest nor an index, or has
            schema 1.
    """
    try:
        known = _identify(body, digest)
        content = _decode(body, is_intact=bool(digest))
        return _parse_content(content, media_type.partition(";")[0].strip(), known)
    except InvalidManifestError:
        raise
    except InvalidReferenceError as exc:
        raise InvalidManifestError(str(exc)) from exc
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as exc:
        raise InvalidManifestError(f"the manifest is malformed: {exc}") from exc


def _decode(body: bytes, *, is_intact: bool) -> Any:
    """Return the content of a body; a body that has its digest was pushed as it is."""
    try:
        return json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        kind = InvalidManifestError if is_intact else DamagedManifestError
        raise kind(f"the manifest is not JSON: {exc}") from exc


def _identify(body: bytes, claimed: str | None) -> Digest:
    """Return the digest of a body; raise an error if the expected digest differs."""
    digest = parse_digest(claimed) if claimed else None
    algorithm = digest.partition(":")[0] if digest else "sha256"
    actual = parse_digest(f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}")
    if digest not in {None, actual}:
        raise DamagedManifestError(f"its digest is {actual}, not {digest}")
    return actual


def _parse_content(content: Any, media_type: str, digest: Digest) -> Manifest:
    if not isinstance(content, dict):
        raise InvalidManifestError("the manifest is not a JSON object")
    kind = str(content.get("mediaType") or media_type)[:_MAX_NAME]
    if kind in DOCKER_SCHEMA_1 or content.get("schemaVersion") == 1:
        raise InvalidManifestError("the manifest has schema version 1")
    if "manifests" in content and "layers" in content:
        # Two readers could find two different images in it: CVE-2021-41190.
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
    """Return the platforms of an index, without attestations, whose platform is unknown."""
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
