"""Nodes, the names of the images on them, and the images that a node holds."""

import re
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from sandbox.kubernetes.bodies import Body

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
    """The specification of a node."""

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
    """None for the taints that GKE adds."""
    images: Iterable[str] = ()
    """Images that it holds from the start."""
    kubelet_version: str = "v1.36.0-gke.1"

    @property
    def region(self) -> str:
        """The region of the zone."""
        return self.zone.rsplit("-", 1)[0]


def make_node(spec: NodeSpec, now: datetime, *, project: str, address: str) -> dict[str, Any]:
    """Return the body of a node that is ready."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": _labels(spec),
            # Commands show by it that durations of this node are not measurements.
            "annotations": {"prestream.dev/simulated": "true"},
        },
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
                "kubeProxyVersion": spec.kubelet_version,
                "kubeletVersion": spec.kubelet_version,
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


_HUB = "docker.io"
_ARTIFACT_REGISTRY = re.compile(r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev")
_CONTAINER_REGISTRY = {
    "gcr.io": "us",
    "us.gcr.io": "us",
    "eu.gcr.io": "europe",
    "asia.gcr.io": "asia",
}


_WRITTEN = re.compile(
    r"([A-Za-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


def is_image_name(text: str) -> bool:
    """
    Whether the kubelet can read a container's image.

    >>> is_image_name("ghcr.io/a/b:1"), is_image_name("Nginx"), is_image_name("a:b:c")
    (True, False, False)
    """
    return _WRITTEN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ImageName:
    """
    The parsed name of an image; its text is the normalized form of containerd.

    The normalized form has either a digest or a tag.

    >>> str(ImageName.parse("nginx"))
    'docker.io/library/nginx:latest'
    >>> str(ImageName.parse("ghcr.io/a/b:1@sha256:12"))
    'ghcr.io/a/b@sha256:12'
    >>> ImageName.parse("us-docker.pkg.dev/p/r/a/b:1").location
    'us'
    """

    host: str
    path: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a container's image, completing Docker's short forms."""
        name, _, digest = text.partition("@")
        head, slash, tail = name.partition("/")
        named = bool(slash) and ("." in head or ":" in head or head == "localhost")
        host, rest = (head, tail) if named else (_HUB, name)
        path, _, tag = rest.partition(":")
        if host == _HUB and "/" not in path:
            path = f"library/{path}"
        return cls(host, path, tag or (None if digest else "latest"), digest or None)

    def __str__(self) -> str:
        end = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.repository}{end}"

    @property
    def repository(self) -> str:
        """Host and path."""
        return f"{self.host}/{self.path}"

    @property
    def identifier(self) -> str:
        """The identifier in requests to the registry: the digest, else the tag."""
        return self.digest or self.tag or "latest"

    @property
    def location(self) -> str | None:
        """Where Google serves it from; None if Google does not."""
        match = _ARTIFACT_REGISTRY.fullmatch(self.host)
        return match["location"] if match else _CONTAINER_REGISTRY.get(self.host)


def is_near(location: str, region: str) -> bool:
    """
    Whether a repository lies in a region, or in the multi-region that contains it.

    >>> is_near("us", "us-central1"), is_near("europe-west1", "us-central1")
    (True, False)
    """
    return location in (region, region.split("-", maxsplit=1)[0])


_REPORTED = 50
"""The number of images that a kubelet reports (``nodeStatusMaxImages``)."""


@dataclass(frozen=True, slots=True)
class PulledImage:
    """An image that a reference names, for the platform of the node."""

    digest: str
    """Digest of the index or the manifest that the reference names."""
    platform_digest: str
    size: int
    """Compressed, in bytes."""
    layers: int
    can_stream: bool = True
    """Whether its form can be streamed: no schema 1, no layer twice."""


class ImageStore:
    """The images that a node holds; safe for threads."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._images: dict[str, PulledImage] = {}
        self._lock = threading.Lock()

    def add(self, name: ImageName, image: PulledImage) -> None:
        """Keep an image under the name by which it was pulled; a tag leaves its old image."""
        tagged = f"{name.repository}:{name.tag}" if name.tag and not name.digest else None
        with self._lock:
            if tagged is not None:
                for names in self._names.values():
                    names.discard(tagged)
            self._images[image.digest] = image
            names = self._names.setdefault(image.digest, set())
            names.add(f"{name.repository}@{image.digest}")
            if tagged is not None:
                names.add(tagged)

    def find(self, name: ImageName) -> PulledImage | None:
        """Return the image that is held under a name."""
        wanted = (
            f"{name.repository}@{name.digest}" if name.digest else f"{name.repository}:{name.tag}"
        )
        with self._lock:
            for digest, names in self._names.items():
                if wanted in names:
                    return self._images[digest]
        return None

    def holds(self, image: PulledImage) -> bool:
        """Whether the node holds the layers of an image, under any name."""
        with self._lock:
            return any(
                held.platform_digest == image.platform_digest for held in self._images.values()
            )

    def report(self) -> list[Body]:
        """Return ``status.images`` of the node: the largest first."""
        with self._lock:
            held = [(self._images[digest].size, names) for digest, names in self._names.items()]
            held.sort(key=lambda image: -image[0])
            return [
                {"names": _ordered(names), "sizeBytes": size} for size, names in held[:_REPORTED]
            ]


def _ordered(names: Iterable[str]) -> list[str]:
    """Put the digest's name first, as the kubelet does."""
    return sorted(names, key=lambda name: ("@" not in name, name))


@dataclass(slots=True)
class NodeSwitches:
    """How the nodes behave; every field may be changed at any time."""

    start_errors: dict[str, str] = field(default_factory=dict)
    """Part of an image's name -> the executable that is not found when its container starts."""
    exit_codes: dict[str, int] = field(default_factory=dict)
    """Part of an image's name -> exit code of its containers."""
    runs_on: set[str] = field(default_factory=set)
    """Parts of names of images whose containers never end by themselves, not even in a Job."""

    def missing_executable(self, image: str) -> str | None:
        """Return the executable that is missing in an image; None if it starts."""
        return next((what for part, what in self.start_errors.items() if part in image), None)

    def exit_code(self, image: str) -> int:
        """Return the exit code of the containers of an image."""
        return next((code for part, code in self.exit_codes.items() if part in image), 0)

    def has_exit_code(self, image: str) -> bool:
        """Return whether an exit code is set for an image."""
        return any(part in image for part in self.exit_codes)

    def never_ends(self, image: str) -> bool:
        """Whether an image's containers run on."""
        return any(part in image for part in self.runs_on)
