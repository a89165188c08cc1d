"""Requests of a node to registries, and the errors of containerd."""

import http
import json
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from sandbox.catalogue.upstream import Catalogue, UpstreamError
from sandbox.gke.node import ImageName, PulledImage


class PullError(Exception):
    """A pull that failed; its text is what the kubelet is told."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {description}")
        self.code = code


def make_unresolved(name: ImageName, status: int, url: str) -> PullError:
    """Return the error of a reference that the registry did not resolve to a digest."""
    start = f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
    if status == http.HTTPStatus.NOT_FOUND:
        return PullError("NotFound", f"{start}{name}: not found")
    if status == http.HTTPStatus.UNAUTHORIZED:
        return PullError(
            "Unknown",
            f"{start}pull access denied, repository does not exist or may require authorization: "
            "server message: insufficient_scope: authorization failed",
        )
    return PullError(
        "Unknown", f"{start}unexpected status from HEAD request to {url}: {_status_line(status)}"
    )


def make_unfetched(
    name: ImageName, status: int, url: str, body: Mapping[str, Any] | None
) -> PullError:
    """Return the error of a manifest that was resolved but could not be fetched."""
    start = f'failed to pull and unpack image "{name}": failed to copy: httpReadSeeker: '
    if status == http.HTTPStatus.NOT_FOUND:
        return PullError(
            "NotFound",
            f"{start}failed open: content at {url} not found: not found",
        )
    errors = (body or {}).get("errors") or []
    said = "".join(
        f" - Server message: {error.get('code', 'unknown').lower()}: {error.get('message', '')}"
        for error in errors[:1]
    )
    return PullError(
        "Unknown",
        f"{start}failed open: unexpected status code {url}: {_status_line(status)}{said}",
    )


def make_unreachable(name: ImageName, url: str, reason: str) -> PullError:
    """Return the error of a registry that does not answer."""
    return PullError(
        "Unknown",
        f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
        f'failed to do request: Head "{url}": {reason}',
    )


def make_wrong_platform(name: ImageName) -> PullError:
    """Return the error of an index that holds nothing for the node's platform."""
    return PullError(
        "NotFound",
        f'failed to pull and unpack image "{name}": no match for platform in manifest: not found',
    )


def make_schema_1(name: ImageName) -> PullError:
    """Return the error of a manifest of schema 1, which containerd 2.1 gave up."""
    return PullError(
        "Unimplemented",
        f'failed to pull and unpack image "{name}": not implemented: media type '
        '"application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported since '
        "containerd v2.1, please rebuild the image as "
        '"application/vnd.docker.distribution.manifest.v2+json" or '
        '"application/vnd.oci.image.manifest.v1+json"',
    )


def _status_line(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


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


FetchUpstream = Callable[[str], tuple[str, int, int]]
"""From a full reference to digest, compressed bytes and layers; raises UpstreamError."""

_TOO_MANY = 429
_NO_ANSWER = 504


def upstream_fetcher(catalogue: Catalogue, platform: str = "linux/amd64") -> FetchUpstream:
    """Return what fetches from a catalogue, as a client of each of its registries."""

    def fetch(reference: str) -> tuple[str, int, int]:
        name = ImageName.parse(reference)
        manifest = catalogue.fetch(name.host, name.path, name.identifier)
        digest = manifest.digest
        if manifest.platform is None:
            system, _, architecture = platform.partition("/")
            for entry in manifest.content["manifests"]:
                if entry["platform"] == {"os": system, "architecture": architecture}:
                    manifest = catalogue.fetch(name.host, name.path, entry["digest"])
        return digest, manifest.image_bytes, manifest.layer_count

    return fetch


def resolve_upstream(name: ImageName, fetch: FetchUpstream) -> PulledImage:
    """
    Return what a reference resolves to upstream.

    Raises:
        PullError: The upstream does not give it, in containerd's words.
    """
    try:
        digest, size, layers = fetch(str(name))
    except UpstreamError as error:
        raise _translate(name, error) from error
    return PulledImage(digest, digest, size, layers, can_stream=False)


def _translate(name: ImageName, error: UpstreamError) -> PullError:
    if error.status == _TOO_MANY:
        # Docker Hub limits the GET of a manifest and not its HEAD, so the pull fails later.
        body = {"errors": [{"code": "TOOMANYREQUESTS", "message": error.message}]}
        return make_unfetched(name, error.status, error.url, body)
    if error.status == _NO_ANSWER:
        return make_unreachable(name, error.url, "i/o timeout")
    return make_unresolved(name, error.status, error.url)
