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
    ArtifactVersion,
    parse_version_name,
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

_Key = tuple[ArtifactVersion, str]
"""A version of a package, and the region that caches it."""


@dataclass(slots=True)
class _Artifact:
    manifest: Manifest
    created: datetime
    ready: datetime
    expires: datetime
    error: str | None
    is_cached: bool = False


class Prewarming:
    """
    The prewarm API and its artifacts; safe for threads.

    An artifact is CACHING until ``prewarm_delay_s`` have passed on the sandbox's clock. Then the
    region's streaming cache holds its manifest until it expires. ``stopped`` ends the threads
    that wait for that. The sandbox prewarms versions with one platform each: indexes, tags and
    forced eviction have no caller.
    """

    def __init__(
        self,
        clock: Clock,
        repositories: Repositories,
        contents: Contents,
        cache: StreamingCache,
        stopped: threading.Event,
    ) -> None:
        self._clock = clock
        self._repositories = repositories
        self._contents = contents
        self._cache = cache
        self._stopped = stopped
        self._artifacts: dict[_Key, _Artifact] = {}
        self._lock = threading.RLock()

    @property
    def _switches(self) -> RegistrySwitches:
        return self._repositories.switches

    @property
    def _operations(self) -> Operations:
        return self._repositories.operations

    def list(self, repository: str) -> list[dict[str, Any]]:
        """List the artifacts of a repository, as the API describes them."""
        with self._lock:
            self._settle()
            return [
                self._render(key)
                for key in self._artifacts
                if key[0].package.repository_name == repository
            ]

    def save(self) -> Callable[[], None]:
        """Return a function that restores the current artifacts."""
        with self._lock:
            saved = {key: replace(artifact) for key, artifact in self._artifacts.items()}

        def restore() -> None:
            with self._lock:
                self._artifacts = {key: replace(artifact) for key, artifact in saved.items()}

        return restore

    def blueprint(self) -> flask.Blueprint:
        """Return the routes."""
        collection = "/v1/projects/<project>/locations/<location>/repositories"
        routes = flask.Blueprint("prewarming", __name__, url_prefix=collection)
        routes.post("/<repository>:prewarmArtifact")(self._serve_prewarm)
        routes.post("/<repository>:checkPrewarmedArtifact")(self._serve_check)
        routes.post("/<repository>:removePrewarmedArtifact")(self._serve_remove)
        routes.get("/<repository>/prewarmedArtifacts")(self._serve_list)
        return routes

    def _serve_prewarm(self, project: str, location: str, repository: str) -> dict[str, Any]:
        key = self._requested(project, location, repository)
        version = key[0]
        manifest = self._contents.manifest(version.package, version.digest)
        if manifest is None:
            raise GoogleApiError(404, "Requested entity was not found.")
        if manifest.platform is None:
            raise GoogleApiError(400, "a multi-architecture image needs a platform")
        days = int(read_json().get("retentionDays") or _DEFAULT_DAYS)
        now = self._clock.now()
        with self._lock:
            self._settle()
            artifact = self._artifacts.get(key)
            if artifact is None or artifact.error is not None:
                self._artifacts.pop(key, None)
                self._check_room(version.package.project, manifest)
                artifact = self._artifacts[key] = self._begin(manifest, now)
            artifact.expires = now + timedelta(days=days)
            artifact.is_cached = False
            self._settle()
            rendered = self._render(key)
        response = {"@type": f"{ANY_PREFIX}.PrewarmArtifactResponse", "prewarmedArtifact": rendered}
        operation = self._operations.begin(project, location, response)
        return operation.render(self._clock.now())

    def _serve_check(self, project: str, location: str, repository: str) -> dict[str, Any]:
        key = self._requested(project, location, repository)
        with self._lock:
            return {"prewarmedArtifact": self._find(key)}

    def _serve_remove(self, project: str, location: str, repository: str) -> dict[str, Any]:
        key = self._requested(project, location, repository)
        with self._lock:
            found = self._find(key)
            del self._artifacts[key]
        version, region = key
        self._cache.remove(region, version.digest)
        return {"prewarmedArtifact": found}

    def _serve_list(self, project: str, location: str, repository: str) -> dict[str, Any]:
        name = repository_name(project, location, repository)
        self._repositories.get(name)
        return page("prewarmedArtifacts", self.list(name))

    def _requested(self, project: str, location: str, repository: str) -> _Key:
        """Return the version and the region of the current request."""
        name = repository_name(project, location, repository)
        self._repositories.get(name)
        request: Mapping[str, Any] = read_json()
        version = parse_version_name(request.get("version") or "")
        if version.package.repository_name != name:
            raise GoogleApiError(400, f"{request['version']!r} does not lie in {name!r}")
        region: str = request.get("streamLocation") or version.package.location
        if region not in LOCATIONS or "-" not in region:
            raise GoogleApiError(400, f"invalid stream_location {region!r}: must be a region")
        return version, region

    def _find(self, key: _Key) -> dict[str, Any]:
        self._settle()
        if key not in self._artifacts:
            raise GoogleApiError(404, "Requested entity was not found.")
        return self._render(key)

    def _check_room(self, project: str, manifest: Manifest) -> None:
        limit = self._switches.prewarm_limit_bytes
        used = sum(
            artifact.manifest.image_bytes
            for (version, _), artifact in self._artifacts.items()
            if version.package.project == project
        )
        if used + manifest.image_bytes > limit:
            raise GoogleApiError(429, f"prewarm storage of {limit} bytes is exceeded")

    def _begin(self, manifest: Manifest, now: datetime) -> _Artifact:
        ready = now + timedelta(seconds=self._switches.prewarm_delay_s)
        artifact = _Artifact(manifest, now, ready, ready, self._switches.prewarm_error)
        threading.Thread(target=self._finish, args=(ready,), daemon=True).start()
        return artifact

    def _finish(self, ready: datetime) -> None:
        if self._clock.wait_until(ready, self._stopped):
            with self._lock:
                self._settle()

    def _settle(self) -> None:
        """Fill the streaming cache with artifacts that are ready, and drop expired ones."""
        now = self._clock.now()
        for key, artifact in list(self._artifacts.items()):
            if artifact.expires <= now:
                del self._artifacts[key]
            elif artifact.ready <= now and artifact.error is None and not artifact.is_cached:
                artifact.is_cached = True
                self._cache.add(key[1], artifact.manifest.digest, artifact.expires - now)

    def _render(self, key: _Key) -> dict[str, Any]:
        (version, region), artifact = key, self._artifacts[key]
        package = version.package
        state = "CACHING"
        if artifact.ready <= self._clock.now():
            state = "ACTIVE" if artifact.error is None else "FAILED"
        rendered = {
            "state": state,
            "location": region,
            "uri": f"{registry_uri(package.repository_name)}/{package.package}@{version.digest}",
            "sizeBytes": str(artifact.manifest.image_bytes),
            "createTime": format_time(artifact.created),
            "expirationTime": format_time(artifact.expires),
        }
        return rendered | ({"errorMessage": artifact.error} if state == "FAILED" else {})
