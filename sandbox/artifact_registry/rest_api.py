"""The REST API of locations, operations, repositories and the artifacts in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import flask

from sandbox.artifact_registry.content import Contents
from sandbox.artifact_registry.package_name import repository_name
from sandbox.artifact_registry.registry_pull import upstream_of
from sandbox.artifact_registry.repository import Repositories
from sandbox.artifact_registry.repository_rule import (
    LOCATIONS,
    check_location,
    check_new,
    check_repository_id,
    parse_repository,
)
from sandbox.catalogue.upstream import Catalogue, UpstreamError
from sandbox.http_service import GoogleApiError, read_json

_DEFAULT_SIZE = 100
_MAX_SIZE = 1000


def page(field: str, items: Sequence[Any]) -> dict[str, Any]:
    """Return the page of ``items`` that the request names by pageSize and pageToken."""
    size = int(flask.request.args.get("pageSize", 0))
    start = int(flask.request.args.get("pageToken") or 0)
    end = start + min(size or _DEFAULT_SIZE, _MAX_SIZE)
    answer: dict[str, Any] = {field: list(items[start:end])} if items[start:end] else {}
    if end < len(items):
        answer["nextPageToken"] = str(end)
    return answer


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
        self, repositories: Repositories, contents: Contents, catalogue: Catalogue
    ) -> None:
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
        return page("locations", [_location(project, name) for name in LOCATIONS])

    def _get_location(self, project: str, location: str) -> dict[str, Any]:
        check_location(location)
        return _location(project, location)

    def _get_operation(self, project: str, location: str, operation: str) -> dict[str, Any]:
        name = f"projects/{project}/locations/{location}/operations/{operation}"
        return self._repositories.operations.get(name)

    def _list(self, project: str, location: str) -> dict[str, Any]:
        check_location(location)
        prefix = repository_name(project, location, "")
        found = sorted(self._repositories.all.items())
        return page(
            "repositories", [self._sized(each) for name, each in found if name.startswith(prefix)]
        )

    def _create(self, project: str, location: str) -> dict[str, Any]:
        check_location(location)
        repository_id = flask.request.args.get("repositoryId", "")
        check_repository_id(repository_id, location)
        repository = parse_repository(read_json())
        check_new(repository)
        name = repository_name(project, location, repository_id)
        self._repositories.check_free(name)
        if not repository.get("remoteRepositoryConfig", {}).get("disableUpstreamValidation"):
            self._validate_upstream(repository)
        return self._repositories.create(name, repository)

    def _get(self, project: str, location: str, repository: str) -> dict[str, Any]:
        return self._sized(self._repositories.get(repository_name(project, location, repository)))

    def _patch(self, project: str, location: str, repository: str) -> dict[str, Any]:
        name = repository_name(project, location, repository)
        changes = parse_repository(read_json())
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
        Connect to the upstream and try its credentials, unless the request disables that.

        Raises:
            GoogleApiError: The upstream does not answer as a registry, or refuses the credentials.
        """
        if "remoteRepositoryConfig" not in repository:
            return
        upstream = upstream_of(repository)
        try:
            self._catalogue.login(upstream.registry, upstream.credentials)
        except UpstreamError as exc:
            reason = f"generic::unavailable: {exc.message}; url={exc.url}"
            if exc.status == _UNAUTHENTICATED:
                reason = _BAD_CREDENTIALS
            raise GoogleApiError(400, f"Failed to validate remote upstream: {reason}") from exc


def _location(project: str, location: str) -> dict[str, Any]:
    name = f"projects/{project}/locations/{location}"
    return {"name": name, "locationId": location, "displayName": location}
