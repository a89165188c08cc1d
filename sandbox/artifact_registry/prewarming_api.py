"""
The REST API of prewarmed artifacts.

https://cloud.google.com/artifact-registry/docs/prewarm-images
"""

from typing import Any

import flask

from sandbox.artifact_registry.names import repository_name
from sandbox.artifact_registry.operations import ANY_PREFIX, Operations
from sandbox.artifact_registry.paging import page
from sandbox.artifact_registry.prewarming import Prewarming
from sandbox.artifact_registry.repositories import Repositories
from sandbox.clock import Clock
from sandbox.http_server import ApiError, read_json


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
                raise ApiError(400, f"prewarmed artifacts are filtered by location: {wanted!r}")
            artifacts = [artifact for artifact in artifacts if artifact["location"] == value]
        return page("prewarmedArtifacts", artifacts)

    def _existing(self, project: str, location: str, repository: str) -> str:
        name = repository_name(project, location, repository)
        self._repositories.get(name)
        return name
