"""Read with which service account a node pulled, and which accounts have to prove a mirror."""

from typing import TYPE_CHECKING

from shared.domain.json_access import field_at, text_of
from shared.domain.node import Node
from shared.domain.node_accounts import (
    NODE_POOL_KEY,
    FailedPuller,
    MirrorPulls,
    NodeAccounts,
    Puller,
)

if TYPE_CHECKING:
    from shared.pipeline.ports import ClusterApi


def read_puller(
    cluster: "ClusterApi", accounts: NodeAccounts, node: str | None, pulls: MirrorPulls
) -> Puller:
    """
    Return the account of a node, and the other accounts that have to pull and have not.

    Nodes are read only if the pools of the cluster have more than one account.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    account = _read_account(cluster, accounts, node)
    done = pulls.pulled | {account}
    others = frozenset(accounts.by_pool[each] for each in accounts.accelerator_pools) - done
    required = frozenset(
        accounts.by_pool[pool]
        for pool in accounts.list_accelerator_pools(others)
        if _has_ready_node(cluster, pool)
    )
    return Puller(account, required, accounts.known)


def read_failed_puller(
    cluster: "ClusterApi", accounts: NodeAccounts | None, node: str | None
) -> FailedPuller:
    """
    Return the account of a node that failed to pull.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    if accounts is None:
        return FailedPuller()
    return FailedPuller(_read_account(cluster, accounts, node), accounts.known)


def _read_account(cluster: "ClusterApi", accounts: NodeAccounts, node: str | None) -> str | None:
    if (only := accounts.find(None)) is not None or node is None:
        return only
    labels = field_at(cluster.fetch_node(node), ["metadata", "labels"])
    return accounts.find(text_of(field_at(labels, [NODE_POOL_KEY])))


def _has_ready_node(cluster: "ClusterApi", pool: str) -> bool:
    nodes = cluster.list_nodes(f"{NODE_POOL_KEY}={pool}")
    return any(Node.from_body(each).is_ready for each in nodes)
