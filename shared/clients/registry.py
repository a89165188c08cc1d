"""
The registry API of Artifact Registry and its mirrors.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

import email.utils
import functools
import ipaddress
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

from shared.clients.deadline import EXCHANGE_S, TIMEOUT, exchange_limited_to, limit_wait
from shared.clients.google_session import make_anonymous_session, make_session
from shared.clients.vendor_error import TRANSIENT_STATUSES, request_errors
from shared.domain.image_reference import DOCKER_HUB, ImageReference
from shared.domain.manifest import (
    ACCEPT,
    InvalidManifestError,
    Manifest,
    RegistryRefusalError,
    parse_manifest,
)
from shared.domain.rate_limit import Allowance
from shared.errors import ManifestUnavailableError, TransientError

_HUB_HOST = "registry-1.docker.io"
"""The host of Docker Hub's registry API."""

_OK, _NOT_FOUND, _TOO_MANY = 200, 404, 429
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_HTTPS_PORT = 443
_MAX_BYTES = 4 * 1024 * 1024
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
        action = f"fetch the manifest of {reference}"
        answer = self._fetch(reference, path, {"Accept": ACCEPT}, action)
        if answer.status != _OK:
            raise _refusal(answer, str(reference))
        if len(answer.body) > _MAX_BYTES:
            raise InvalidManifestError(f"the manifest exceeds {_MAX_BYTES} bytes")
        manifest = parse_manifest(
            answer.body,
            answer.headers.get("Content-Type", ""),
            # The answer to a request by digest must have that digest; the header is not trusted.
            reference.digest or answer.headers.get("Docker-Content-Digest"),
        )
        figures = (answer.headers.get(f"ratelimit-{name}") for name in ("limit", "remaining"))
        return replace(manifest, allowance=Allowance.from_headers(*figures))

    def _fetch(
        self, reference: ImageReference, path: str, headers: Mapping[str, str], action: str
    ) -> "_Answer":
        """
        Return the answer after all redirects; of a body that is too long, its beginning.

        Another host gets a request without our token, and never one that leads into our network.
        """
        is_hub = reference.registry.lower() == DOCKER_HUB
        host = _HUB_HOST if is_hub else reference.registry
        url, headers = f"https://{host}{path}", dict(headers)
        if self._emulator_host is not None:
            url, headers["Host"] = f"http://{self._emulator_host}{path}", host
        with request_errors(action), exchange_limited_to(EXCHANGE_S):
            session = self._anonymous_session if is_hub else self._session
            if is_hub and self._emulator_host is None:
                headers["Authorization"] = f"Bearer {self._fetch_token(reference)}"
            for _ in range(1 + _MAX_REDIRECTS):
                timeout = tuple(map(limit_wait, TIMEOUT))
                with (
                    _refused_if_unknown(reference.registry),
                    session.get(url, headers=headers, timeout=timeout, stream=True) as answer,
                ):
                    target = _find_target(url, answer)
                    if target is None:
                        return _Answer(answer.status_code, answer.headers, _read(answer.raw))
                if _origin_of(target) != _origin_of(url):
                    if self._emulator_host is None:
                        _check_target(target)
                    session = self._anonymous_session
                    for name in ("Host", "Authorization"):
                        headers.pop(name, None)
                url = target
        raise TransientError(f"cannot {action}: more than {_MAX_REDIRECTS} redirects")

    def _fetch_token(self, reference: ImageReference) -> str:
        """Return the token with which an anonymous client pulls from a repository of Docker Hub."""
        from shared.clients.docker_hub import parse_token, token_url

        timeout = tuple(map(limit_wait, TIMEOUT))
        with self._anonymous_session.get(
            token_url(reference), timeout=timeout, stream=True
        ) as answer:
            found = _Answer(answer.status_code, answer.headers, _read(answer.raw))
        if found.status != _OK:
            raise _refusal(found, str(reference))
        token = parse_token(found.body)
        if token is None:
            raise ManifestUnavailableError("Docker Hub's answer for a token has none")
        return token

    @functools.cached_property
    def _session(self) -> Any:
        return make_session(self._emulator_host)

    @functools.cached_property
    def _anonymous_session(self) -> Any:
        return make_anonymous_session()


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def _find_target(url: str, answer: Any) -> str | None:
    """Return the address to which an answer redirects; ``None`` if it is not a redirect."""
    location = answer.headers.get("Location")
    if not location or answer.status_code not in _REDIRECTS:
        return None
    try:
        target: str = urljoin(url, location)
        _origin_of(target)
    except ValueError as exc:
        raise InvalidManifestError(f"the registry redirects to an invalid address: {exc}") from exc
    return target


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _check_target(url: str) -> None:
    """
    Check that a redirect leads to a public address, over https.

    A host that gets another address afterwards would need a valid certificate there.

    Raises:
        InvalidManifestError: The address is private, invalid or unknown, or lacks https.
        TransientError: The resolver does not answer.
    """
    scheme, host, port = _origin_of(url)
    if scheme != "https" or not host:
        raise InvalidManifestError("the registry redirects to an address without https")
    try:
        found = socket.getaddrinfo(host, port or _HTTPS_PORT, type=socket.SOCK_STREAM)
    except (socket.gaierror, ValueError) as exc:
        if isinstance(exc, socket.gaierror) and exc.errno != socket.EAI_NONAME:
            raise TransientError(f"cannot resolve {host}: {exc}") from exc
        raise InvalidManifestError("the registry redirects to an unknown host") from exc
    if not all(_is_public(str(address[0])) for *_, address in found):
        raise InvalidManifestError("the registry redirects to a private address")


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast


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


def _read(raw: Any) -> bytes:
    """Read a body, up to one chunk beyond the limit of a manifest."""
    body = bytearray()
    while len(body) <= _MAX_BYTES:
        chunk = raw.read1(_CHUNK_BYTES, decode_content=True)
        if not chunk:
            break
        body += chunk
    return bytes(body)


def _refusal(answer: _Answer, reference: str) -> Exception:
    """Return the error for an answer that is not a manifest."""
    status, (code, message) = answer.status, _parse_errors(answer.body)
    upstream = _FROM_UPSTREAM.search(message)
    if upstream is not None and upstream[1] is not None:
        status = int(upstream[1])
    if status >= 500 or (status in TRANSIENT_STATUSES and status != _TOO_MANY):  # noqa: PLR2004
        return ManifestUnavailableError(
            f"cannot fetch the manifest of {reference}: {status} {message}"
        )
    retry_at = _retry_at(answer.headers.get("Retry-After"))
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
