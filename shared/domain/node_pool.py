"""The properties of clusters and node pools in the Container API that matter for streaming."""

from collections.abc import Mapping
from typing import Any, Final

from shared.domain.json_access import field_at, mapping_of, mappings_of, text_of

_TPU_MACHINES: Final = ("ct", "tpu")
_ARM_MACHINES: Final = ("t2a-", "c4a-", "n4a-", "a4x-")

_DEFAULT_ACCOUNT: Final = "default"
_DEFAULT_SUFFIX: Final = "-compute@developer.gserviceaccount.com"


def is_autopilot(cluster: Mapping[str, Any]) -> bool:
    """Whether GKE creates the cluster's nodes, which then all stream."""
    return field_at(cluster, ("autopilot", "enabled")) is True


def makes_pools(cluster: Mapping[str, Any]) -> bool:
    """Whether GKE creates node pools on demand (node auto-provisioning)."""
    return field_at(cluster, ("autoscaling", "enableNodeAutoprovisioning")) is True


def pools_of(cluster: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the node pools of a cluster."""
    return mappings_of(cluster.get("nodePools"))


def has_accelerators(pool: Mapping[str, Any]) -> bool:
    """
    Whether the nodes of a pool have GPUs or TPUs; the machine type implies TPUs.

    https://docs.cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus#availability
    """
    config = mapping_of(pool.get("config"))
    return bool(
        config.get("accelerators")
        or field_at(pool, ("placementPolicy", "tpuTopology"))
        or (text_of(config.get("machineType")) or "").startswith(_TPU_MACHINES)
    )


def streams_by_default(cluster: Mapping[str, Any]) -> bool:
    """Whether pools stream by default."""
    path = ("nodePoolDefaults", "nodeConfigDefaults", "gcfsConfig", "enabled")
    return field_at(cluster, path) is True


def streams(pool: Mapping[str, Any], cluster: Mapping[str, Any]) -> bool:
    """
    Whether image streaming is on in a pool: its own setting, or else the cluster's.

    https://docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming
    """
    own = field_at(pool, ("config", "gcfsConfig"))
    return streams_by_default(cluster) if own is None else field_at(own, ("enabled",)) is True


def platform_of(pool: Mapping[str, Any]) -> str:
    """
    Return the platform of a pool's nodes, from the series of its machines.

    https://docs.cloud.google.com/kubernetes-engine/docs/concepts/arm-on-gke

    >>> platform_of({"config": {"machineType": "t2a-standard-4"}})
    'linux/arm64'
    """
    machine = text_of(field_at(pool, ("config", "machineType"))) or ""
    return "linux/arm64" if machine.startswith(_ARM_MACHINES) else "linux/amd64"


def accounts_of(cluster: Mapping[str, Any]) -> list[str]:
    """Return the service accounts of a cluster's nodes; ``default`` is Compute Engine's own."""
    configs = [mapping_of(pool.get("config")) for pool in pools_of(cluster)]
    if is_autopilot(cluster) or makes_pools(cluster):
        path = ("autoscaling", "autoprovisioningNodePoolDefaults")
        configs.append(mapping_of(field_at(cluster, path)))
    return list(dict.fromkeys(map(account_of, configs)))


def account_of(config: Mapping[str, Any]) -> str:
    """Return the service account in the configuration of a node pool."""
    return text_of(config.get("serviceAccount")) or _DEFAULT_ACCOUNT


def is_default_account(account: str) -> bool:
    """Whether a service account is the default one that Compute Engine creates in a project."""
    return account == _DEFAULT_ACCOUNT or account.endswith(_DEFAULT_SUFFIX)
