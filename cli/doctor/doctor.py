"""prestream doctor: check whether images can stream here, and print the fix if not."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Self

import typer
import yaml

from cli.connect.clusters import ContextOption, reach_cluster, resolve_clusters
from cli.connect.configuration import ProjectOption, read_settings
from cli.connect.fact_reader import FactReader
from cli.doctor.check import Check, count_verdicts, unknown
from cli.doctor.check_list import print_checks
from cli.doctor.checks.cluster_checks import (
    FoundCluster,
    examine_description,
    examine_inside,
    find_clusters,
)
from cli.doctor.checks.image_checks import ImageChecks
from cli.doctor.checks.project_checks import examine_projects
from cli.doctor.cluster_reads import Cluster, try_call
from cli.doctor.google_reader import GoogleReader
from cli.doctor.image_config import ImageConfigs
from cli.doctor.response import Unavailable
from cli.exits import ExitCode, fail
from cli.terminal import is_watched, make_side_console
from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.domain.cluster import ClusterName
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.settings.keys import Settings

_MANIFESTS = Path(__file__).resolve().parents[2] / "infra" / "kubernetes" / "base"

_UNASKED = frozenset({"image-allowed", "image-place", "mirror-region"})
"""The checks of names and of the configuration, which do not need a service."""

_EXIT_CODES = (
    "Exit codes: 0 nothing failed (what could not be seen is said); 1 something failed; 2 options"
    " that make no sense; 4 an invalid configuration; 5 nothing at all could be looked at."
)


def doctor(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    *,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="IMAGE", help="Explain how this image is pulled."),
    ] = None,
    clusters: Annotated[
        list[str] | None,
        typer.Option(
            "--cluster",
            metavar="CLUSTER",
            help="A cluster: its name, or projects/P/locations/L/clusters/C; may be repeated.",
        ),
    ] = None,
    kube_context: ContextOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
    project: ProjectOption = None,
) -> None:
    """
    Check the requirements of image streaming and Prestream, and print a fix for each fault.

    It looks at the watched clusters (or at those that --cluster names), at their projects and at
    Prestream's own, changes nothing, and works with the rights that it has: anything it cannot read
    is unknown, never ok. With --image it explains why an image is streamed, or is not.
    """
    if image is not None:
        _check_reference(image)
    settings = read_settings(context.obj, project)
    places = _Places.of(context.obj, settings, clusters, kube_context)
    with _watching() as say:
        checks = list(_Run(context.obj, settings, say, places).run(image))
    if as_json:
        typer.echo(json.dumps(_as_json(checks), indent=2))
    else:
        print_checks(checks)
    counted = count_verdicts(checks)
    if counted["failed"]:
        raise typer.Exit(ExitCode.DIFFERENT)
    if all(each.verdict == "unknown" or each.name in _UNASKED for each in checks):
        raise typer.Exit(ExitCode.UNAVAILABLE)


doctor.__doc__ = f"{cleandoc(doctor.__doc__ or '')}\n\n{_EXIT_CODES}"


@dataclass(frozen=True, slots=True)
class _Places:
    """The clusters that the options name; none for the watched ones."""

    named: tuple[ClusterName, ...]
    connected: Mapping[ClusterName, Cluster] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        environ: Mapping[str, str],
        settings: Settings,
        clusters: Sequence[str] | None,
        kube_context: str | None,
    ) -> Self:
        """
        Return the clusters that the options name.

        Raises:
            typer.Exit: One does not exist, or cannot be reached.
        """
        names = resolve_clusters(environ, settings, clusters, context=kube_context)
        if kube_context is None:
            return cls(tuple(map(ClusterName.parse, names)))
        name = names[0] if names else None
        cluster = reach_cluster(environ, settings, name, kube_context).cluster
        return cls((cluster.name,), {cluster.name: cluster})


class _Run:
    """Connects the clients to the checks, each once."""

    def __init__(
        self,
        environ: Mapping[str, str],
        settings: Settings,
        say: Callable[[str], None],
        places: _Places,
    ) -> None:
        self._settings = settings
        self._say = say
        self._now = datetime.now(UTC)
        self._endpoints = Endpoints.from_environ(environ)
        self._inspector = GoogleReader(self._endpoints)
        self._directory = ClusterDirectory(self._endpoints, namespace=settings.namespace)
        self._named = list(places.named)
        self._connected: dict[ClusterName, Cluster | Unavailable] = {**places.connected}

    def run(self, image: str | None) -> Iterator[Check]:
        """Yield the checks in their order."""
        self._say("Looking for clusters")
        found, problems = find_clusters(self._settings, self._inspector, self._named)
        yield from problems
        names = [each.name for each in found]
        self._say("Looking at projects")
        yield from examine_projects(self._settings, self._inspector, names, self._now)
        examination = self._examine_image()
        projects = dict.fromkeys([self._settings.project])
        if image is not None and (place := examination.project_of(image)):
            projects[place] = None
        manifests = _read_manifests()
        for each in found:
            self._say(f"Looking at {each.name}")
            yield from examine_description(self._settings, self._inspector, each, projects)
            yield from self._look_inside(each, manifests)
        if image is not None:
            self._say(f"Looking at {image}")
            yield from examination.examine(image, found) if found else _no_cluster(image)

    def _look_inside(self, found: FoundCluster, manifests: list[Any]) -> Iterator[Check]:
        cluster = self._connect(found.name)
        if isinstance(cluster, Unavailable):
            yield unknown("access", "cluster-api", f"cluster {found.name}", cluster)
            return
        yield from examine_inside(self._settings, found, cluster, manifests)

    def _examine_image(self) -> ImageChecks:
        return ImageChecks(
            self._settings,
            registry=ImageConfigs(emulator_host=self._endpoints.artifact_registry),
            facts=FactReader(
                self._settings.deployment_project, emulator_host=self._endpoints.logging
            ),
            connect=self._connect,
            now=self._now,
        )

    def _connect(self, name: ClusterName) -> Cluster | Unavailable:
        if name not in self._connected:
            self._connected[name] = try_call(
                f"the API server of {name}", lambda: self._directory.connect(name)
            )
        return self._connected[name]


def _no_cluster(image: str) -> Iterator[Check]:
    reason = "its location depends on the cluster: name one with --cluster"
    yield unknown("image", "manifest", image, Unavailable("the image", reason))


def _check_reference(image: str) -> None:
    try:
        parse_reference(image)
    except InvalidReferenceError as exc:
        fail(ExitCode.MISUSED, f"--image: {exc}")


def _read_manifests() -> list[Any]:
    return [
        body
        for path in sorted(_MANIFESTS.glob("rbac-*.yaml"))
        for body in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if body
    ]


def _as_json(checks: list[Check]) -> dict[str, Any]:
    return {"summary": dict(count_verdicts(checks)), "checks": [each.as_json() for each in checks]}


@contextmanager
def _watching() -> Iterator[Callable[[str], None]]:
    """Show the progress on a terminal."""
    if not is_watched():
        yield _say_nothing
        return
    with make_side_console().status("Looking") as status:
        yield status.update


def _say_nothing(text: str) -> None:
    """Show nothing, without a terminal."""
    del text
