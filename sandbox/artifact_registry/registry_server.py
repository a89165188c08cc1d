"""
Artifact Registry: the REST API and the registry API on one socket.

The registry API has the body of a layer only up to 1 MiB; it does not accept pushes.
"""

import threading
from collections.abc import Callable
from typing import Any

import flask
from werkzeug.exceptions import HTTPException

from sandbox.artifact_registry.content import Contents
from sandbox.artifact_registry.package_name import parse_package_name
from sandbox.artifact_registry.prewarmed_artifact import Prewarming
from sandbox.artifact_registry.registry_error import RegistryError, from_framework, registry_fault
from sandbox.artifact_registry.registry_pull import Puller
from sandbox.artifact_registry.repository import RegistrySwitches, Repositories
from sandbox.artifact_registry.rest_api import RepositoriesApi
from sandbox.catalogue.image import Image, Manifest
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.http_service import (
    GoogleApiError,
    HttpServer,
    answer_api_errors,
    api_fault,
    apply_faults,
)
from sandbox.streaming_cache import StreamingCache


def registry_blueprint(puller: Puller) -> flask.Blueprint:
    """Return the routes of the registry API."""
    routes = flask.Blueprint("registry", __name__, url_prefix="/v2")

    @routes.get("/")
    def base() -> flask.Response:
        return flask.jsonify({})

    @routes.get("/<path:name>/manifests/<reference>")
    def manifest(name: str, reference: str) -> flask.Response:
        if (hub := _hub_name(name)) is not None:
            found = puller.hub_manifest(hub, reference)
        else:
            found = puller.manifest(parse_package_name(flask.request.host, name), reference)
        _check_accepted(found, reference)
        response = flask.Response(found.body, content_type=found.media_type)
        response.headers["Docker-Content-Digest"] = found.digest
        return response

    @routes.get("/<path:name>/blobs/<digest>")
    def blob(name: str, digest: str) -> flask.Response:
        found = puller.blob(parse_package_name(flask.request.host, name), digest)
        if found.body is None and flask.request.method == "GET":
            raise RegistryError(404, "BLOB_UNKNOWN", "the sandbox has no layers above 1 MiB")
        response = flask.Response(found.body or b"", content_type="application/octet-stream")
        response.headers["Content-Length"] = str(found.size)
        response.headers["Docker-Content-Digest"] = found.digest
        return response

    @routes.errorhandler(RegistryError)
    def refused(error: RegistryError) -> flask.Response:
        return error.response()

    @routes.after_request
    def versioned(response: flask.Response) -> flask.Response:
        response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        return response

    return routes


def _hub_name(name: str) -> str | None:
    """Return the path of a repository of Docker Hub; None for a request to another host."""
    return name if flask.request.host.partition(":")[0] == "registry-1.docker.io" else None


def _check_accepted(manifest: Manifest, reference: str) -> None:
    """Refuse a client that does not accept the manifest's type; without Accept all do."""
    accepted = flask.request.accept_mimetypes
    if not accepted or manifest.media_type in accepted.values() or "*/*" in accepted.values():
        return
    kind = "digest" if reference.startswith("sha256:") else "tag"
    raise RegistryError(
        404,
        "MANIFEST_UNKNOWN",
        f"Manifest with {kind} '{reference}' has media type '{manifest.media_type}', but client "
        f"accepts '{', '.join(accepted.values())}'.",
    )


class ArtifactRegistry(HttpServer):
    """
    A server of ``ARTIFACT_REGISTRY_EMULATOR_HOST``.

    Faults of service ``artifact-registry`` hit the REST API, faults of ``registry`` the paths
    under /v2/. ``switches`` may be changed while it runs.
    """

    def __init__(
        self, clock: Clock, faults: Faults, catalogue: Catalogue, cache: StreamingCache
    ) -> None:
        self.requests: list[tuple[str, str, str, int]] = []
        """Method, host, path and status of each request, in the order of the answers."""
        self._clock = clock
        self._stopped = threading.Event()
        self._repositories = Repositories(clock)
        self._contents = Contents()
        self._puller = Puller(clock, self._repositories, self._contents, catalogue)
        self._prewarming = Prewarming(
            clock, self._repositories, self._contents, cache, self._stopped
        )
        super().__init__(self._app(faults, catalogue))

    @property
    def repositories(self) -> dict[str, dict[str, Any]]:
        """The repositories that exist, by resource name, as the REST API describes them."""
        return self._repositories.all

    @property
    def switches(self) -> RegistrySwitches:
        """The switches of its behaviour."""
        return self._repositories.switches

    def stop(self) -> None:
        """Stop answering, also on the threads that fill the streaming cache."""
        self._stopped.set()
        super().stop()

    def prewarmed(self, repository: str) -> list[dict[str, Any]]:
        """List the prewarmed artifacts of a repository, as the REST API describes them."""
        return self._prewarming.list(repository)

    def save(self) -> Callable[[], None]:
        """Return a function that restores repositories, contents and prewarmed artifacts."""
        parts = (self._repositories, self._contents, self._prewarming)
        restored = [part.save() for part in parts]

        def restore() -> None:
            for each in restored:
                each()

        return restore

    def push(self, name: str, tag: str, image: Image) -> str:
        """
        Push an image, and return its digest; a missing standard repository is created.

        ``name`` has the host, as in ``us-central1-docker.pkg.dev/demo/apps/trainer``.
        """
        host, _, path = name.partition("/")
        package = parse_package_name(host, path)
        if package.repository_name not in self._repositories.all:
            repository = {"format": "DOCKER", "mode": "STANDARD_REPOSITORY"}
            self._repositories.put(package.repository_name, repository)
        now = self._clock.now()
        for manifest in image.manifests:
            self._contents.put(package, manifest)
        for blob in image.blobs.values():
            self._contents.put_blob(package, blob)
        self._contents.set_tag(package, tag, image.digest, now)
        return image.digest

    def _app(self, faults: Faults, catalogue: Catalogue) -> flask.Flask:
        app = flask.Flask(__name__)
        app.after_request(self._record)
        for blueprint in (
            registry_blueprint(self._puller),
            RepositoriesApi(self._repositories, self._contents, catalogue).blueprint(),
            self._prewarming.blueprint(),
        ):
            app.register_blueprint(blueprint)
        apply_faults(app, faults, _service, _fault, self._clock)
        answer_api_errors(app)
        app.register_error_handler(HTTPException, _unserved)
        return app

    def _record(self, response: flask.Response) -> flask.Response:
        request = flask.request
        self.requests.append((request.method, request.host, request.path, response.status_code))
        return response


def _is_registry_path() -> bool:
    return flask.request.path.startswith("/v2/")


def _service() -> str:
    return "registry" if _is_registry_path() else "artifact-registry"


def _fault(fault: Fault) -> flask.Response:
    return registry_fault(fault) if _is_registry_path() else api_fault(fault)


def _unserved(error: HTTPException) -> flask.Response:
    status, message = error.code or 500, error.description or error.name
    if _is_registry_path():
        return from_framework(status, message).response()
    return GoogleApiError(status, message).response()
