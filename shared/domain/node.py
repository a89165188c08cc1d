"""A node: the properties that decide whether a warmup can use it."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from shared.domain.image_reference import Digest
from shared.domain.placement import ARCH_KEY, OS_KEY, Toleration

STREAMING_KEY = "cloud.google.com/gke-image-streaming"

_MAX_LISTED_IMAGES = 50
"""
The most images that a kubelet reports, the largest first.

https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ (``nodeStatusMaxImages``)
"""

_UNITS = {"": 1, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18} | {
    f"{prefix}i": 1024.0**power for power, prefix in enumerate("KMGTPE", start=1)
}
_UNKNOWN_BYTES = 1 << 62
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?)(?:[eE]([+]?[0-9]{1,2}))?([a-zA-Z]*)")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a cluster."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, Any], ...]
    is_ready: bool
    image_names: frozenset[str]
    smallest_listed: int
    """The size in bytes from which an image that is not listed is absent; 0 if all are listed."""
    storage_bytes: int | None = None
    """The allocatable ephemeral storage; None if unknown."""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a node from its body in the Kubernetes API."""
        metadata, spec, status = (body.get(key) or {} for key in ("metadata", "spec", "status"))
        images = status.get("images") or []
        ready = any(
            condition.get("type") == "Ready" and condition.get("status") == "True"
            for condition in status.get("conditions") or []
        )
        return cls(
            name=metadata.get("name") or "",
            labels=metadata.get("labels") or {},
            taints=tuple(spec.get("taints") or []),
            is_ready=ready
            and not spec.get("unschedulable")
            and "deletionTimestamp" not in metadata,
            image_names=frozenset(name for image in images for name in image.get("names") or []),
            smallest_listed=_find_smallest(images),
            storage_bytes=_read_bytes((status.get("allocatable") or {}).get("ephemeral-storage")),
        )

    @property
    def platform(self) -> str | None:
        """``os/architecture``, from the labels that every kubelet sets."""
        names = (self.labels.get(OS_KEY), self.labels.get(ARCH_KEY))
        return f"{names[0]}/{names[1]}" if all(names) else None

    @property
    def streams(self) -> bool:
        """Whether image streaming is on."""
        return self.labels.get(STREAMING_KEY) == "true"

    def holds(self, digest: Digest) -> bool:
        """Whether the node reports an image of the digest."""
        return any(name.endswith(f"@{digest}") for name in self.image_names)

    def lacks(self, digest: Digest, image_bytes: int | None) -> bool:
        """
        Whether the node provably does not hold an image of the digest.

        Args:
            digest: The digest of the image.
            image_bytes: Its compressed size, which is at most the size that a kubelet reports.
        """
        is_listed_if_held = self.smallest_listed == 0 or (image_bytes or 0) > self.smallest_listed
        return is_listed_if_held and not self.holds(digest)

    def holds_version(self, repositories: Collection[str]) -> bool:
        """Whether the node reports any image of the repositories, such as ``docker.io/a/b``."""
        return any(
            name.partition("@")[0] in repositories or name.rpartition(":")[0] in repositories
            for name in self.image_names
        )

    def has_room(self, image_bytes: int | None) -> bool:
        """Whether an image of that compressed size may fit on the disk of the node."""
        return self.storage_bytes is None or (image_bytes or 0) <= self.storage_bytes

    def accepts(self, selector: Mapping[str, str], tolerations: Sequence[Toleration]) -> bool:
        """Whether a pod with the selector and the tolerations fits this node."""
        return (
            self.is_ready
            and all(self.labels.get(key) == value for key, value in selector.items())
            and all(
                any(each.tolerates(taint) for each in tolerations)
                for taint in self.taints
                if taint.get("effect") in {"NoSchedule", "NoExecute"}
            )
        )


def _find_smallest(images: Sequence[Mapping[str, Any]]) -> int:
    """Return the size of the smallest listed image if the list may be cut, else 0."""
    if len(images) < _MAX_LISTED_IMAGES:
        return 0
    sizes = [image.get("sizeBytes") for image in images]
    return min(size if isinstance(size, int) else _UNKNOWN_BYTES for size in sizes)


def _read_bytes(quantity: object) -> int | None:
    """
    Return a quantity in bytes; None if it is not one.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/

    >>> _read_bytes("94Ki"), _read_bytes("47093746742"), _read_bytes("1e3"), _read_bytes("x")
    (96256, 47093746742, 1000, None)
    """
    found = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    if found is None or found[3] not in _UNITS:
        return None
    return int(float(found[1]) * 10 ** int(found[2] or 0) * _UNITS[found[3]])
