"""The rules of the Artifact Registry API for repositories."""

import re
from collections.abc import Mapping
from typing import Any

from google.cloud import artifactregistry_v1
from google.protobuf import json_format

from sandbox.artifact_registry.package_name import GCR_LOCATIONS
from sandbox.http_service import GoogleApiError

_REPOSITORY_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_SECRET_VERSION = re.compile(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+")
_HTTPS_URI = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[^\s?#]*)?")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_MAX_LABELS = 64
_MAX_CLEANUP_POLICIES = 10
_OUTPUT_ONLY = ("createTime", "updateTime", "sizeBytes", "satisfiesPzs", "satisfiesPzi")

LOCATIONS = (
    *("africa-south1", "asia", "asia-east1", "asia-northeast1", "asia-northeast3"),
    *("asia-south1", "asia-southeast1", "australia-southeast1", "europe", "europe-north1"),
    *("europe-west1", "europe-west2", "europe-west3", "europe-west4", "me-central1"),
    *("northamerica-northeast1", "southamerica-east1", "us", "us-central1", "us-east1"),
    *("us-east4", "us-east5", "us-south1", "us-west1", "us-west2", "us-west4"),
)
"""The regions and multi-regions of the sandbox, a part of the real ones."""


def parse_repository(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Read a Repository as the API does: enums by name or number, both spellings of field names.

    Raises:
        GoogleApiError: A field does not exist, or has a value of another type.
    """
    message = artifactregistry_v1.Repository.pb(artifactregistry_v1.Repository())
    try:
        json_format.ParseDict(dict(body), message)
    except json_format.ParseError as exc:
        text = f"Invalid JSON payload received. {exc}"
        raise GoogleApiError(400, text.partition("\n")[0]) from exc
    parsed: dict[str, Any] = json_format.MessageToDict(message)
    for field in (*_OUTPUT_ONLY, "registryUri"):
        parsed.pop(field, None)
    return parsed


def check_location(location: str) -> None:
    """
    Check that a location exists.

    Raises:
        GoogleApiError: It does not exist; 403, as the real API does not reveal the reason.
    """
    if location not in LOCATIONS:
        raise GoogleApiError(403, f"Location {location} is not found or access is unauthorized.")


def check_repository_id(repository_id: str, location: str) -> None:
    """
    Check the id of a new repository.

    Raises:
        GoogleApiError: It breaks the grammar, or belongs to a gcr.io host of another location.
    """
    if GCR_LOCATIONS.get(repository_id) == location or _REPOSITORY_ID.fullmatch(repository_id):
        return
    raise _invalid(
        f"invalid repository_id {repository_id!r}: names may only contain lowercase letters, "
        "numbers, and hyphens, and must begin with a letter and not end with a hyphen."
    )


def check_new(repository: Mapping[str, Any]) -> None:
    """
    Check a repository that is to be created.

    Raises:
        GoogleApiError: A required field is missing, or does not fit the mode.
    """
    if repository.get("format") != "DOCKER":
        raise _invalid("format must be specified; the sandbox has DOCKER only")
    is_remote = repository.get("mode") == "REMOTE_REPOSITORY"
    if is_remote != ("remoteRepositoryConfig" in repository):
        raise _invalid("remote_repository_config must be set for remote repositories, and only so")
    check_mutable(repository)
    if is_remote:
        _check_upstream(repository["remoteRepositoryConfig"])


def check_mutable(repository: Mapping[str, Any]) -> None:
    """
    Check the fields that may also change later: labels, cleanup policies, credentials.

    Raises:
        GoogleApiError: One of them is not valid.
    """
    labels = repository.get("labels", {})
    if len(labels) > _MAX_LABELS:
        raise _invalid(f"no more than {_MAX_LABELS} labels may be set")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise _invalid(f"invalid label: {key!r}: {value!r}")
    _check_cleanup_policies(repository.get("cleanupPolicies", {}))
    credentials = repository.get("remoteRepositoryConfig", {}).get("upstreamCredentials")
    if credentials is not None:
        _check_credentials(credentials.get("usernamePasswordCredentials", {}))


def _check_cleanup_policies(policies: Mapping[str, Any]) -> None:
    if len(policies) > _MAX_CLEANUP_POLICIES:
        raise _invalid(f"no more than {_MAX_CLEANUP_POLICIES} cleanup policies may be set")
    for key, policy in policies.items():
        if policy.get("id") != key:
            raise _invalid(f"cleanup policy id {policy.get('id')!r} does not match key {key!r}")
        if policy.get("action") not in {"DELETE", "KEEP"}:
            raise _invalid(f"cleanup policy {key!r} needs the action DELETE or KEEP")
        if "condition" not in policy and "mostRecentVersions" not in policy:
            raise _invalid(f"cleanup policy {key!r} needs a condition")


def _check_credentials(credentials: Mapping[str, Any]) -> None:
    version = credentials.get("passwordSecretVersion", "")
    if not _SECRET_VERSION.fullmatch(version):
        raise _invalid(
            f"invalid password_secret_version {version!r}: must be in the format of "
            "projects/{project}/secrets/{secret}/versions/{version}"
        )
    if not credentials.get("username"):
        raise _invalid("username must be specified with password_secret_version")


def _check_upstream(config: Mapping[str, Any]) -> None:
    docker, common = config.get("dockerRepository"), config.get("commonRepository")
    if common is not None:
        uri = common.get("uri", "")
        if not _HTTPS_URI.fullmatch(uri):
            raise _invalid(f"invalid remote repository uri: {uri!r}")
    elif docker is None:
        raise _invalid("docker_repository or common_repository must be set for format DOCKER")
    elif docker.get("publicRepository") != "DOCKER_HUB":
        raise _invalid("docker_repository must name DOCKER_HUB; other upstreams are common")


def _invalid(message: str) -> GoogleApiError:
    return GoogleApiError(400, message)
