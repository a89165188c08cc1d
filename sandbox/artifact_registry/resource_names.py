"""Resource names below a repository: packages with their versions and tags."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

from sandbox.artifact_registry.names import PackageName
from sandbox.http_server import ApiError

_RESOURCE = re.compile(
    r"projects/([^/]+)/locations/([^/]+)/repositories/([^/]+)/packages/(.+)/(tags|versions)/([^/]+)"
)


@dataclass(frozen=True, slots=True)
class ArtifactName:
    """A tag or a version of a package."""

    package: PackageName
    kind: Literal["tags", "versions"]
    id: str
    """The tag, or the digest."""


def parse_artifact_name(name: str) -> ArtifactName:
    """
    Read the resource name of a tag or a version; the slashes of a package may be escaped.

    Raises:
        ApiError: It is no such name.

    >>> parse_artifact_name("projects/p/locations/us/repositories/r/packages/a%2Fb/tags/v1").id
    'v1'
    """
    match = _RESOURCE.fullmatch(name)
    if match is None:
        raise ApiError(400, f"invalid name of a tag or a version: {name!r}")
    project, location, repository, package, kind, artifact = match.groups()
    return ArtifactName(
        PackageName(project, location, repository, unquote(package)),
        "tags" if kind == "tags" else "versions",
        artifact,
    )


def package_resource(name: PackageName) -> str:
    """Return the resource name of a package, its slashes escaped."""
    return f"{name.repository_name}/packages/{escaped(name.package)}"


def escaped(package: str) -> str:
    """
    Escape a package as resource names have it.

    >>> escaped("library/busybox")
    'library%2Fbusybox'
    """
    return quote(package, safe="")
