"""How a node asks a registry for an image, which is how containerd asks."""

import json
from collections.abc import Mapping
from typing import Any

import urllib3

from sandbox.gke.image_names import ImageName
from sandbox.gke.pull_errors import (
    make_unfetched,
    make_unreachable,
    make_unresolved,
    make_wrong_platform,
)
from sandbox.gke.pulled_images import PulledImage

_INDEXES = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_ACCEPTED = (
    "application/vnd.docker.distribution.manifest.v2+json",
    *_INDEXES[:1],
    "application/vnd.oci.image.manifest.v1+json",
    *_INDEXES[1:],
    "application/vnd.docker.distribution.manifest.v1+json",
    "*/*",
)
_TIMEOUT_S = 10.0
"""Real seconds; containerd itself waits without end."""
_OK = 200


class RegistryClient:
    """
    A client of the socket on which all of Google's registries are served.

    The registry that is meant stands in the Host header.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._pool = urllib3.HTTPConnectionPool(
            host, int(port), maxsize=8, timeout=_TIMEOUT_S, retries=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def resolve(self, name: ImageName, arch: str) -> PulledImage:
        """
        Return what a reference resolves to for a platform.

        Raises:
            PullError: The registry does not give it, in containerd's words.
        """
        head = self._request("HEAD", name, name.identifier)
        if head.status != _OK:
            raise make_unresolved(name, head.status, _url(name, name.identifier))
        digest = head.headers["Docker-Content-Digest"]
        manifest = self._fetch(name, digest)
        platform_digest = digest
        if "manifests" in manifest:
            platform_digest = _choose(name, manifest, arch)
            manifest = self._fetch(name, platform_digest)
        return _describe(digest, platform_digest, manifest)

    def _fetch(self, name: ImageName, digest: str) -> dict[str, Any]:
        answer = self._request("GET", name, digest)
        if answer.status != _OK:
            raise make_unfetched(name, answer.status, _url(name, digest), _parse(answer.data))
        return _parse(answer.data) or {}

    def _request(self, method: str, name: ImageName, identifier: str) -> urllib3.BaseHTTPResponse:
        headers = {
            "Host": name.host,
            "Accept": ", ".join(_ACCEPTED),
            "User-Agent": "containerd/2.1.4",
        }
        path = f"/v2/{name.path}/manifests/{identifier}"
        try:
            return self._pool.request(method, path, headers=headers)
        except urllib3.exceptions.TimeoutError as error:
            raise make_unreachable(name, _url(name, identifier), "i/o timeout") from error
        except urllib3.exceptions.HTTPError as error:
            raise make_unreachable(name, _url(name, identifier), "EOF") from error


def _url(name: ImageName, identifier: str) -> str:
    return f"https://{name.host}/v2/{name.path}/manifests/{identifier}"


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(data)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _choose(name: ImageName, index: Mapping[str, Any], arch: str) -> str:
    for entry in index["manifests"]:
        platform = entry.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == arch:
            digest: str = entry["digest"]
            return digest
    raise make_wrong_platform(name)


def _describe(digest: str, platform_digest: str, manifest: Mapping[str, Any]) -> PulledImage:
    listed = manifest.get("layers")
    if listed is None:
        layers = len(manifest.get("fsLayers") or [])
        return PulledImage(digest, platform_digest, 0, layers, can_stream=False, is_schema_1=True)
    size = sum(layer["size"] for layer in listed) + manifest["config"]["size"]
    digests = [layer["digest"] for layer in listed]
    return PulledImage(
        digest, platform_digest, size, len(digests), can_stream=len(set(digests)) == len(digests)
    )
