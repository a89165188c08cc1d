"""Connect to the cluster of a command: through a kubeconfig, as kubectl does, or by its name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli.connect.service_error import explain
from cli.exits import ExitCode, fail
from cli.terminal import join_some
from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.clients.kubeconfig import connect_by_kubeconfig, read_contexts, read_current_context
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.errors import ConfigurationError, EventError
from shared.settings.keys import Settings

_CONTEXT = ("gke", "PROJECT", "LOCATION", "CLUSTER")
"""Parts of the name that gcloud gives a context, with underscores between."""

_SHORT = re.compile(r"[a-z0-9][a-z0-9-]*")

_NO_KUBECONFIG = (
    "kubeconfig not found: name the cluster with --cluster, or run gcloud container clusters"
    " get-credentials"
)

ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="CLUSTER",
        help="The cluster: its name, or projects/P/locations/L/clusters/C.",
    ),
]

ContextOption = Annotated[
    str | None,
    typer.Option("--context", metavar="CONTEXT", help="The cluster, by a context of KUBECONFIG."),
]


@dataclass(frozen=True, slots=True)
class Reached:
    """A cluster that can be read, and the assumptions about it."""

    cluster: KubernetesCluster
    notes: tuple[str, ...] = ()


def reach_cluster(
    environ: Mapping[str, str], settings: Settings, cluster: str | None, context: str | None
) -> Reached:
    """
    Connect to the cluster that the options name, else to kubectl's.

    Raises:
        typer.Exit: The cluster does not exist or cannot be reached.
    """
    finder = _ClusterFinder(environ, settings, offline=False)
    name = None if cluster is None else finder.find(cluster)
    kubeconfig = find_kubeconfig(environ)
    try:
        if context is None and name is not None and not environ.get("KUBECONFIG"):
            directory = ClusterDirectory(_endpoints(environ), namespace=settings.namespace)
            return Reached(directory.connect(name))
        if kubeconfig is None:
            fail(ExitCode.MISUSED, _NO_KUBECONFIG)
        if context is None and name is None:
            context = read_current_context(kubeconfig)
        elif context is not None:
            _check_context(context, kubeconfig)
        return _connect(environ, settings, kubeconfig, name or _parse_context(context), context)
    except ConfigurationError as exc:
        fail(ExitCode.MISCONFIGURED, explain(exc))
    except (EventError, UnknownClusterError) as exc:
        fail(ExitCode.UNAVAILABLE, explain(exc))


def _check_context(context: str, kubeconfig: str) -> None:
    """
    Check that a context exists.

    Raises:
        ConfigurationError: The kubeconfig cannot be read.
        typer.Exit: It lacks the context.
    """
    known = read_contexts(kubeconfig)
    if context not in known:
        fail(
            ExitCode.MISUSED,
            f"--context: no context {context!r} in {kubeconfig}; it has"
            f" {join_some(sorted(known), most=5) or 'none'}: run gcloud container clusters"
            " get-credentials",
        )


def parse_cluster(text: str) -> ClusterName:
    """
    Parse the option that names a cluster.

    Raises:
        typer.Exit: It names none.
    """
    try:
        return ClusterName.parse(text)
    except ValueError as exc:
        fail(ExitCode.MISUSED, f"--cluster: {exc}")


def resolve_clusters(
    environ: Mapping[str, str],
    settings: Settings,
    clusters: Sequence[str] | None,
    *,
    context: str | None = None,
    offline: bool = False,
) -> list[str]:
    """
    Return the full names of clusters, which options may name by their last part.

    Contexts of the kubeconfig are searched first, then the projects of the configuration.

    Raises:
        typer.Exit: A name belongs to no cluster or to several, the projects cannot be read, or a
            context is named beside several clusters.
    """
    if context is not None and clusters and len(clusters) > 1:
        fail(ExitCode.MISUSED, "--context is one cluster: give --cluster once at most")
    finder = _ClusterFinder(environ, settings, offline=offline)
    return [str(finder.find(each)) for each in clusters or ()]


class _ClusterFinder:
    """Finds clusters by their last part."""

    def __init__(self, environ: Mapping[str, str], settings: Settings, *, offline: bool) -> None:
        self._environ = environ
        self._settings = settings
        self._offline = offline

    def find(self, text: str) -> ClusterName:
        if not _SHORT.fullmatch(text):
            return parse_cluster(text)
        found = self._in_kubeconfig(text)
        if not found and self._offline:
            fail(
                ExitCode.MISUSED,
                f"--cluster: {text!r} is not projects/P/locations/L/clusters/C, and --offline does"
                " not search for it",
            )
        found = found or self._in_projects(text)
        if len(found) != 1:
            self._refuse(text, found)
        return found[0]

    def _refuse(self, text: str, found: Sequence[ClusterName]) -> NoReturn:
        if found:
            names = ", ".join(sorted(map(str, found)))
            fail(ExitCode.MISUSED, f"--cluster: {text!r} may be {names}: give one of these names")
        projects = ", ".join(self._projects) or "the kubeconfig"
        fail(
            ExitCode.MISUSED,
            f"--cluster: no cluster has the name {text!r} in {projects}: see gcloud container"
            " clusters list, or give projects/P/locations/L/clusters/C",
        )

    @property
    def _projects(self) -> list[str]:
        settings = self._settings
        return [
            each
            for each in dict.fromkeys((settings.deployment_project, *settings.projects))
            if each
        ]

    def _in_kubeconfig(self, text: str) -> list[ClusterName]:
        path = find_kubeconfig(self._environ)
        try:
            contexts = read_contexts(path) if path else []
        except ConfigurationError:
            contexts = []
        return [
            _parse_context(each)
            for each in contexts
            if each.split("_")[0] == _CONTEXT[0] and each.split("_")[3:] == [text]
        ]

    def _in_projects(self, text: str) -> list[ClusterName]:
        directory = ClusterDirectory(_endpoints(self._environ), namespace=self._settings.namespace)
        try:
            names = [
                each.name for project in self._projects for each in directory.list_clusters(project)
            ]
        except EventError as exc:
            fail(
                ExitCode.UNAVAILABLE,
                f"--cluster: {text!r} cannot be looked up: {explain(exc)}, or give"
                " projects/P/locations/L/clusters/C",
            )
        return [each for each in names if each.name == text]


def _connect(
    environ: Mapping[str, str],
    settings: Settings,
    kubeconfig: str,
    name: ClusterName,
    context: str | None,
) -> Reached:
    client = connect_by_kubeconfig(kubeconfig, name, context)
    is_autopilot, notes = _ask_whether_autopilot(environ, settings, name)
    return Reached(
        KubernetesCluster(name, client, namespace=settings.namespace, is_autopilot=is_autopilot),
        notes,
    )


def _ask_whether_autopilot(
    environ: Mapping[str, str], settings: Settings, name: ClusterName
) -> tuple[bool, tuple[str, ...]]:
    """Ask the Container API whether GKE creates the cluster's nodes, which a kubeconfig lacks."""
    directory = ClusterDirectory(_endpoints(environ), namespace=settings.namespace)
    try:
        known = {each.name: each for each in directory.list_clusters(name.project)}
    except EventError as exc:
        return False, (f"assumed that the cluster is not on Autopilot: {exc}",)
    return name in known and known[name].is_autopilot, ()


def _endpoints(environ: Mapping[str, str]) -> Endpoints:
    """Return the addresses of the services; the Container API finds clusters."""
    return Endpoints.from_environ({**environ, "KUBECONFIG": ""})


def find_kubeconfig(environ: Mapping[str, str]) -> str | None:
    """Return the path of the kubeconfig that kubectl reads."""
    if named := environ.get("KUBECONFIG"):
        return named
    path = Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"
    return str(path) if path.exists() else None


def _parse_context(context: str | None) -> ClusterName:
    """
    Return the cluster of a context that has the form of gcloud's names.

    Raises:
        typer.Exit: The context has another form.
    """
    parts = (context or "").split("_")
    if len(parts) != len(_CONTEXT) or parts[0] != _CONTEXT[0]:
        fail(
            ExitCode.MISUSED,
            f"context {context!r} does not name a GKE cluster, so the location of its mirrors is"
            " unknown: add --cluster projects/P/locations/L/clusters/C",
        )
    _, project, location, name = parts
    return parse_cluster(f"projects/{project}/locations/{location}/clusters/{name}")
