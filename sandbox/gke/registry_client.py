"""Requests of a node to registries, and the errors of containerd 2."""

import http
import json
from collections.abc import Mapping
from typing import Any

import urllib3

from sandbox.catalogue.upstream import Catalogue, UpstreamError
from sandbox.gke.node import ImageName, PulledImage

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
"""Real seconds; containerd itself has no timeout."""


class PullError(Exception):
    """A failed pull; its text is the error that the kubelet gets from containerd."""


def _failed(name: ImageName, problem: str, code: str = "") -> PullError:
    text = f'failed to pull and unpack image "{name}": {problem}'
    # Only errors with a gRPC code of their own have this prefix.
    return PullError(f"rpc error: code = {code} desc = {text}" if code else text)


def _unresolved(
    name: ImageName, status: int, url: str, body: Mapping[str, Any] | None
) -> PullError:
    """Return the error of a reference that the registry did not resolve to a digest."""
    if status == http.HTTPStatus.NOT_FOUND:
        return _failed(name, f"failed to resolve image: {name}: not found", "NotFound")
    problem = f"unexpected status from HEAD request to {url}: {_status_line(status)}"
    details = _details(body) if status == http.HTTPStatus.FORBIDDEN else ""
    return _failed(name, f"failed to resolve image: {problem}{details}")


def _unfetched(name: ImageName, status: int, url: str, body: Mapping[str, Any] | None) -> PullError:
    """Return the error of a manifest that was resolved and could not be fetched."""
    start = "failed to copy: httpReadSeeker: failed open: "
    if status == http.HTTPStatus.NOT_FOUND:
        return _failed(name, f"{start}content at {url} not found: not found", "NotFound")
    problem = f"unexpected status from GET request to {url}: {_status_line(status)}"
    return _failed(name, f"{start}{problem}{_details(body)}")


def _unreachable(name: ImageName, url: str, reason: str) -> PullError:
    """Return the error of a registry that does not answer."""
    return _failed(name, f'failed to resolve image: failed to do request: Head "{url}": {reason}')


def _details(body: Mapping[str, Any] | None) -> str:
    errors = (body or {}).get("errors") or []
    lines = (
        f"\n{each.get('code', 'unknown').lower()}: {each.get('message', '')}" for each in errors
    )
    return "".join(lines)


def _status_line(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} "


class RegistryClient:
    """A client of the socket of all Google registries; the Host header names the registry."""

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
        Return the image that a reference names, for one architecture.

        Raises:
            PullError: The registry does not return it.
        """
        head = self._request("HEAD", name, name.identifier)
        if head.status != http.HTTPStatus.OK:
            # An answer to HEAD has no body; containerd quotes that of the GET that it tries next.
            body = None
            if head.status == http.HTTPStatus.FORBIDDEN:
                body = _parse(self._request("GET", name, name.identifier).data)
            raise _unresolved(name, head.status, _url(name, name.identifier), body)
        digest = head.headers["Docker-Content-Digest"]
        manifest = self._fetch(name, digest)
        platform_digest = digest
        if "manifests" in manifest:
            platform_digest = _choose(manifest, digest, arch)
            manifest = self._fetch(name, platform_digest)
        return _describe(name, digest, platform_digest, manifest)

    def _fetch(self, name: ImageName, digest: str) -> dict[str, Any]:
        answer = self._request("GET", name, digest)
        if answer.status != http.HTTPStatus.OK:
            raise _unfetched(name, answer.status, _url(name, digest), _parse(answer.data))
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
            raise _unreachable(name, _url(name, identifier), "i/o timeout") from error
        except urllib3.exceptions.HTTPError as error:
            reason = "read: connection reset by peer"
            raise _unreachable(name, _url(name, identifier), reason) from error


def resolve_upstream(name: ImageName, catalogue: Catalogue, arch: str) -> PulledImage:
    """
    Return the image that a reference names upstream, for one architecture.

    Raises:
        PullError: The upstream does not return it.
    """
    try:
        manifest = catalogue.fetch(name.host, name.path, name.identifier)
        digest = manifest.digest
        if manifest.platform is None:
            platform_digest = _choose(manifest.content, digest, arch)
            manifest = catalogue.fetch(name.host, name.path, platform_digest)
    except UpstreamError as error:
        raise _unresolved(name, error.status, error.url, None) from error
    size, layers = manifest.image_bytes, manifest.layer_count
    return PulledImage(digest, manifest.digest, size, layers, can_stream=False)


def _url(name: ImageName, identifier: str) -> str:
    return f"https://{name.host}/v2/{name.path}/manifests/{identifier}"


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(data)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _choose(index: Mapping[str, Any], digest: str, arch: str) -> str:
    for entry in index["manifests"]:
        platform = entry.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == arch:
            chosen: str = entry["digest"]
            return chosen
    raise PullError(
        "rpc error: code = NotFound desc = get image config descriptor: no match for platform in "
        f"manifest {digest}: not found"
    )


def _describe(
    name: ImageName, digest: str, platform_digest: str, manifest: Mapping[str, Any]
) -> PulledImage:
    listed = manifest.get("layers")
    if listed is None:
        problem = (
            "failed to resolve image: not implemented: media type "
            '"application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported '
            "since containerd v2.0, please rebuild the image as "
            '"application/vnd.docker.distribution.manifest.v2+json" or '
            '"application/vnd.oci.image.manifest.v1+json"'
        )
        raise _failed(name, problem, "Unimplemented")
    size = sum(layer["size"] for layer in listed) + manifest["config"]["size"]
    digests = {layer["digest"] for layer in listed}
    can_stream = len(digests) == len(listed)
    return PulledImage(digest, platform_digest, size, len(listed), can_stream=can_stream)
