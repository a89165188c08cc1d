"""Pulls from repositories; remote repositories fetch from their upstream."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sandbox.artifact_registry.content import Contents, Tag
from sandbox.artifact_registry.package_name import PackageName
from sandbox.artifact_registry.registry_error import (
    RegistryError,
    from_hub,
    from_upstream,
    permission_denied,
    unknown_manifest,
    unknown_repository,
)
from sandbox.artifact_registry.repository import Repositories
from sandbox.catalogue.image import Blob, Manifest
from sandbox.catalogue.upstream import Catalogue, Credentials, UpstreamError, canonical_registry
from sandbox.clock import Clock

TAG_FRESHNESS = timedelta(hours=1)
"""
How long a tag is answered from the cache before the upstream is asked again.

https://cloud.google.com/artifact-registry/docs/repositories/remote-overview
"""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Upstream:
    """The source of a remote repository."""

    registry: str
    prefix: str
    """The path before each package, with its slash."""
    credentials: Credentials | None


def upstream_of(repository: Mapping[str, Any]) -> Upstream:
    """Read the upstream of a remote repository."""
    config = repository["remoteRepositoryConfig"]
    docker = config.get("dockerRepository", {})
    uri = config.get("commonRepository", docker.get("customRepository", {})).get("uri")
    login = config.get("upstreamCredentials", {}).get("usernamePasswordCredentials")
    credentials = login and Credentials(login["username"], login["passwordSecretVersion"])
    if uri is None:
        return Upstream("docker.io", "", credentials)
    parts = urlsplit(uri)
    path = parts.path.strip("/")
    return Upstream(canonical_registry(parts.netloc), path + "/" if path else "", credentials)


class Puller:
    """Pulls from repositories; remote repositories keep the artifacts that they fetched."""

    def __init__(
        self,
        clock: Clock,
        repositories: Repositories,
        contents: Contents,
        catalogue: Catalogue,
    ) -> None:
        self._clock = clock
        self._repositories = repositories
        self._contents = contents
        self._catalogue = catalogue

    def manifest(self, name: PackageName, reference: str) -> Manifest:
        """
        Return the manifest that a tag or a digest names.

        Raises:
            RegistryError: It does not exist, must not be read, or its upstream does not return it.
        """
        repository = self._repository(name)
        stored, is_fresh = self._stored(name, reference)
        if stored is not None and (is_fresh or not _is_remote(repository)):
            return stored
        if not _is_remote(repository):
            raise unknown_manifest(reference)
        try:
            manifest = self._fetch(repository, name, reference)
        except UpstreamError as exc:
            if stored is not None:
                return stored
            raise self._translate(exc, reference) from exc
        now = self._clock.now()
        self._contents.put(name, manifest)
        if not _DIGEST.fullmatch(reference):
            self._contents.set_tag(name, reference, manifest.digest, now)
        return manifest

    def hub_manifest(self, path: str, reference: str) -> Manifest:
        """
        Return the manifest that Docker Hub itself answers an anonymous client.

        Raises:
            RegistryError: It refuses.
        """
        try:
            return self._catalogue.fetch("docker.io", path, reference, None)
        except UpstreamError as exc:
            raise from_hub(exc) from exc

    def blob(self, name: PackageName, digest: str) -> Blob:
        """
        Return a layer or a configuration.

        Raises:
            RegistryError: It does not exist, must not be read, or its upstream does not return it.
        """
        repository = self._repository(name)
        stored = self._contents.blob(name, digest)
        if stored is not None:
            return stored
        unknown = RegistryError(404, "BLOB_UNKNOWN", f'Failed to fetch "{digest}"')
        if not _is_remote(repository):
            raise unknown
        try:
            blob = self._fetch_blob(repository, name, digest)
        except UpstreamError as exc:
            if exc.status == _NOT_FOUND:
                raise unknown from exc
            raise self._translate(exc, digest) from exc
        self._contents.put_blob(name, blob)
        return blob

    def _repository(self, name: PackageName) -> Mapping[str, Any]:
        repository = self._repositories.all.get(name.repository_name)
        hidden = repository is None and self._repositories.switches.hide_unknown
        if hidden or name.repository_name in self._repositories.switches.denied:
            raise permission_denied(name.repository_name)
        if repository is None:
            raise unknown_repository(name.repository)
        return repository

    def _stored(self, name: PackageName, reference: str) -> tuple[Manifest | None, bool]:
        if _DIGEST.fullmatch(reference):
            return self._contents.manifest(name, reference), True
        tag: Tag | None = self._contents.tag(name, reference)
        if tag is None:
            return None, False
        age = self._clock.now() - tag.checked_at
        return self._contents.manifest(name, tag.digest), age < TAG_FRESHNESS

    def _fetch(self, repository: Mapping[str, Any], name: PackageName, reference: str) -> Manifest:
        upstream = upstream_of(repository)
        path = upstream.prefix + name.package
        return self._catalogue.fetch(upstream.registry, path, reference, upstream.credentials)

    def _fetch_blob(self, repository: Mapping[str, Any], name: PackageName, digest: str) -> Blob:
        upstream = upstream_of(repository)
        path = upstream.prefix + name.package
        return self._catalogue.fetch_blob(upstream.registry, path, digest, upstream.credentials)

    def _translate(self, error: UpstreamError, reference: str) -> RegistryError:
        if error.status == _NOT_FOUND:
            return unknown_manifest(reference)
        return from_upstream(error, self._repositories.switches.refusal_status)


def _is_remote(repository: Mapping[str, Any]) -> bool:
    return bool(repository["mode"] == "REMOTE_REPOSITORY")
