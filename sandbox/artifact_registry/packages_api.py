"""The REST API of what lies in a repository: docker images, packages, versions and tags."""

import re
from typing import Any
from urllib.parse import unquote

import flask

from sandbox.artifact_registry.contents import Contents, StoredManifest, Tag
from sandbox.artifact_registry.names import PackageName, registry_uri, repository_name
from sandbox.artifact_registry.paging import page
from sandbox.artifact_registry.repositories import Repositories
from sandbox.artifact_registry.resource_names import (
    escaped,
    package_resource,
    parse_artifact_name,
)
from sandbox.clock import format_time
from sandbox.http_server import ApiError

_REPOSITORY = "/v1/projects/<project>/locations/<location>/repositories/<repository>"
_VERSION_FILTER = re.compile(r'version\s*=\s*"([^"]*)"')


class PackagesApi:
    """The routes of docker images, packages, versions and tags; all of them read."""

    def __init__(self, repositories: Repositories, contents: Contents) -> None:
        self._repositories = repositories
        self._contents = contents

    def blueprint(self) -> flask.Blueprint:
        """Return the routes."""
        routes = flask.Blueprint("packages", __name__, url_prefix=_REPOSITORY)
        routes.get("/dockerImages")(self._list_docker_images)
        routes.get("/dockerImages/<path:image>")(self._get_docker_image)
        routes.get("/packages")(self._list_packages)
        routes.get("/packages/<path:rest>")(self._get_below_package)
        return routes

    def _list_docker_images(self, project: str, location: str, repository: str) -> dict[str, Any]:
        found = [
            _docker_image(name, stored)
            for name in self._packages(project, location, repository)
            for stored in self._contents.manifests(name)
        ]
        return page("dockerImages", found)

    def _get_docker_image(
        self, project: str, location: str, repository: str, image: str
    ) -> dict[str, Any]:
        package, _, digest = unquote(image).partition("@")
        name = PackageName(project, location, repository, package)
        return _docker_image(name, self._stored(name, digest))

    def _list_packages(self, project: str, location: str, repository: str) -> dict[str, Any]:
        names = self._packages(project, location, repository)
        return page("packages", [{"name": package_resource(name)} for name in names])

    def _get_below_package(
        self, project: str, location: str, repository: str, rest: str
    ) -> dict[str, Any]:
        self._packages(project, location, repository)
        head, _, tail = rest.rpartition("/")
        if head and tail in {"tags", "versions"}:
            name = PackageName(project, location, repository, unquote(head))
            return self._list_tags(name) if tail == "tags" else self._list_versions(name)
        full = f"{repository_name(project, location, repository)}/packages/{rest}"
        artifact = parse_artifact_name(full)
        if artifact.kind == "versions":
            return _version(artifact.package, self._stored(artifact.package, artifact.id))
        tag = self._contents.tag(artifact.package, artifact.id)
        if tag is None:
            raise ApiError(404, "Requested entity was not found.")
        return _tag(artifact.package, tag)

    def _list_tags(self, name: PackageName) -> dict[str, Any]:
        tags = [_tag(name, tag) for tag in self._contents.tags(name)]
        text = flask.request.args.get("filter")
        if text:
            match = _VERSION_FILTER.fullmatch(text)
            if match is None:
                raise ApiError(400, f"the sandbox filters tags by version only: {text!r}")
            tags = [tag for tag in tags if unquote(tag["version"]) == unquote(match[1])]
        return page("tags", tags)

    def _list_versions(self, name: PackageName) -> dict[str, Any]:
        stored = list(self._contents.manifests(name))
        if not stored:
            raise ApiError(404, "Requested entity was not found.")
        return page("versions", [_version(name, item) for item in stored])

    def _packages(self, project: str, location: str, repository: str) -> list[PackageName]:
        name = repository_name(project, location, repository)
        self._repositories.get(name)
        return self._contents.packages(name)

    def _stored(self, name: PackageName, digest: str) -> StoredManifest:
        self._repositories.get(name.repository_name)
        for stored in self._contents.manifests(name):
            if stored.manifest.digest == digest:
                return stored
        raise ApiError(404, "Requested entity was not found.")


def _docker_image(name: PackageName, stored: StoredManifest) -> dict[str, Any]:
    manifest = stored.manifest
    moment = format_time(stored.stored_at)
    image: dict[str, Any] = {
        "name": f"{name.repository_name}/dockerImages/{escaped(name.package)}@{manifest.digest}",
        "uri": f"{registry_uri(name.repository_name)}/{name.package}@{manifest.digest}",
        "tags": list(stored.tags),
        "imageSizeBytes": str(manifest.image_bytes),
        "uploadTime": moment,
        "updateTime": moment,
        "mediaType": manifest.media_type,
    }
    if manifest.platform is None:
        image["imageManifests"] = [
            {
                "architecture": entry["platform"]["architecture"],
                "os": entry["platform"]["os"],
                "digest": entry["digest"],
                "mediaType": entry["mediaType"],
            }
            for entry in manifest.content["manifests"]
        ]
    return image


def _version(name: PackageName, stored: StoredManifest) -> dict[str, Any]:
    manifest = stored.manifest
    moment = format_time(stored.stored_at)
    return {
        "name": f"{package_resource(name)}/versions/{manifest.digest}",
        "createTime": moment,
        "updateTime": moment,
        "relatedTags": [
            {
                "name": f"{package_resource(name)}/tags/{tag}",
                "version": f"{package_resource(name)}/versions/{manifest.digest}",
            }
            for tag in stored.tags
        ],
        "metadata": {
            "imageSizeBytes": str(manifest.image_bytes),
            "mediaType": manifest.media_type,
        },
    }


def _tag(name: PackageName, tag: Tag) -> dict[str, Any]:
    return {
        "name": f"{package_resource(name)}/tags/{tag.name}",
        "version": f"{package_resource(name)}/versions/{tag.digest}",
    }
