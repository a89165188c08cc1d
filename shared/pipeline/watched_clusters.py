"""Which clusters are watched: the one definition of it for all functions that act on a cluster."""

from typing import TYPE_CHECKING

from shared.domain.cluster import Cluster, ClusterName, is_listed

if TYPE_CHECKING:
    from shared.pipeline.ports import Directory
    from shared.settings.keys import Settings


def is_watched(name: ClusterName, settings: "Settings", directory: "Directory") -> bool:
    """
    Whether a cluster is one of those that ``find_watched`` returns.

    With a list, the Container API is not asked. Logs of a folder or an organisation also name
    clusters of projects that are not searched, which our identity may not read.

    Raises:
        UnknownClusterError: The cluster does not exist.
        TransientError: The Container API is unavailable.
        ConfigurationError: It refuses our identity.
    """
    clusters = settings.clusters
    if clusters != "auto" and str(name) in clusters:
        return True
    if name.project not in _projects(settings) or not is_listed(str(name), clusters):
        return False
    return clusters != "auto" or directory.fetch_cluster(name).runs_accelerators


def find_watched(settings: "Settings", directory: "Directory") -> list[Cluster]:
    """
    Return the clusters that the configuration watches; the Container API finds what it must.

    For a cluster that is listed by its full name, only the name is known.

    Raises:
        TransientError: The Container API is unavailable.
        ConfigurationError: It refuses our identity.
    """
    listed = () if settings.clusters == "auto" else settings.clusters
    named = {ClusterName.parse(name) for name in listed if "/" in name}
    if listed and len(named) == len(listed):
        return [Cluster(name) for name in named]
    found = [each for project in _projects(settings) for each in directory.list_clusters(project)]
    if not listed:
        return [each for each in found if each.runs_accelerators]
    known = {each.name for each in found}
    watched = [each for each in found if is_listed(str(each.name), listed)]
    return [*watched, *(Cluster(name) for name in named - known)]


def _projects(settings: "Settings") -> tuple[str, ...]:
    """Return the searched projects, each once: that of the functions first."""
    return tuple(dict.fromkeys((settings.deployment_project, *settings.projects)))
