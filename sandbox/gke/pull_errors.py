"""
Failed pulls, in containerd's words.

The words follow containerd's ``core/remotes/docker`` (resolver, fetcher) and the gRPC code
that its errors become: only "not found" has a code of its own.
"""

import http
from collections.abc import Mapping
from typing import Any

from sandbox.gke.image_names import ImageName


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
