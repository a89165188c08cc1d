"""
The service accounts of nodes: a mirror is proven for those that have pulled from it.

The nodes of a pool pull with the account of the pool, so a mirror that the nodes of one pool can
read may be closed to another pool.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from shared.domain.json_access import field_at, list_of, mapping_of, text_of
from shared.domain.node_pool import (
    account_of,
    has_accelerators,
    is_autopilot,
    makes_pools,
    pools_of,
)

ACCOUNTS_ANNOTATION: Final = "prestream.dev/node-accounts"
"""
Annotation of the ConfigMap: by upstream without a proven mirror, the accounts that have pulled from
the mirror, and those whose pulls failed.
"""

NODE_POOL_KEY: Final = "cloud.google.com/gke-nodepool"


@dataclass(frozen=True, slots=True)
class NodeAccounts:
    """The accounts of a cluster's node pools."""

    by_pool: Mapping[str, str]
    accelerator_pools: frozenset[str]

    @property
    def known(self) -> frozenset[str]:
        """All accounts of nodes."""
        return frozenset(self.by_pool.values())

    def find(self, pool: str | None) -> str | None:
        """Return the account of a pool; that of every pool if there is only one."""
        if len(self.known) == 1:
            return next(iter(self.known))
        return None if pool is None else self.by_pool.get(pool)

    def list_accelerator_pools(self, accounts: frozenset[str]) -> list[str]:
        """Return the accelerator pools of some accounts, in order."""
        return sorted(each for each in self.accelerator_pools if self.by_pool[each] in accounts)


def node_accounts_of(cluster: Mapping[str, Any]) -> NodeAccounts | None:
    """Return the service accounts of a cluster's nodes; None if GKE makes pools on demand."""
    if is_autopilot(cluster) or makes_pools(cluster):
        return None
    pools = {text_of(pool.get("name")) or "": pool for pool in pools_of(cluster)}
    return NodeAccounts(
        {name: account_of(mapping_of(pool.get("config"))) for name, pool in pools.items()},
        frozenset(name for name, pool in pools.items() if has_accelerators(pool)),
    )


@dataclass(frozen=True, slots=True)
class MirrorPulls:
    """The accounts whose pulls from a mirror succeeded or failed since it was last proven."""

    pulled: frozenset[str] = field(default_factory=frozenset)
    failed: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def read(cls, config_map: Mapping[str, Any], host: str) -> Self:
        """Read them for an upstream; an invalid annotation counts as empty."""
        fields = read_pulls(config_map).get(host)
        pulled, failed = (list_of(field_at(fields, [key])) for key in ("pulled", "failed"))
        return cls(frozenset(map(str, pulled)), frozenset(map(str, failed)))

    def add(self, account: str) -> "MirrorPulls":
        """Return them after a pull by an account."""
        return MirrorPulls(self.pulled | {account}, self.failed - {account})

    def find_missing(self, required: frozenset[str], known: frozenset[str]) -> frozenset[str]:
        """Return the accounts that must pull before the mirror is proven."""
        return (required | (self.failed & known)) - self.pulled

    def as_json(self) -> dict[str, list[str]]:
        """Return the entry of the annotation."""
        return {"pulled": sorted(self.pulled), "failed": sorted(self.failed)}


@dataclass(frozen=True, slots=True)
class Puller:
    """The account with which a node pulled, in a cluster whose accounts are known."""

    account: str | None
    """None if the pool of the node is unknown: its pull proves nothing."""
    required: frozenset[str]
    """The accounts of accelerator pools with a ready node that have not pulled yet."""
    known: frozenset[str]
    """All accounts of nodes."""


@dataclass(frozen=True, slots=True)
class FailedPuller:
    """The account with which a node failed to pull, and the pods that wait for the mirror."""

    account: str | None = None
    """None if unknown."""
    known: frozenset[str] = frozenset()
    """All accounts of nodes; empty if unknown."""
    waiting: tuple[str, ...] = ()
    """``NAMESPACE/NAME`` of the pods."""


def read_pulls(config_map: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of the annotation by upstream; an invalid annotation counts as empty."""
    try:
        text = field_at(config_map, ["metadata", "annotations", ACCOUNTS_ANNOTATION])
        return dict(mapping_of(json.loads(text or "{}")))
    except (TypeError, ValueError, RecursionError):
        return {}
