"""
Artifact Registry's API of prewarmed artifacts, which its client library lacks.

https://docs.cloud.google.com/artifact-registry/docs/reference/rest/v1/projects.locations.repositories/prewarmArtifact
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.clients.deadline import TIMEOUT
from shared.clients.google_session import make_session
from shared.clients.vendor_error import TRANSIENT_STATUSES, request_errors
from shared.domain.image_reference import InvalidReferenceError, parse_digest
from shared.domain.json_access import field_at, mapping_of, mappings_of, text_of
from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
    PrewarmRefusedError,
    PrewarmState,
    judge_refusal,
)
from shared.domain.timestamp import parse_time
from shared.errors import ConfigurationError, TransientError

_OK, _UNAUTHORIZED, _NOT_FOUND, _CONFLICT, _TOO_MANY = 200, 401, 404, 409, 429
_PAGE_SIZE = 1_000
"""The largest page of the API."""

_MAX_MESSAGE = 300

_STATUSES: Final = {
    3: 400,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    16: 401,
}
"""
HTTP statuses of google.rpc codes, for operations that end with an error; others count as 5xx.

https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
"""

_STATES: Final[Mapping[str, PrewarmState]] = {"ACTIVE": "ACTIVE", "FAILED": "FAILED"}


class PrewarmingClient:
    """
    Requests that artifacts be prewarmed, as the function's own identity, without waiting.

    Connections and tokens are kept for the life of the instance.
    """

    def __init__(self, *, emulator_host: str | None = None) -> None:
        self._emulator_host = emulator_host

    def prewarm(
        self, version: ArtifactVersion, *, location: str, retention_days: int
    ) -> PrewarmedArtifact | None:
        """
        Request that a version be cached in a region, or kept longer if it is cached.

        Nothing is evicted for it: the API's ``force`` is not used. ``None`` means that the
        operation is running; ``check`` returns its result.

        Raises:
            PrewarmRefusedError: Artifact Registry refuses the request.
            TransientError: It is unavailable, or our quota of requests is exhausted.
            ConfigurationError: The credentials are missing.
        """
        system, _, rest = version.platform.partition("/")
        operation = self._post(
            version,
            "prewarmArtifact",
            platform={"os": system, "architecture": rest.partition("/")[0]},
            retentionDays=str(retention_days),
            streamLocation=location,
        )
        error = mapping_of(operation.get("error"))
        status = _STATUSES.get(error.get("code", 0), 500)
        if error and status != _CONFLICT:
            raise _refusal(f"prewarm {version}", status, str(error.get("message") or ""))
        return _parse(field_at(operation, ("response", "prewarmedArtifact")))

    def check(self, version: ArtifactVersion, *, location: str) -> PrewarmedArtifact | None:
        """
        Return the prewarmed artifact of a version in a region; ``None`` if it is not prewarmed.

        Raises:
            PrewarmRefusedError: Artifact Registry refuses the request.
            TransientError: It is unavailable, or our quota of requests is exhausted.
            ConfigurationError: The credentials are missing.
        """
        answer = self._post(version, "checkPrewarmedArtifact", streamLocation=location)
        return _parse(answer.get("prewarmedArtifact"))

    def list_artifacts(self, repository: RepositoryName) -> Iterator[PrewarmedArtifact]:
        """
        List the prewarmed artifacts of a repository in all regions; empty if it does not exist.

        Raises:
            PrewarmRefusedError: Artifact Registry refuses the request.
            TransientError: It is unavailable, or our quota of requests is exhausted.
            ConfigurationError: The credentials are missing.
        """
        action = f"list the prewarmed images of {repository}"
        for each in self._list(f"{repository}/prewarmedArtifacts", "prewarmedArtifacts", action):
            artifact = _parse(each)
            if artifact is not None:
                yield artifact

    def list_repositories(self, project: str) -> Iterator[RepositoryName]:
        """
        List the repositories of images in all locations of a project.

        Raises:
            PrewarmRefusedError: Artifact Registry refuses the request.
            TransientError: It is unavailable, or our quota of requests is exhausted.
            ConfigurationError: The credentials are missing.
        """
        path, action = f"projects/{project}/locations", f"list the repositories of {project}"
        for location in self._list(path, "locations", action):
            name = text_of(location.get("locationId")) or ""
            for each in self._list(f"{path}/{name}/repositories", "repositories", action):
                _, _, repository_id = (text_of(each.get("name")) or "").rpartition("/")
                if each.get("format") == "DOCKER" and repository_id:
                    yield RepositoryName(project, name, repository_id)

    def remove(self, version: ArtifactVersion, *, location: str) -> None:
        """
        Remove a version from a region's cache; a missing version is success.

        Raises:
            PrewarmRefusedError: Artifact Registry refuses the request.
            TransientError: It is unavailable, or our quota of requests is exhausted.
            ConfigurationError: The credentials are missing.
        """
        self._post(version, "removePrewarmedArtifact", streamLocation=location)

    def _list(self, path: str, field: str, action: str) -> Iterator[Mapping[str, Any]]:
        token = ""
        while True:
            params = {"pageSize": _PAGE_SIZE, **({"pageToken": token} if token else {})}
            answer = self._call("GET", path, action, params=params)
            yield from mappings_of(answer.get(field))
            token = text_of(answer.get("nextPageToken")) or ""
            if not token:
                return

    def _post(self, version: ArtifactVersion, method: str, **fields: Any) -> Mapping[str, Any]:
        return self._call(
            "POST",
            f"{version.repository}:{method}",
            f"{method} {version}",
            json={"version": str(version), **fields},
            # A missing artifact is a valid answer, except to a request to prewarm it.
            absent_is_empty=method != "prewarmArtifact",
        )

    def _call(
        self, method: str, path: str, action: str, *, absent_is_empty: bool = True, **request: Any
    ) -> Mapping[str, Any]:
        base = "https://artifactregistry.googleapis.com"
        if self._emulator_host is not None:
            base = f"http://{self._emulator_host}"
        with request_errors(action):
            answer = self._session.request(method, f"{base}/v1/{path}", timeout=TIMEOUT, **request)
        if answer.status_code == _CONFLICT or (
            answer.status_code == _NOT_FOUND and absent_is_empty
        ):
            # A conflict means that the same request is running.
            return {}
        body = _read(answer)
        if answer.status_code != _OK:
            message = text_of(field_at(body, ("error", "message"))) or answer.text
            raise _refusal(action, answer.status_code, message)
        if body is None:
            raise TransientError(f"cannot {action}: the answer is not a JSON object")
        return body

    @functools.cached_property
    def _session(self) -> Any:
        return make_session(self._emulator_host)


def _read(answer: Any) -> Mapping[str, Any] | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _refusal(action: str, status: int, message: str) -> Exception:
    """Return the error for an unsuccessful answer."""
    text = f"cannot {action}: {status} {message.strip()[:_MAX_MESSAGE]}"
    if status == _UNAUTHORIZED:
        return ConfigurationError(text)
    if status != _TOO_MANY and (status in TRANSIENT_STATUSES or status > 501):  # noqa: PLR2004
        return TransientError(text)
    kind = judge_refusal(status, message)
    return TransientError(text) if kind is None else PrewarmRefusedError(kind, text)


def _parse(body: Any) -> PrewarmedArtifact | None:
    """Read an artifact; ``None`` if it lacks its version or its expiry."""
    fields = mapping_of(body)
    uri = text_of(fields.get("uri")) or ""
    try:
        created = text_of(fields.get("createTime"))
        return PrewarmedArtifact(
            digest=parse_digest(uri.rpartition("@")[2]),
            location=text_of(fields.get("location")) or "",
            # An artifact whose state is not known yet is in progress.
            state=_STATES.get(text_of(fields.get("state")) or "", "CACHING"),
            expires=parse_time(text_of(fields.get("expirationTime")) or ""),
            created=None if created is None else parse_time(created),
            image_bytes=int(fields.get("sizeBytes") or 0),
            uri=uri,
            error=(text_of(fields.get("errorMessage")) or "")[:_MAX_MESSAGE],
        )
    except (InvalidReferenceError, ValueError, TypeError):
        return None
