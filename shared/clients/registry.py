"""
The registry API of Artifact Registry and its mirrors.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

import email.utils
import functools
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clients.deadline import RPC_TIMEOUT_S, TIMEOUT
from shared.clients.google_session import make_session
from shared.clients.vendor_error import TRANSIENT_STATUSES, request_errors
from shared.domain.image_reference import ImageReference
from shared.domain.manifest import (
    ACCEPT,
    InvalidManifestError,
    Manifest,
    RegistryRefusalError,
    parse_manifest,
)
from shared.domain.rate_limit import Allowance
from shared.errors import ManifestUnavailableError, TransientError

_OK, _NOT_FOUND, _TOO_MANY = 200, 404, 429
_MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""The largest manifest that registries accept, and that we read."""

_MAX_CAUSES = 8

_CHUNK_BYTES = 64 * 1024
_MAX_MESSAGE = 300
_MAX_PAUSE = timedelta(days=7)
_FROM_UPSTREAM = re.compile(
    r"(?:http status code (\d{3}) )?from external repository", re.IGNORECASE
)
"""
The text in which Artifact Registry passes on an upstream's answer, often as 502.

https://docs.cloud.google.com/artifact-registry/docs/troubleshoot-remote
"""


class RegistryClient:
    """
    Reads manifests from registries, as the function's own identity.

    Connections and tokens are kept for the life of the instance.
    """

    def __init__(self, *, emulator_host: str | None = None) -> None:
        self._emulator_host = emulator_host

    def fetch_manifest(self, reference: ImageReference) -> Manifest:
        """
        Fetch the manifest or index that a reference names.

        Raises:
            RegistryRefusalError: The registry, or its upstream, answered 4xx; or the registry does
                not exist.
            DamagedManifestError: The answer does not have its digest.
            InvalidManifestError: The answer is not a manifest that can be streamed.
            ManifestUnavailableError: The registry answered 5xx.
            TransientError: The registry did not answer in time.
            ConfigurationError: The credentials are missing.
        """
        path = f"/v2/{reference.repository}/manifests/{reference.version}"
        base, headers = f"https://{reference.registry}", {"Accept": ACCEPT}
        if self._emulator_host is not None:
            base, headers["Host"] = f"http://{self._emulator_host}", reference.registry
        with (
            request_errors(f"fetch the manifest of {reference}"),
            _refused_if_unknown(reference.registry),
            self._session.get(base + path, headers=headers, timeout=TIMEOUT, stream=True) as answer,
        ):
            body = _read(answer.raw, str(reference))
        if answer.status_code != _OK:
            raise _refusal(answer.status_code, answer.headers, body, str(reference))
        if len(body) > _MAX_MANIFEST_BYTES:
            raise InvalidManifestError(f"the manifest exceeds {_MAX_MANIFEST_BYTES} bytes")
        manifest = parse_manifest(
            body,
            answer.headers.get("Content-Type", ""),
            # The answer to a request by digest must have that digest; the header is not trusted.
            reference.digest or answer.headers.get("Docker-Content-Digest"),
        )
        figures = (answer.headers.get(f"ratelimit-{name}") for name in ("limit", "remaining"))
        return replace(manifest, allowance=Allowance.from_headers(*figures))

    @functools.cached_property
    def _session(self) -> Any:
        return make_session(self._emulator_host)


@contextmanager
def _refused_if_unknown(registry: str) -> Iterator[None]:
    """
    Raise a refusal for a host that does not exist, because a retry cannot help.

    A tenant can name any host of Google's domains. A silent resolver is another error.
    """
    try:
        yield
    except OSError as exc:
        if not _is_unknown_host(exc):
            raise
        raise RegistryRefusalError(_NOT_FOUND, "", f"there is no host {registry}") from exc


def _is_unknown_host(error: BaseException | None) -> bool:
    """Whether an error was caused, at any depth, by a host name that does not exist."""
    for _ in range(_MAX_CAUSES):
        if isinstance(error, socket.gaierror):
            return error.errno == socket.EAI_NONAME
        if error is None:
            break
        error = error.__cause__ or error.__context__
    return False


def _read(raw: Any, reference: str) -> bytes:
    """
    Read an answer's body, up to the limit of a manifest.

    The timeout of a connection restarts with each byte, so the whole body has its own.
    """
    body = bytearray()
    deadline = time.monotonic() + RPC_TIMEOUT_S
    while len(body) <= _MAX_MANIFEST_BYTES:
        chunk = raw.read1(_CHUNK_BYTES, decode_content=True)
        if not chunk:
            break
        body += chunk
        if time.monotonic() > deadline:
            raise TransientError(f"the manifest of {reference} comes too slowly")
    return bytes(body)


def _refusal(status: int, headers: Mapping[str, str], body: bytes, reference: str) -> Exception:
    """Return the error for an answer that is not a manifest."""
    code, message = _parse_errors(body)
    upstream = _FROM_UPSTREAM.search(message)
    if upstream is not None and upstream[1] is not None:
        status = int(upstream[1])
    if status >= 500 or (status in TRANSIENT_STATUSES and status != _TOO_MANY):  # noqa: PLR2004
        return ManifestUnavailableError(
            f"cannot fetch the manifest of {reference}: {status} {message}"
        )
    retry_at = _retry_at(headers.get("Retry-After"))
    return RegistryRefusalError(
        status, code, message, retry_at=retry_at, by_upstream=upstream is not None
    )


def _parse_errors(body: bytes) -> tuple[str, str]:
    """Return code and message of the first error in a registry's answer, both shortened."""
    try:
        error = json.loads(body)["errors"][0]
        code, message = str(error.get("code") or ""), str(error.get("message") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        code, message = "", body[:_MAX_MESSAGE].decode(errors="replace").strip()
    return code[:_MAX_MESSAGE], message[:_MAX_MESSAGE]


def _retry_at(header: str | None) -> datetime | None:
    """
    Return the time that a Retry-After header names, in seconds or as a date.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    if not header:
        return None
    now = datetime.now(UTC)
    if header.isdecimal():
        # Nine digits are more than enough, and Python limits the digits of a number that it parses.
        return now + min(timedelta(seconds=int(header[:9])), _MAX_PAUSE)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(moment, now), now + _MAX_PAUSE)
