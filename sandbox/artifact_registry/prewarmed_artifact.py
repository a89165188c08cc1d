"""
Prewarmed artifacts and their REST API.

https://cloud.google.com/artifact-registry/docs/prewarm-images
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import flask

from sandbox.artifact_registry.content import Contents
from sandbox.artifact_registry.package_name import (
    ArtifactName,
    parse_artifact_name,
    registry_uri,
    repository_name,
)
from sandbox.artifact_registry.repository import (
    ANY_PREFIX,
    Operations,
    RegistrySwitches,
    Repositories,
)
from sandbox.artifact_registry.repository_rule import LOCATIONS
from sandbox.artifact_registry.rest_api import page
from sandbox.catalogue.image import Manifest
from sandbox.clock import Clock, format_time
from sandbox.http_service import GoogleApiError, read_json
from sandbox.streaming_cache import StreamingCache

_DEFAULT_DAYS = 3


@dataclass(slots=True)
class _Artifact:
    name: ArtifactName
    manifest: Manifest
    location: str
    created: datetime
    ready: datetime
    expires: datetime
    error: str | None
    is_cached: bool = False


class Prewarming:
    """
    The artifacts that the prewarm API caches; safe for threads.

    An artifact is CACHING until its time has come by the sandbox's clock. Then the region's
    streaming cache holds the manifest of its platform until it expires. ``stopped`` ends the
    threads that wait for that.
    """

    def __init__(
        self,
        clock: Clock,
        switches: RegistrySwitches,
        contents: Contents,
        cache: StreamingCache,
        stopped: threading.Event,
    ) -> None:
        self._clock = clock
        self._switches = switches
        self._contents = contents
        self._cache = cache
        self._stopped = stopped
        self._artifacts: dict[tuple[str, str, str], _Artifact] = {}
        self._lock = threading.RLock()

    def prewarm(self, repository: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """
        Begin to cache an artifact, or keep one longer that is cached.

        Raises:
            GoogleApiError: The artifact does not exist, or the storage of the project is full.
        """
        name = self._named(repository, request)
        manifest = self._manifest(name, request.get("platform", {}))
        location = _stream_location(name, request)
        now = self._clock.now()
        artifact = _Artifact(
            name,
            manifest,
            location,
            created=now,
            ready=now + timedelta(seconds=self._switches.prewarm_delay_s),
            expires=now + _retention(request),
            error=self._switches.prewarm_error,
        )
        key = (name.package.project, location, manifest.digest)
        with self._lock:
            self._settle()
            before = self._artifacts.get(key)
            if before is not None and before.error is None:
                before.expires = artifact.expires
                before.is_cached = False
                self._settle()
                return self._render(before)
            self._artifacts.pop(key, None)
            self._make_room(name.package.project, manifest, is_forced=request.get("force", False))
            self._artifacts[key] = artifact
        threading.Thread(target=self._finish, args=(artifact,), daemon=True).start()
        return self._render(artifact)

    def check(self, repository: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """
        Describe what became of an artifact.

        Raises:
            GoogleApiError: It is not prewarmed.
        """
        with self._lock:
            self._settle()
            return self._render(self._find(repository, request))

    def remove(self, repository: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """
        Forget an artifact, in the streaming cache too, and describe what it was.

        Raises:
            GoogleApiError: It is not prewarmed.
        """
        with self._lock:
            self._settle()
            artifact = self._find(repository, request)
            self._drop(artifact)
            return self._render(artifact)

    def list(self, repository: str) -> list[dict[str, Any]]:
        """List the artifacts of a repository."""
        with self._lock:
            self._settle()
            return [
                self._render(artifact)
                for artifact in self._artifacts.values()
                if artifact.name.package.repository_name == repository
            ]

    def save(self) -> Callable[[], None]:
        """Return what puts all artifacts back as they are now."""
        with self._lock:
            saved = {key: replace(artifact) for key, artifact in self._artifacts.items()}

        def restore() -> None:
            with self._lock:
                self._artifacts = {key: replace(artifact) for key, artifact in saved.items()}

        return restore

    def _named(self, repository: str, request: Mapping[str, Any]) -> ArtifactName:
        text = request.get("tag") or request.get("version")
        if not text or (request.get("tag") and request.get("version")):
            raise GoogleApiError(400, "exactly one of tag and version must be set")
        name = parse_artifact_name(text)
        if name.package.repository_name != repository:
            raise GoogleApiError(400, f"{text!r} does not lie in {repository!r}")
        return name

    def _digest(self, name: ArtifactName) -> str:
        if name.kind == "versions":
            return name.id
        tag = self._contents.tag(name.package, name.id)
        if tag is None:
            raise GoogleApiError(404, "Requested entity was not found.")
        return tag.digest

    def _manifest(self, name: ArtifactName, platform: Mapping[str, str]) -> Manifest:
        """Find the manifest of one platform; an index alone cannot be prewarmed."""
        manifest = self._contents.manifest(name.package, self._digest(name))
        if manifest is None:
            raise GoogleApiError(404, "Requested entity was not found.")
        if manifest.platform is not None:
            return manifest
        if not platform.get("architecture"):
            raise GoogleApiError(400, "a multi-architecture image needs a platform")
        wanted = {"os": platform.get("os", "linux"), "architecture": platform["architecture"]}
        for entry in manifest.content["manifests"]:
            if wanted.items() <= entry["platform"].items():
                found = self._contents.manifest(name.package, entry["digest"])
                if found is not None:
                    return found
        raise GoogleApiError(404, f"no manifest is stored for platform {wanted}")

    def _find(self, repository: str, request: Mapping[str, Any]) -> _Artifact:
        name = self._named(repository, request)
        digest = self._digest(name)
        index = self._contents.manifest(name.package, digest)
        digests = {digest}
        if index is not None and index.platform is None:
            digests |= {entry["digest"] for entry in index.content["manifests"]}
        location = _stream_location(name, request)
        for artifact in self._artifacts.values():
            is_named = artifact.name.package == name.package and artifact.location == location
            if is_named and artifact.manifest.digest in digests:
                return artifact
        raise GoogleApiError(404, "Requested entity was not found.")

    def _make_room(self, project: str, manifest: Manifest, *, is_forced: bool) -> None:
        limit = self._switches.prewarm_limit_bytes
        stored = sorted(
            (a for a in self._artifacts.values() if a.name.package.project == project),
            key=lambda artifact: artifact.created,
        )
        used = sum(artifact.manifest.image_bytes for artifact in stored)
        while used + manifest.image_bytes > limit:
            if not is_forced or not stored:
                raise GoogleApiError(429, f"prewarm storage of {limit} bytes is exceeded")
            oldest = stored.pop(0)
            used -= oldest.manifest.image_bytes
            self._drop(oldest)

    def _drop(self, artifact: _Artifact) -> None:
        key = (artifact.name.package.project, artifact.location, artifact.manifest.digest)
        self._artifacts.pop(key, None)
        self._cache.remove(artifact.location, artifact.manifest.digest)

    def _finish(self, artifact: _Artifact) -> None:
        if self._clock.wait_until(artifact.ready, self._stopped):
            with self._lock:
                self._settle()

    def _settle(self) -> None:
        now = self._clock.now()
        for key, artifact in list(self._artifacts.items()):
            if artifact.expires <= now:
                del self._artifacts[key]
            elif artifact.ready <= now and artifact.error is None and not artifact.is_cached:
                artifact.is_cached = True
                retention = artifact.expires - now
                self._cache.add(artifact.location, artifact.manifest.digest, retention)

    def _render(self, artifact: _Artifact) -> dict[str, Any]:
        package = artifact.name.package
        state = "CACHING"
        if artifact.ready <= self._clock.now():
            state = "ACTIVE" if artifact.error is None else "FAILED"
        rendered = {
            "state": state,
            "location": artifact.location,
            "uri": f"{registry_uri(package.repository_name)}/{package.package}"
            f"@{artifact.manifest.digest}",
            "sizeBytes": str(artifact.manifest.image_bytes),
            "createTime": format_time(artifact.created),
            "expirationTime": format_time(artifact.expires),
        }
        if state == "FAILED":
            rendered["errorMessage"] = artifact.error or ""
        return rendered


def _stream_location(name: ArtifactName, request: Mapping[str, Any]) -> str:
    """Return the region to cache in; a multi-region is not a region."""
    location: str = request.get("streamLocation") or name.package.location
    if location not in LOCATIONS or "-" not in location:
        raise GoogleApiError(400, f"invalid stream_location {location!r}: must be a region")
    return location


def _retention(request: Mapping[str, Any]) -> timedelta:
    try:
        days = int(request.get("retentionDays") or _DEFAULT_DAYS)
    except ValueError as exc:
        raise GoogleApiError(400, f"invalid retention_days: {exc}") from exc
    if days <= 0:
        raise GoogleApiError(400, "retention_days must be positive")
    return timedelta(days=days)


class PrewarmingApi:
    """The routes of prewarmed artifacts."""

    def __init__(
        self,
        clock: Clock,
        repositories: Repositories,
        operations: Operations,
        prewarming: Prewarming,
    ) -> None:
        self._clock = clock
        self._operations = operations
        self._repositories = repositories
        self._prewarming = prewarming

    def blueprint(self) -> flask.Blueprint:
        """Return the routes."""
        collection = "/v1/projects/<project>/locations/<location>/repositories"
        routes = flask.Blueprint("prewarming", __name__, url_prefix=collection)
        routes.post("/<repository>:prewarmArtifact")(self._prewarm)
        routes.post("/<repository>:checkPrewarmedArtifact")(self._check)
        routes.post("/<repository>:removePrewarmedArtifact")(self._remove)
        routes.get("/<repository>/prewarmedArtifacts")(self._list)
        return routes

    def _prewarm(self, project: str, location: str, repository: str) -> dict[str, Any]:
        name = self._existing(project, location, repository)
        artifact = self._prewarming.prewarm(name, read_json())
        response = {
            "@type": f"{ANY_PREFIX}.PrewarmArtifactResponse",
            "prewarmedArtifact": artifact,
        }
        operation = self._operations.begin(project, location, response)
        return operation.render(self._clock.now())

    def _check(self, project: str, location: str, repository: str) -> dict[str, Any]:
        name = self._existing(project, location, repository)
        artifact = self._prewarming.check(name, read_json())
        return {"prewarmedArtifact": artifact}

    def _remove(self, project: str, location: str, repository: str) -> dict[str, Any]:
        name = self._existing(project, location, repository)
        artifact = self._prewarming.remove(name, read_json())
        return {"prewarmedArtifact": artifact}

    def _list(self, project: str, location: str, repository: str) -> dict[str, Any]:
        artifacts = self._prewarming.list(self._existing(project, location, repository))
        if wanted := flask.request.args.get("filter"):
            field, _, value = (part.strip(' "') for part in wanted.partition("="))
            if field != "location":
                raise GoogleApiError(
                    400, f"prewarmed artifacts are filtered by location: {wanted!r}"
                )
            artifacts = [artifact for artifact in artifacts if artifact["location"] == value]
        return page("prewarmedArtifacts", artifacts)

    def _existing(self, project: str, location: str, repository: str) -> str:
        name = repository_name(project, location, repository)
        self._repositories.get(name)
        return name
