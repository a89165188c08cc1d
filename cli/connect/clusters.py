"""Connect to the cluster of a command: through a kubeconfig, as kubectl does, or by its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.exits import ExitCode, fail
from cli.terminal import harmless
from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.clients.kubeconfig import connect_by_kubeconfig, read_current_context
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.errors import ConfigurationError, EventError
from shared.settings.keys import Settings

_CONTEXT = ("gke", "PROJECT", "LOCATION", "CLUSTER")
"""Parts of the name that gcloud gives a context, with underscores between."""

ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="CLUSTER", help="The cluster: projects/P/locations/L/clusters/C."
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
    name = None if cluster is None else parse_cluster(cluster)
    kubeconfig = find_kubeconfig(environ)
    try:
        if context is None and name is not None and not environ.get("KUBECONFIG"):
            directory = ClusterDirectory(_endpoints(environ), namespace=settings.namespace)
            return Reached(directory.connect(name))
        if kubeconfig is None:
            fail(
                ExitCode.MISUSED,
                "kubeconfig not found: name the cluster with --cluster, or give files to read"
                " with -f or --from",
            )
        if context is None and name is None:
            context = read_current_context(kubeconfig)
        return _connect(environ, settings, kubeconfig, name or _parse_context(context), context)
    except UnknownClusterError as exc:
        fail(ExitCode.UNAVAILABLE, harmless(str(exc)))
    except ConfigurationError as exc:
        fail(ExitCode.MISCONFIGURED, harmless(str(exc)))
    except EventError as exc:
        fail(ExitCode.UNAVAILABLE, harmless(str(exc)))


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
