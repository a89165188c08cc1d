"""The REST API of locations, operations and repositories."""

import fnmatch
import re
from collections.abc import Mapping
from typing import Any

import flask

from sandbox.artifact_registry import validation
from sandbox.artifact_registry.contents import Contents
from sandbox.artifact_registry.names import repository_name
from sandbox.artifact_registry.operations import Operations
from sandbox.artifact_registry.paging import page
from sandbox.artifact_registry.pulling import upstream_of
from sandbox.artifact_registry.repositories import Repositories
from sandbox.catalogue.upstreams import Catalogue, UpstreamError
from sandbox.http_server import ApiError, read_json

_NAME_FILTER = re.compile(r'name\s*=\s*"([^"]*)"')
_UNAUTHENTICATED = 401
_LOCATION = "/v1/projects/<project>/locations/<location>"
_COLLECTION = f"{_LOCATION}/repositories"
_BAD_CREDENTIALS = (
    "failed to fetch bearer token; generic::unauthenticated: Unauthorized error returned by the "
    "external repository... this typically means your upstream credentials are invalid"
)


class RepositoriesApi:
    """The routes of locations, operations and repositories."""

    def __init__(
        self,
        repositories: Repositories,
        operations: Operations,
        contents: Contents,
        catalogue: Catalogue,
    ) -> None:
        self._operations = operations
        self._repositories = repositories
        self._contents = contents
        self._catalogue = catalogue

    def blueprint(self) -> flask.Blueprint:
        """Return the routes."""
        routes = flask.Blueprint("repositories", __name__)
        # gcloud asks the beta for the locations.
        routes.get("/v1beta2/projects/<project>/locations")(self._list_locations)
        routes.get("/v1/projects/<project>/locations", endpoint="locations")(self._list_locations)
        routes.get(_LOCATION)(self._get_location)
        routes.get(f"{_LOCATION}/operations/<operation>")(self._get_operation)
        routes.get(_COLLECTION)(self._list)
        routes.post(_COLLECTION)(self._create)
        routes.get(f"{_COLLECTION}/<repository>")(self._get)
        routes.patch(f"{_COLLECTION}/<repository>")(self._patch)
        routes.delete(f"{_COLLECTION}/<repository>")(self._delete)
        return routes

    def _list_locations(self, project: str) -> dict[str, Any]:
        return page("locations", [_location(project, name) for name in validation.LOCATIONS])

    def _get_location(self, project: str, location: str) -> dict[str, Any]:
        validation.check_location(location)
        return _location(project, location)

    def _get_operation(self, project: str, location: str, operation: str) -> dict[str, Any]:
        name = f"projects/{project}/locations/{location}/operations/{operation}"
        return self._operations.get(name)

    def _list(self, project: str, location: str) -> dict[str, Any]:
        validation.check_location(location)
        prefix = repository_name(project, location, "")
        names = [name for name in sorted(self._repositories.all) if name.startswith(prefix)]
        found = [self._sized(self._repositories.get(name)) for name in _filtered(names)]
        return page("repositories", found)

    def _create(self, project: str, location: str) -> dict[str, Any]:
        validation.check_location(location)
        repository_id = flask.request.args.get("repositoryId", "")
        validation.check_repository_id(repository_id, location)
        repository = validation.parse_repository(read_json())
        validation.check_new(repository)
        name = repository_name(project, location, repository_id)
        self._repositories.check_free(name)
        if not repository.get("remoteRepositoryConfig", {}).get("disableUpstreamValidation"):
            self._validate_upstream(repository)
        return self._repositories.create(name, repository)

    def _get(self, project: str, location: str, repository: str) -> dict[str, Any]:
        return self._sized(self._repositories.get(repository_name(project, location, repository)))

    def _patch(self, project: str, location: str, repository: str) -> dict[str, Any]:
        name = repository_name(project, location, repository)
        changes = validation.parse_repository(read_json())
        config = changes.get("remoteRepositoryConfig", {})
        skips_validation = config.pop("disableUpstreamValidation", False)
        after = self._repositories.changed(name, changes, flask.request.args.get("updateMask"))
        if "upstreamCredentials" in config and not skips_validation:
            self._validate_upstream(after)
        self._repositories.replace(name, after)
        return after

    def _delete(self, project: str, location: str, repository: str) -> dict[str, Any]:
        name = repository_name(project, location, repository)
        operation = self._repositories.delete(name)
        self._contents.clear(name)
        return operation

    def _sized(self, repository: Mapping[str, Any]) -> dict[str, Any]:
        size = self._contents.size_bytes(repository["name"])
        return {**repository, "sizeBytes": str(size)} if size else dict(repository)

    def _validate_upstream(self, repository: Mapping[str, Any]) -> None:
        """
        Reach the upstream and try its credentials, as the API does unless it is told not to.

        Raises:
            ApiError: The upstream does not answer as a registry, or refuses the credentials.
        """
        if "remoteRepositoryConfig" not in repository:
            return
        upstream = upstream_of(repository)
        if not upstream.registry:
            self._check_chained(upstream.prefix)
            return
        try:
            self._catalogue.login(upstream.registry, upstream.credentials)
        except UpstreamError as exc:
            reason = f"generic::unavailable: {exc.message}; url={exc.url}"
            if exc.status == _UNAUTHENTICATED:
                reason = _BAD_CREDENTIALS
            raise ApiError(400, f"Failed to validate remote upstream: {reason}") from exc

    def _check_chained(self, name: str) -> None:
        if self._repositories.all.get(name, {}).get("mode") != "STANDARD_REPOSITORY":
            raise ApiError(400, f"Failed to validate remote upstream: no such repository: {name}")


def _location(project: str, location: str) -> dict[str, Any]:
    name = f"projects/{project}/locations/{location}"
    return {"name": name, "locationId": location, "displayName": location}


def _filtered(names: list[str]) -> list[str]:
    text = flask.request.args.get("filter")
    if not text:
        return names
    match = _NAME_FILTER.fullmatch(text)
    if match is None:
        raise ApiError(400, f"the sandbox filters repositories by name only: {text!r}")
    return [name for name in names if fnmatch.fnmatchcase(name, match[1])]
