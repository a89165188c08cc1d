"""GKE's nodes as the API server knows them."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
_MACHINES = {
    None: ("e2-standard-4", 4, 16),
    "nvidia-tesla-t4": ("n1-standard-8", 8, 30),
    "nvidia-l4": ("g2-standard-12", 12, 48),
    "nvidia-tesla-a100": ("a2-highgpu-1g", 12, 85),
    "nvidia-h100-80gb": ("a3-highgpu-8g", 208, 1872),
}
"""Machine type, CPUs and GiB of memory by accelerator."""
_CPU_RESERVED_M = 80
_MEMORY_RESERVED_GI = 2
_PODS = 110


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What a node is made of."""

    name: str
    pool: str
    accelerator: str | None = None
    accelerator_count: int = 1
    spot: bool = False
    streaming: bool = True
    arch: str = "amd64"
    zone: str = "us-central1-a"
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Iterable[Mapping[str, str]] | None = None
    """None for those that GKE gives."""
    images: Iterable[str] = ()
    """What it holds from the start."""

    @property
    def region(self) -> str:
        """The region of the zone."""
        return self.zone.rsplit("-", 1)[0]


def make_node(
    spec: NodeSpec, now: datetime, *, project: str, version: str, address: str
) -> dict[str, Any]:
    """Return the body of a node that is ready."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": _labels(spec)},
        "spec": {
            "podCIDR": "10.4.0.0/24",
            "providerID": f"gce://{project}/{spec.zone}/{spec.name}",
            "taints": _taints(spec),
        },
        "status": {
            **_resources(spec),
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": spec.name},
            ],
            "conditions": _conditions(stamp),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "images": [],
            "nodeInfo": {
                "architecture": spec.arch,
                "bootID": str(uuid.uuid4()),
                "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.6.97+",
                "kubeProxyVersion": version,
                "kubeletVersion": version,
                "machineID": uuid.uuid4().hex,
                "operatingSystem": "linux",
                "osImage": "Container-Optimized OS from Google",
                "systemUUID": str(uuid.uuid4()),
            },
        },
    }


def _labels(spec: NodeSpec) -> dict[str, str]:
    machine = _MACHINES.get(spec.accelerator, _MACHINES["nvidia-l4"])[0]
    labels = {
        "beta.kubernetes.io/arch": spec.arch,
        "beta.kubernetes.io/os": "linux",
        "cloud.google.com/gke-container-runtime": "containerd",
        "cloud.google.com/gke-nodepool": spec.pool,
        "cloud.google.com/gke-os-distribution": "cos",
        "cloud.google.com/gke-provisioning": "spot" if spec.spot else "standard",
        "cloud.google.com/machine-family": machine.split("-", maxsplit=1)[0],
        "kubernetes.io/arch": spec.arch,
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": machine,
        "topology.kubernetes.io/region": spec.region,
        "topology.kubernetes.io/zone": spec.zone,
    }
    if spec.accelerator:
        labels["cloud.google.com/gke-accelerator"] = spec.accelerator
        labels["cloud.google.com/gke-accelerator-count"] = str(spec.accelerator_count)
    if spec.spot:
        labels["cloud.google.com/gke-spot"] = "true"
    if spec.streaming:
        labels["cloud.google.com/gke-image-streaming"] = "true"
        labels["cloud.google.com/gke-gcfs"] = "true"
    return {**labels, **spec.labels}


def _taints(spec: NodeSpec) -> list[dict[str, str]]:
    if spec.taints is not None:
        return [dict(taint) for taint in spec.taints]
    return [dict(_GPU_TAINT)] if spec.accelerator else []


def _resources(spec: NodeSpec) -> dict[str, dict[str, str]]:
    _, cpus, memory_gi = _MACHINES.get(spec.accelerator, _MACHINES["nvidia-l4"])
    rest = {"ephemeral-storage": "98831908Ki", "hugepages-2Mi": "0", "pods": str(_PODS)}
    if spec.accelerator:
        rest["nvidia.com/gpu"] = str(spec.accelerator_count)
    return {
        "capacity": {"cpu": str(cpus), "memory": f"{memory_gi}Gi", **rest},
        "allocatable": {
            "cpu": f"{cpus * 1000 - _CPU_RESERVED_M}m",
            "memory": f"{memory_gi - _MEMORY_RESERVED_GI}Gi",
            **rest,
        },
    }


def _conditions(stamp: str) -> list[dict[str, str]]:
    times = {"lastHeartbeatTime": stamp, "lastTransitionTime": stamp}
    fine = {
        "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    }
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
    }
    return [
        {"type": kind, "status": "False", "reason": reason, "message": message, **times}
        for kind, (reason, message) in fine.items()
    ] + [{**ready, **times}]
