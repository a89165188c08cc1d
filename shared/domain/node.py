"""A node: the properties that decide whether a warmup can use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from shared.domain.image_reference import Digest
from shared.domain.placement import ARCH_KEY, OS_KEY, Toleration

STREAMING_KEY = "cloud.google.com/gke-image-streaming"

_MAX_LISTED_IMAGES = 50
"""The most images that a kubelet reports; in a shorter list, a missing image is absent."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a cluster."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, Any], ...]
    is_ready: bool
    image_names: frozenset[str]
    lists_all_images: bool

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
            lists_all_images=len(images) < _MAX_LISTED_IMAGES,
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

    def lacks(self, digest: Digest) -> bool:
        """Whether the node provably does not hold an image of the digest."""
        return self.lists_all_images and not self.holds(digest)

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
