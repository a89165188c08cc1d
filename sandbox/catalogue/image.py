"""An image as bytes: its manifests, its configuration, and its layers by size."""

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

LAYER_BODY_LIMIT = 1024 * 1024
"""Bytes up to which a layer has a body; of a larger one only the digest and the size exist."""

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"

Flavour = Literal["docker", "oci", "schema-1"]

_LAYER_TYPES = {
    "docker": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "oci": "application/vnd.oci.image.layer.v1.tar+gzip",
}
_CONFIG_TYPES = {
    "docker": "application/vnd.docker.container.image.v1+json",
    "oci": "application/vnd.oci.image.config.v1+json",
}
_CREATED = "2024-05-17T09:31:04Z"


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer or a configuration."""

    digest: str
    size: int
    body: bytes | None
    """None for a layer above ``LAYER_BODY_LIMIT``."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, as it is served."""

    media_type: str
    body: bytes
    digest: str
    platform: str | None
    """``os/architecture``; None for an index."""
    image_bytes: int
    """Compressed size of the configuration and the layers; for an index, of all platforms."""
    layer_count: int
    """Layers of the image; 0 for an index."""

    @property
    def content(self) -> dict[str, Any]:
        """The manifest's JSON."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass(frozen=True, slots=True)
class Image:
    """
    An image, described by the properties that matter to a client.

    Equal descriptions have equal digests, in every registry.
    """

    layers: tuple[int, ...]
    """Compressed sizes in bytes, of each platform alike."""
    platforms: tuple[str, ...] = ("linux/amd64",)
    flavour: Flavour = "oci"
    index: bool | None = None
    """Whether the image has an index; None for an index only if there are several platforms."""
    attestations: bool = False
    """Whether the index lists an attestation (``unknown/unknown``) for each platform."""
    repeats_layer: bool = False
    """Whether the last layer is listed twice."""
    build: str = ""
    """Distinguishes images with equal layers."""

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """All manifests; a tag points at the first one."""
        return _assemble(self).manifests

    @property
    def blobs(self) -> Mapping[str, Blob]:
        """Layers and configurations, by digest."""
        return _assemble(self).blobs

    @property
    def digest(self) -> str:
        """The digest that a tag of this image resolves to."""
        return self.manifests[0].digest

    def manifest_for(self, platform: str) -> Manifest:
        """
        Return a platform's manifest.

        Raises:
            LookupError: The image does not exist for that platform.
        """
        for manifest in self.manifests:
            if manifest.platform == platform:
                return manifest
        raise LookupError(f"no manifest for platform {platform!r}")


@dataclass(frozen=True, slots=True)
class _Assembled:
    manifests: tuple[Manifest, ...]
    blobs: Mapping[str, Blob]


@functools.cache
def _assemble(image: Image) -> _Assembled:
    blobs: dict[str, Blob] = {}
    manifests = []
    for platform in image.platforms:
        layers = list(_layers(image, platform))
        blobs.update({layer.digest: layer for layer in layers})
        if image.flavour == "schema-1":
            manifests.append(_schema_1(platform, layers))
            continue
        config = _config(platform, layers)
        blobs[config.digest] = config
        manifests.append(_manifest(image.flavour, platform, config, layers))
    indexed = len(image.platforms) > 1 if image.index is None else image.index
    if indexed:
        attestations = [_attestation(m, blobs) for m in manifests] if image.attestations else []
        manifests = [_index(image.flavour, manifests, attestations), *manifests, *attestations]
    return _Assembled(tuple(manifests), blobs)


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _layers(image: Image, platform: str) -> Iterator[Blob]:
    sizes = image.layers + (image.layers[-1:] if image.repeats_layer else ())
    for place, size in enumerate(sizes):
        ordinal = min(place, len(image.layers) - 1)
        seed = f"{image.build}/{platform}/{ordinal}/{size}".encode()
        body = hashlib.shake_256(seed).digest(size) if size <= LAYER_BODY_LIMIT else None
        yield Blob(_digest(seed if body is None else body), size, body)


def _config(platform: str, layers: list[Blob]) -> Blob:
    system, architecture = platform.split("/")[:2]
    body = json.dumps(
        {
            "architecture": architecture,
            "os": system,
            "created": _CREATED,
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "WorkingDir": "/"},
            "rootfs": {
                "type": "layers",
                "diff_ids": [_digest(layer.digest.encode()) for layer in layers],
            },
            "history": [{"created": _CREATED, "created_by": "build"} for _ in layers],
        }
    ).encode()
    return Blob(_digest(body), len(body), body)


def _manifest(flavour: Flavour, platform: str, config: Blob, layers: list[Blob]) -> Manifest:
    media_type = DOCKER_MANIFEST if flavour == "docker" else OCI_MANIFEST
    body = _dump(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": _descriptor(_CONFIG_TYPES[flavour], config),
            "layers": [_descriptor(_LAYER_TYPES[flavour], layer) for layer in layers],
        }
    )
    size = config.size + sum(layer.size for layer in layers)
    return Manifest(media_type, body, _digest(body), platform, size, len(layers))


def _schema_1(platform: str, layers: list[Blob]) -> Manifest:
    body = _dump(
        {
            "schemaVersion": 1,
            "name": "image",
            "tag": "latest",
            "architecture": platform.split("/")[1],
            "fsLayers": [{"blobSum": layer.digest} for layer in reversed(layers)],
            "history": [{"v1Compatibility": json.dumps({"id": x.digest[7:]})} for x in layers],
        }
    )
    size = sum(layer.size for layer in layers)
    return Manifest(DOCKER_SCHEMA_1, body, _digest(body), platform, size, len(layers))


def _attestation(subject: Manifest, blobs: dict[str, Blob]) -> Manifest:
    """Make the provenance that BuildKit adds beside each platform, and that no node can run."""
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "for": subject.digest})
    layer = Blob(_digest(statement.encode()), len(statement), statement.encode())
    config = _config("unknown/unknown", [layer])
    blobs |= {layer.digest: layer, config.digest: config}
    body = _dump(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(_CONFIG_TYPES["oci"], config),
            "layers": [
                _descriptor("application/vnd.in-toto+json", layer)
                | {"annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}}
            ],
        }
    )
    size = config.size + layer.size
    return Manifest(OCI_MANIFEST, body, _digest(body), "unknown/unknown", size, 1)


def _index(flavour: Flavour, manifests: list[Manifest], attestations: list[Manifest]) -> Manifest:
    media_type = DOCKER_LIST if flavour == "docker" else OCI_INDEX
    entries = [_entry(manifest) for manifest in manifests]
    for subject, attestation in zip(manifests, attestations, strict=False):
        annotations = {
            "vnd.docker.reference.digest": subject.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        }
        entries.append(_entry(attestation) | {"annotations": annotations})
    body = _dump({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
    size = sum(manifest.image_bytes for manifest in manifests)
    return Manifest(media_type, body, _digest(body), None, size, 0)


def _entry(manifest: Manifest) -> dict[str, Any]:
    system, architecture = (manifest.platform or "unknown/unknown").split("/")[:2]
    platform = {"architecture": architecture, "os": system}
    if architecture == "arm64":
        platform["variant"] = "v8"
    return {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.body),
        "platform": platform,
    }


def _descriptor(media_type: str, blob: Blob) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def _dump(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode()
