"""Names of repositories, packages, versions and tags, and their conversions."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox.artifact_registry.registry_error import RegistryError
from sandbox.http_service import GoogleApiError

GCR_LOCATIONS = {
    "gcr.io": "us",
    "us.gcr.io": "us",
    "eu.gcr.io": "europe",
    "asia.gcr.io": "asia",
}
"""Locations of the repositories that serve gcr.io hosts; the host is their name."""

_DOCKER_HOST = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev")


@dataclass(frozen=True, slots=True)
class PackageName:
    """A package in a repository."""

    project: str
    """The project id, with the colon if it is scoped to a domain."""
    location: str
    repository: str
    package: str

    @property
    def repository_name(self) -> str:
        """The repository's resource name."""
        return repository_name(self.project, self.location, self.repository)


def parse_package_name(host: str, path: str) -> PackageName:
    """
    Read the name of a package in the registry API: ``PROJECT/REPOSITORY/PATH`` at a host.

    A project that is scoped to a domain is two components there:
    https://cloud.google.com/artifact-registry/docs/docker/names#domain

    Raises:
        RegistryError: The host does not belong to Artifact Registry, or the path is too short.

    >>> parse_package_name("us-docker.pkg.dev", "example.com/proj/repo/a/b").project
    'example.com:proj'
    >>> parse_package_name("eu.gcr.io", "proj/app").repository_name
    'projects/proj/locations/europe/repositories/eu.gcr.io'
    """
    host = host.partition(":")[0].lower()
    parts = path.split("/")
    scoped = "." in parts[0] and len(parts) > 1
    project, rest = (":".join(parts[:2]), parts[2:]) if scoped else (parts[0], parts[1:])
    if host in GCR_LOCATIONS:
        location, repository, package = GCR_LOCATIONS[host], host, "/".join(rest)
    elif match := _DOCKER_HOST.fullmatch(host):
        location, repository, package = match[1], "".join(rest[:1]), "/".join(rest[1:])
    else:
        raise RegistryError(404, "NAME_UNKNOWN", f'Host "{host}" serves no repositories')
    if not repository:
        message = f"invalid number of path components: {len(parts)}"
        raise RegistryError(400, "NAME_INVALID", message)
    if not package:
        raise RegistryError(400, "NAME_INVALID", "Missing image name")
    return PackageName(project, location, repository, package)


def repository_name(project: str, location: str, repository: str) -> str:
    """Return the resource name of a repository."""
    return f"projects/{project}/locations/{location}/repositories/{repository}"


def split_repository_name(name: str) -> tuple[str, str, str]:
    """
    Return project, location and id of a repository's resource name.

    >>> split_repository_name("projects/p/locations/us/repositories/r")
    ('p', 'us', 'r')
    """
    _, project, _, location, _, repository = name.split("/")
    return project, location, repository


def registry_uri(name: str) -> str:
    """
    Return where the artifacts of a repository are pulled from.

    >>> registry_uri("projects/example.com:p/locations/us/repositories/r")
    'us-docker.pkg.dev/example.com/p/r'
    """
    project, location, repository = split_repository_name(name)
    path = project.replace(":", "/")
    if repository in GCR_LOCATIONS:
        return f"{repository}/{path}"
    return f"{location}-docker.pkg.dev/{path}/{repository}"


_VERSION = re.compile(
    r"projects/([^/]+)/locations/([^/]+)/repositories/([^/]+)/packages/(.+)/versions/([^/]+)"
)


@dataclass(frozen=True, slots=True)
class ArtifactVersion:
    """A version of a package."""

    package: PackageName
    digest: str


def parse_version_name(name: str) -> ArtifactVersion:
    """
    Read the resource name of a version; the slashes of a package may be escaped.

    Raises:
        GoogleApiError: The name has another form.

    >>> name = "projects/p/locations/us/repositories/r/packages/a%2Fb/versions/sha256:1"
    >>> parse_version_name(name).package.package
    'a/b'
    """
    match = _VERSION.fullmatch(name)
    if match is None:
        raise GoogleApiError(400, f"invalid name of a version: {name!r}")
    project, location, repository, package, digest = match.groups()
    return ArtifactVersion(PackageName(project, location, repository, unquote(package)), digest)
