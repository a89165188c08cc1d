"""The configuration of a command: the file, the environment, and the options."""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from cli.connect.gcloud import read_gcloud_project
from cli.exits import ExitCode, fail
from shared.domain.cluster import region_of
from shared.domain.mirror import RepositoryName, make_repository_id
from shared.domain.proven_mirrors import Proof
from shared.errors import ConfigurationError
from shared.settings.keys import Settings, load_settings

_LOCATION = re.compile(r"us|europe|asia|[a-z]+-[a-z]+[0-9]+(?:-[a-z])?")

_NO_PROJECT = "project: missing, set GOOGLE_CLOUD_PROJECT or this key"
_MORE_WAYS = " (or --project, or gcloud config set project PROJECT)"

ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project", metavar="PROJECT", help="Project of the mirrors; by default gcloud's."
    ),
]

LocationOption = Annotated[
    str | None,
    typer.Option(
        "--location",
        metavar="LOCATION",
        help="Location of the mirrors: a region, or us, europe or asia.",
    ),
]


def read_settings(environ: Mapping[str, str], project: str | None) -> Settings:
    """
    Load the settings; the option ``--project`` overrides the file.

    Raises:
        typer.Exit: They are invalid.
    """
    try:
        settings = _load(environ, project)
    except ConfigurationError as exc:
        fail(ExitCode.MISCONFIGURED, str(exc).replace(_NO_PROJECT, f"{_NO_PROJECT}{_MORE_WAYS}"))
    return msgspec.structs.replace(settings, project=project) if project else settings


def _load(environ: Mapping[str, str], project: str | None) -> Settings:
    """Load the settings; gcloud's project counts if neither an option nor they name one."""
    if project:
        return load_settings({**environ, "GOOGLE_CLOUD_PROJECT": project})
    try:
        return load_settings(environ)
    except ConfigurationError as exc:
        found = read_gcloud_project(environ) if _NO_PROJECT in str(exc) else None
        if found is None:
            raise
        return load_settings({**environ, "GOOGLE_CLOUD_PROJECT": found})


def pick_location(settings: Settings, location: str | None) -> str:
    """
    Return the location of the mirrors from the option, or else from the file.

    Raises:
        typer.Exit: Neither names one location; the file may leave it to each cluster.
    """
    if location:
        if not _LOCATION.fullmatch(location):
            fail(ExitCode.MISUSED, f"--location: not a location of Google Cloud: {location!r}")
        return region_of(location)
    if settings.location in {"region", "multi-region"}:
        fail(
            ExitCode.MISCONFIGURED,
            f"mirrors are in the {settings.location} of each cluster (location in prestream.yaml):"
            " choose one with --location",
        )
    return settings.location


def configured_mirrors(settings: Settings, location: str) -> dict[str, Proof]:
    """
    Return the mirrors that the configuration describes, as if each were proven.

    A file does not show its cluster, so its proven mirrors are unknown.
    """
    return {
        host: Proof(_mirror_of(settings, location, host), upstream.paths)
        for host, upstream in settings.upstreams.items()
        if upstream.is_mirrored and (upstream.paths or not upstream.has_credentials)
    }


def _mirror_of(settings: Settings, location: str, host: str) -> str:
    repository_id = settings.upstreams[host].repository or make_repository_id(host)
    name = RepositoryName(settings.project, location, repository_id)
    return f"{name.registry}/{name.path}"
