"""Whether the existing nodes stream, from their labels and conditions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cli.doctor.check import Check, command, unknown
from cli.doctor.response import Body, Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.json_access import field_at, mapping_of, mappings_of, text_of

STREAMING_LABEL: Final = "cloud.google.com/gke-image-streaming"
_POOL: Final = "cloud.google.com/gke-nodepool"
_ZONE: Final = "topology.kubernetes.io/zone"

_TROUBLES: Final = frozenset(
    {
        "DeprecatedPullingSchemaV1Image",
        "FrequentGcfsSnapshotterRestart",
        "FrequentGcfsdRestart",
        "GcfsSnapshotterMissingLayer",
        "GcfsSnapshotterUnhealthy",
        "GcfsdUnhealthy",
        "SecondaryBootDiskMissingLayer",
    }
)
"""The conditions of nodes for streaming; True is a fault."""

_MAX_NAMED: Final = 3


def labels_of(node: Body) -> Body:
    """Return the labels of a node."""
    return mapping_of(field_at(node, ("metadata", "labels")))


def platforms_of(nodes: Iterable[Body]) -> set[str]:
    """Return the platforms of nodes, in the form of images."""
    infos = [mapping_of(field_at(node, ("status", "nodeInfo"))) for node in nodes]
    return {
        f"{info['operatingSystem']}/{info['architecture']}"
        for info in infos
        if text_of(info.get("operatingSystem")) and text_of(info.get("architecture"))
    }


def check_nodes(
    name: ClusterName, nodes: Sequence[Body] | Unavailable, cold_pools: Iterable[str] = ()
) -> Iterator[Check]:
    """
    Check the nodes of a cluster, pool by pool.

    Args:
        name: The cluster.
        nodes: The nodes, or the reason why they cannot be listed.
        cold_pools: Pools with streaming off, which another check reports.
    """
    if isinstance(nodes, Unavailable):
        yield unknown("nodes", "node-labels", f"nodes of cluster {name.name}", nodes)
        return
    if not nodes:
        unseen = Unavailable(f"nodes of {name}", "the cluster has no node at the moment")
        yield unknown("nodes", "node-labels", f"nodes of cluster {name.name}", unseen)
    pools: dict[str, list[Body]] = defaultdict(list)
    for node in nodes:
        pools[text_of(labels_of(node).get(_POOL)) or "(none)"].append(node)
    for pool, members in sorted(pools.items()):
        if pool not in set(cold_pools):
            yield _check_labels(name, pool, members)
    yield from _check_conditions(name, nodes)


def _check_labels(name: ClusterName, pool: str, nodes: list[Body]) -> Check:
    cold = [node for node in nodes if labels_of(node).get(STREAMING_LABEL) != "true"]
    return Check(
        topic="nodes",
        name="node-labels",
        subject=f"nodes of pool {pool} in cluster {name.name}",
        verdict="failed" if cold else "ok",
        looked_at=f"label {STREAMING_LABEL} of {len(nodes)} nodes in {name}",
        finding=f"{_name(cold)} of {len(nodes)} nodes do not stream: they lack the label, and are"
        " older than the pool's setting or have it off"
        if cold
        else f"all {len(nodes)} nodes stream",
        fix="\n".join(_replace(name, node) for node in cold[:_MAX_NAMED]) or None,
    )


def _check_conditions(name: ClusterName, nodes: Iterable[Body]) -> Iterator[Check]:
    for node in nodes:
        for condition in mappings_of(field_at(node, ("status", "conditions"))):
            kind = text_of(condition.get("type"))
            if kind in _TROUBLES and condition.get("status") == "True":
                yield Check(
                    topic="nodes",
                    name="node-condition",
                    subject=f"node {_node_name(node)} in cluster {name.name}",
                    verdict="failed",
                    looked_at=f"condition {kind} of the node",
                    finding=f"the node reports {kind}: {text_of(condition.get('message')) or ''}",
                    fix=_replace(name, node),
                )


def _node_name(node: Body) -> str:
    return text_of(field_at(node, ("metadata", "name"))) or "?"


def _name(nodes: list[Body]) -> str:
    names = ", ".join(_node_name(node) for node in nodes[:_MAX_NAMED])
    more = len(nodes) - _MAX_NAMED
    return f"{names} and {more} more" if more > 0 else names


def _replace(name: ClusterName, node: Body) -> str:
    """Return commands after which the node's group recreates it."""
    node_name = _node_name(node)
    zone = text_of(labels_of(node).get(_ZONE)) or name.location
    drain = command(
        *("kubectl", f"--context={name.context}", "drain", node_name),
        *("--ignore-daemonsets", "--delete-emptydir-data"),
    )
    delete = command(
        *("gcloud", "compute", "instances", "delete", node_name),
        *(f"--zone={zone}", f"--project={name.project}"),
    )
    return f"{drain} && {delete}"
