"""
Repositories of Artifact Registry.

The client library uses REST, so that a local service can replace Google's.
"""

import functools
from typing import Any

from shared.clients.deadline import RPC_TIMEOUT_S
from shared.clients.vendor_error import google_errors
from shared.clients.vendor_import import IMPORTING
from shared.domain.mirror import (
    OWNER_LABEL,
    RemoteRepository,
    RepositoryName,
    RepositoryState,
    UpstreamCredentials,
    UpstreamRefusedError,
)

_CLEANUP_ID = "prestream-old-versions"
_KEEP_ID = "prestream-recent-versions"
_KEPT_VERSIONS = 5
"""
The most recent versions of each package, which a mirror keeps whatever their age.

A later scale-up may need a version that the upstream no longer has. KEEP outweighs DELETE:
https://docs.cloud.google.com/artifact-registry/docs/repositories/cleanup-policy-overview
"""
_SECONDS_A_DAY = 86_400
_MAX_MESSAGE = 500
_UPSTREAM_PHRASES = ("remote upstream", "external repository", "upstream credentials")
"""Phrases of Artifact Registry for an upstream that refuses the connection or the login."""


class ArtifactRegistry:
    """Reads, creates and updates repositories, without waiting for operations to end."""

    def __init__(self, *, emulator_host: str | None = None) -> None:
        self._emulator_host = emulator_host

    def fetch_repository(self, name: RepositoryName) -> RepositoryState | None:
        """
        Fetch a repository; ``None`` if it does not exist (yet).

        Raises:
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: Artifact Registry refuses our identity.
        """
        with IMPORTING:
            from google.api_core.exceptions import NotFound

        with google_errors(f"read repository {name}"):
            try:
                found = self._client.get_repository(name=str(name), timeout=RPC_TIMEOUT_S)
            except NotFound:
                return None
        return self._state(found)

    def create_repository(self, repository: RemoteRepository) -> None:
        """
        Request a remote repository; it exists once ``fetch_repository`` returns it.

        An earlier request for the same repository is not an error. The operation continues in the
        background; its error is raised only if it ended at once.

        Raises:
            UpstreamRefusedError: Artifact Registry could not validate the upstream.
            TransientError: It is unavailable.
            ConfigurationError: It refuses our identity, or the repository.
        """
        with IMPORTING:
            from google.api_core.exceptions import BadRequest, Conflict

        with google_errors(f"create repository {repository.name}"):
            try:
                operation = self._client.create_repository(
                    parent=repository.name.parent,
                    repository_id=repository.name.repository_id,
                    repository=self._body(repository),
                    timeout=RPC_TIMEOUT_S,
                )
                _raise_failure(operation.operation)
            except Conflict:
                return
            except BadRequest as exc:
                raise _refusal(exc) from exc

    def update_credentials(self, repository: RemoteRepository) -> None:
        """
        Set the upstream credentials of a remote repository.

        Raises:
            UpstreamRefusedError: Artifact Registry could not validate the upstream with them.
            TransientError: It is unavailable.
            ConfigurationError: It refuses our identity, or the credentials.
        """
        with IMPORTING:
            from google.api_core.exceptions import BadRequest

        with google_errors(f"update repository {repository.name}"):
            try:
                self._client.update_repository(
                    repository=self._body(repository),
                    update_mask={"paths": ["remote_repository_config.upstream_credentials"]},
                    timeout=RPC_TIMEOUT_S,
                )
            except BadRequest as exc:
                raise _refusal(exc) from exc

    @functools.cached_property
    def _client(self) -> Any:
        with IMPORTING:
            from google.cloud.artifactregistry_v1.services.artifact_registry import (
                ArtifactRegistryClient,
            )
            from google.cloud.artifactregistry_v1.services.artifact_registry.transports import (
                ArtifactRegistryRestTransport,
            )

        if self._emulator_host is None:
            return ArtifactRegistryClient(transport="rest")
        with IMPORTING:
            from google.auth.credentials import AnonymousCredentials

        return ArtifactRegistryClient(
            transport=ArtifactRegistryRestTransport(
                host=self._emulator_host, url_scheme="http", credentials=AnonymousCredentials()
            )
        )

    def _body(self, repository: RemoteRepository) -> Any:
        with IMPORTING:
            from google.cloud.artifactregistry_v1 import types

        config: dict[str, Any] = {"description": repository.description}
        if repository.uri is None:
            config["docker_repository"] = {"public_repository": "DOCKER_HUB"}
        else:
            config["common_repository"] = {"uri": repository.uri}
        if repository.credentials is not None:
            config["upstream_credentials"] = {
                "username_password_credentials": {
                    "username": repository.credentials.username,
                    "password_secret_version": repository.credentials.password_secret_version,
                }
            }
        key, value = OWNER_LABEL
        return types.Repository(
            name=str(repository.name),
            format_="DOCKER",
            mode="REMOTE_REPOSITORY",
            description=repository.description,
            labels={key: value},
            remote_repository_config=config,
            cleanup_policies={
                _CLEANUP_ID: {
                    "id": _CLEANUP_ID,
                    "action": "DELETE",
                    "condition": {
                        "tag_state": "ANY",
                        "older_than": {"seconds": repository.cleanup_days * _SECONDS_A_DAY},
                    },
                },
                _KEEP_ID: {
                    "id": _KEEP_ID,
                    "action": "KEEP",
                    "most_recent_versions": {"keep_count": _KEPT_VERSIONS},
                },
            },
        )

    def _state(self, found: Any) -> RepositoryState:
        with IMPORTING:
            from google.cloud.artifactregistry_v1 import types

        config = found.remote_repository_config
        login = config.upstream_credentials.username_password_credentials
        credentials = (
            UpstreamCredentials(login.username, login.password_secret_version)
            if login.password_secret_version
            else None
        )
        docker = config.docker_repository
        uri = config.common_repository.uri or docker.custom_repository.uri or None
        hub = types.RemoteRepositoryConfig.DockerRepository.PublicRepository.DOCKER_HUB
        is_remote = (
            found.format_ == types.Repository.Format.DOCKER
            and found.mode == types.Repository.Mode.REMOTE_REPOSITORY
            and (uri is not None or docker.public_repository == hub)
        )
        return RepositoryState(is_remote, uri, credentials, dict(found.labels))


def _raise_failure(operation: Any) -> None:
    """Raise the error of an operation that ended with one."""
    with IMPORTING:
        from google.api_core.exceptions import from_grpc_status

    if operation.done and operation.HasField("error"):
        raise from_grpc_status(operation.error.code, operation.error.message)


def _refusal(error: Any) -> Exception:
    """
    Return the error for an invalid argument: the upstream, or else our request.

    The phrases contain spaces, which the address in the message cannot.
    """
    message = str(error.message)
    if any(phrase in message.lower() for phrase in _UPSTREAM_PHRASES):
        return UpstreamRefusedError(message[:_MAX_MESSAGE])
    return error  # type: ignore[no-any-return]
