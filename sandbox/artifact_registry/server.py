"""Artifact Registry as a whole: one socket for the REST API and for the registry API."""

import threading
from collections.abc import Callable
from typing import Any, Self

import flask
from werkzeug.exceptions import HTTPException

from sandbox.artifact_registry import registry_errors
from sandbox.artifact_registry.contents import Contents
from sandbox.artifact_registry.names import parse_package_name
from sandbox.artifact_registry.operations import Operations
from sandbox.artifact_registry.packages_api import PackagesApi
from sandbox.artifact_registry.prewarming import Prewarming
from sandbox.artifact_registry.prewarming_api import PrewarmingApi
from sandbox.artifact_registry.pulling import Puller
from sandbox.artifact_registry.registry_api import registry_blueprint
from sandbox.artifact_registry.repositories import Repositories
from sandbox.artifact_registry.repositories_api import RepositoriesApi
from sandbox.artifact_registry.switches import Switches
from sandbox.catalogue.images import Image
from sandbox.catalogue.upstreams import Catalogue
from sandbox.clock import Clock
from sandbox.faults import Fault, Faults
from sandbox.http_faults import apply_faults
from sandbox.http_server import ApiError, HttpServer, answer_api_errors, api_fault
from sandbox.streaming_cache import StreamingCache


class ArtifactRegistry:
    """
    A server of ``ARTIFACT_REGISTRY_EMULATOR_HOST``.

    Faults of service ``artifact-registry`` hit the REST API, those of ``registry`` what lies
    under /v2/. ``switches`` may be changed while it runs.
    """

    def __init__(
        self, clock: Clock, faults: Faults, catalogue: Catalogue, cache: StreamingCache
    ) -> None:
        self.switches = Switches()
        self.requests: list[tuple[str, str, str, int]] = []
        """Method, host, path and status of each request, in the order of the answers."""
        self._clock = clock
        self._stopped = threading.Event()
        self._operations = Operations(clock)
        self._repositories = Repositories(clock, self.switches, self._operations)
        self._contents = Contents()
        self._puller = Puller(clock, self.switches, self._repositories, self._contents, catalogue)
        self._prewarming = Prewarming(clock, self.switches, self._contents, cache, self._stopped)
        self._server = HttpServer(self._app(faults, catalogue, self._prewarming))

    @property
    def address(self) -> str:
        """``host:port`` of both APIs."""
        return self._server.address

    @property
    def repositories(self) -> dict[str, dict[str, Any]]:
        """The repositories that exist, by resource name, as the REST API describes them."""
        return self._repositories.all

    @property
    def operation_delay_s(self) -> float:
        """Seconds of the sandbox's clock that creating a repository takes."""
        return self.switches.operation_delay_s

    @operation_delay_s.setter
    def operation_delay_s(self, seconds: float) -> None:
        self.switches.operation_delay_s = seconds

    def start(self) -> Self:
        """Begin to answer."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop answering, and close the socket."""
        self._stopped.set()
        self._server.stop()

    def prewarmed(self, repository: str) -> list[dict[str, Any]]:
        """List what is prewarmed of a repository, as the REST API describes it."""
        return self._prewarming.list(repository)

    def save(self) -> Callable[[], None]:
        """Return what puts repositories, their contents and what is prewarmed back as it is now."""
        parts = (self._repositories, self._contents, self._prewarming)
        restored = [part.save() for part in parts]

        def restore() -> None:
            for each in restored:
                each()

        return restore

    def push(self, name: str, tag: str, image: Image) -> str:
        """
        Push an image, and return its digest; a standard repository is created if there is none.

        ``name`` has the host, as in ``us-central1-docker.pkg.dev/demo/apps/trainer``.
        """
        host, _, path = name.partition("/")
        package = parse_package_name(host, path)
        if package.repository_name not in self._repositories.all:
            repository = {"format": "DOCKER", "mode": "STANDARD_REPOSITORY"}
            self._repositories.put(package.repository_name, repository)
        now = self._clock.now()
        for manifest in image.manifests:
            self._contents.put(package, manifest, now)
        for blob in image.blobs.values():
            self._contents.put_blob(package, blob)
        self._contents.point(package, tag, image.digest, now)
        return image.digest

    def _app(self, faults: Faults, catalogue: Catalogue, prewarming: Prewarming) -> flask.Flask:
        app = flask.Flask(__name__)
        app.after_request(self._record)
        repositories, operations, contents = self._repositories, self._operations, self._contents
        for blueprint in (
            registry_blueprint(self._puller),
            RepositoriesApi(repositories, operations, contents, catalogue).blueprint(),
            PackagesApi(repositories, contents).blueprint(),
            PrewarmingApi(self._clock, repositories, operations, prewarming).blueprint(),
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
    return registry_errors.registry_fault(fault) if _is_registry_path() else api_fault(fault)


def _unserved(error: HTTPException) -> flask.Response:
    status, message = error.code or 500, error.description or error.name
    if _is_registry_path():
        return registry_errors.from_framework(status, message).response()
    return ApiError(status, message).response()
