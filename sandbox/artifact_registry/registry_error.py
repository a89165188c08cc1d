"""Errors of the registry API, in the words of Artifact Registry."""

from collections.abc import Mapping
from typing import Any

import flask

from sandbox.catalogue.upstream import UpstreamError
from sandbox.fault import Fault

_CODES = {
    400: "NAME_INVALID",
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "NAME_UNKNOWN",
    405: "UNSUPPORTED",
    429: "TOOMANYREQUESTS",
}
_TOO_MANY = 429
QUOTA_TEXT = (
    "Quota exceeded for quota metric 'Requests per project per region' and limit 'Requests per "
    "project per region per minute per region' of service 'artifactregistry.googleapis.com' for "
    "consumer 'project_number:123456789012'."
)
"""The message of Artifact Registry when a project exceeds its quota."""


class RegistryError(Exception):
    """A refusal in the form of the OCI distribution specification."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def response(self) -> flask.Response:
        """Return the answer."""
        error = {"code": self.code, "message": self.message}
        return _answer({"errors": [error]}, self.status, self.headers)


def unknown_repository(repository: str) -> RegistryError:
    """Return the error of a repository that does not exist in the location of the host."""
    return RegistryError(404, "NAME_UNKNOWN", f'Repository "{repository}" not found')


def permission_denied(repository_name: str) -> RegistryError:
    """Return the refusal for a repository that is missing or that the caller may not read."""
    message = (
        'Permission "artifactregistry.repositories.downloadArtifacts" denied on resource '
        f'"{repository_name}" (or it may not exist)'
    )
    return RegistryError(403, "DENIED", message)


def unknown_manifest(reference: str) -> RegistryError:
    """Return the error of an artifact that neither the repository nor its upstream has."""
    return RegistryError(404, "MANIFEST_UNKNOWN", f'Failed to fetch "{reference}"')


def from_upstream(error: UpstreamError, refusal_status: int) -> RegistryError:
    """
    Pass on an answer of an upstream other than 404.

    The words are those of
    https://cloud.google.com/artifact-registry/docs/troubleshoot-remote
    """
    if error.status == _TOO_MANY:
        headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        return RegistryError(_TOO_MANY, "TOOMANYREQUESTS", error.message, headers)
    if error.status in {401, 403}:
        code = "DENIED" if refusal_status == 403 else "UNKNOWN"  # noqa: PLR2004
        return RegistryError(refusal_status, code, _invalid_status(error))
    return RegistryError(502, "UNKNOWN", _invalid_status(error))


def from_hub(error: UpstreamError) -> RegistryError:
    """Return the refusal of Docker Hub, as its own client gets it."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return RegistryError(error.status, _CODES.get(error.status, "UNKNOWN"), error.message, headers)


def registry_fault(fault: Fault) -> flask.Response:
    """Answer a fault of /v2/; a 429 is our own quota's, as upstreams have theirs elsewhere."""
    if fault.body is not None:
        return _answer(fault.body, fault.status, {})
    message = QUOTA_TEXT if fault.status == _TOO_MANY else "a fault of the sandbox"
    code = _CODES.get(fault.status, "UNKNOWN")
    return RegistryError(fault.status, code, message).response()


def from_framework(status: int, message: str) -> RegistryError:
    """Return the error of a path or a method that the registry API does not have."""
    return RegistryError(status, _CODES.get(status, "UNKNOWN"), message)


def _invalid_status(error: UpstreamError) -> str:
    return (
        f"Received invalid http status code {error.status} from external repository; "
        f"url={error.url}: {error.message}"
    )


def _answer(body: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> flask.Response:
    response = flask.jsonify(body)
    response.status_code = status
    response.headers.update(headers)
    return response
