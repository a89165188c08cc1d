"""
The registry API of Artifact Registry and its mirrors.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

import email.utils
import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clients.errors import TIMEOUT, request_errors
from shared.domain.manifests import ACCEPT, Manifest, RegistryRefusalError, parse_manifest
from shared.domain.references import ImageReference
from shared.errors import TransientError

_OK = 200
_MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""What registries accept at most, and so the most that we read."""

# A mirror wraps what its upstream refuses, often in a 502 of its own.
_UPSTREAM_STATUS = re.compile(r"http status code (\d{3}) from external repository")

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class RegistryClient:
    """
    Asks registries for manifests, as the function's own identity.

    Connections and tokens are kept for the life of the instance.
    """

    def __init__(self, *, emulator_host: str | None = None) -> None:
        self._emulator_host = emulator_host

    def fetch_manifest(self, reference: ImageReference) -> Manifest:
        """
        Fetch the manifest or index that a reference names.

        Raises:
            RegistryRefusalError: The registry answered 4xx.
            InvalidManifestError: The answer is no manifest that can be streamed.
            TransientError: No answer in time, or 5xx.
            ConfigurationError: There are no credentials to ask with.
        """
        path = f"/v2/{reference.repository}/manifests/{reference.version}"
        base, headers = f"https://{reference.registry}", {"Accept": ACCEPT}
        if self._emulator_host is not None:
            base, headers["Host"] = f"http://{self._emulator_host}", reference.registry
        with (
            request_errors(f"fetch the manifest of {reference}"),
            self._session.get(base + path, headers=headers, timeout=TIMEOUT, stream=True) as answer,
        ):
            body = answer.raw.read(_MAX_MANIFEST_BYTES + 1, decode_content=True)
            if answer.status_code != _OK:
                raise _refusal(answer.status_code, answer.headers, body, str(reference))
            return parse_manifest(
                body,
                answer.headers.get("Content-Type", ""),
                answer.headers.get("Docker-Content-Digest"),
            )

    @functools.cached_property
    def _session(self) -> Any:
        import requests

        if self._emulator_host is not None:
            return requests.Session()
        import google.auth
        from google.auth.transport.requests import AuthorizedSession

        with request_errors("find the function's credentials"):
            credentials, _ = google.auth.default(scopes=[_SCOPE])
        return AuthorizedSession(credentials)


def _refusal(status: int, headers: Any, body: bytes, reference: str) -> Exception:
    """Return the error for an answer that is no manifest."""
    code, message = _parse_errors(body)
    upstream = _UPSTREAM_STATUS.search(message)
    if upstream is not None:
        status = int(upstream[1])
    if status >= 500:  # noqa: PLR2004
        return TransientError(f"cannot fetch the manifest of {reference}: {status} {message}")
    retry_at = _retry_at(headers.get("Retry-After"))
    return RegistryRefusalError(
        status, code, message, retry_at=retry_at, by_upstream=upstream is not None
    )


def _parse_errors(body: bytes) -> tuple[str, str]:
    """Return code and message of the first error in a registry's answer."""
    import json

    try:
        error = json.loads(body)["errors"][0]
        return str(error.get("code") or ""), str(error.get("message") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", body[:300].decode(errors="replace").strip()


def _retry_at(header: str | None) -> datetime | None:
    """
    Return the time that a Retry-After header names, in seconds or as a date.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    if not header:
        return None
    if header.isdecimal():
        return datetime.now(UTC) + timedelta(seconds=min(int(header), 7 * 24 * 3600))
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
