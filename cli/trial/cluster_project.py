"""The project of a cluster, for a trial without a configuration."""

from collections.abc import Mapping

from cli.connect.clusters import find_kubeconfig
from shared.clients.kubeconfig import read_current_context
from shared.domain.cluster import ClusterName
from shared.errors import ConfigurationError

_PREFIX = "gke_"


def find_project(
    environ: Mapping[str, str], cluster: str | None, context: str | None
) -> str | None:
    """Return the project that the options name; None if the environment does, or nothing."""
    if environ.get("GOOGLE_CLOUD_PROJECT"):
        return None
    if cluster is not None:
        try:
            return ClusterName.parse(cluster).project
        except ValueError:
            return None
    if context is None:
        path = find_kubeconfig(environ)
        try:
            context = read_current_context(path) if path else None
        except ConfigurationError:
            return None
    if context is None or not context.startswith(_PREFIX):
        return None
    return context.removeprefix(_PREFIX).partition("_")[0]
