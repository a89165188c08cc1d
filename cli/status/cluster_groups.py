"""The clusters of a command, in groups: one cluster of each group has to be warm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from cli.connect.clusters import parse_cluster, reach_cluster
from cli.connect.service_error import explain
from cli.exits import ExitCode, fail, say
from cli.terminal import harmless
from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.domain.cluster import ClusterName
from shared.errors import EventError
from shared.pipeline.ports import ClusterApi
from shared.pipeline.watched_clusters import find_watched
from shared.settings.keys import Settings

ClustersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster",
        metavar="CLUSTER",
        help="A cluster: its name, or projects/P/locations/L/clusters/C; may be given several"
        " times. By default the watched ones: one of every region, or each (spread in"
        " prestream.yaml).",
    ),
]


@dataclass(frozen=True, slots=True)
class ClusterGroup:
    """A region's clusters, one of which has to be warm, or a single cluster."""

    name: str
    clusters: tuple[ClusterName, ...]


@dataclass(frozen=True, slots=True)
class ClusterGroups:
    """The clusters that a command reads."""

    groups: tuple[ClusterGroup, ...]
    clusters: tuple[ClusterApi, ...]
    """The connections to the clusters that could be reached."""
    unreached: tuple[str, ...] = ()


def find_groups(
    environ: Mapping[str, str], settings: Settings, clusters: Sequence[str] | None
) -> tuple[ClusterGroup, ...]:
    """
    Return the clusters that the options name, else those that are watched.

    Raises:
        typer.Exit: The watched clusters are unknown, or no cluster is watched.
    """
    if clusters:
        named = dict.fromkeys(parse_cluster(each) for each in clusters)
        return tuple(ClusterGroup(str(each), (each,)) for each in named)
    endpoints = Endpoints.from_environ({**environ, "KUBECONFIG": ""})
    directory = ClusterDirectory(endpoints, namespace=settings.namespace)
    try:
        watched = sorted((each.name for each in find_watched(settings, directory)), key=str)
    except EventError as exc:
        fail(
            ExitCode.UNAVAILABLE,
            f"watched clusters cannot be listed: {explain(exc)}; name them with --cluster",
        )
    if not watched:
        fail(ExitCode.MISCONFIGURED, "no cluster is watched (clusters in prestream.yaml)")
    if settings.spread == "cluster":
        return tuple(ClusterGroup(str(each), (each,)) for each in watched)
    regions: dict[str, list[ClusterName]] = {}
    for each in watched:
        regions.setdefault(each.region, []).append(each)
    return tuple(ClusterGroup(name, tuple(members)) for name, members in regions.items())


def reach_groups(
    environ: Mapping[str, str],
    settings: Settings,
    clusters: Sequence[str] | None,
    context: str | None = None,
    *,
    allow_unreached: bool = False,
) -> ClusterGroups:
    """
    Connect to the clusters that the options name, else to those that are watched.

    Args:
        environ: The environment.
        settings: The configuration.
        clusters: Names of clusters.
        context: A context of the kubeconfig, for one cluster.
        allow_unreached: Whether to skip unreachable clusters, with a note.

    Raises:
        typer.Exit: One cannot be reached; or none is watched.
    """
    if context is not None:
        reached = reach_cluster(environ, settings, clusters[0] if clusters else None, context)
        for note in reached.notes:
            say(harmless(note))
        name = reached.cluster.name
        return ClusterGroups((ClusterGroup(str(name), (name,)),), (reached.cluster,))
    groups = find_groups(environ, settings, clusters)
    connected, unreached = [], []
    for name in (each for group in groups for each in group.clusters):
        try:
            connected.append(reach_cluster(environ, settings, str(name), None).cluster)
        except typer.Exit:
            if not allow_unreached:
                raise
            unreached.append(str(name))
    return ClusterGroups(groups, tuple(connected), tuple(unreached))
