"""
The ladder: which way an image can be warmed in a cluster, without disturbing it.

Each rung says which nodes it could use; the first that can serve is taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from shared.domain.image_reference import Digest
from shared.domain.placement import (
    ACCELERATOR_KEY,
    ARCH_KEY,
    COMPUTE_CLASS_KEY,
    DEFAULT_PLATFORM,
    OS_KEY,
    SPOT_KEY,
    TPU_KEY,
    Placement,
    Toleration,
)

PREWARM_RUNG = "prewarm-api"
"""The rung that needs no node."""

STREAMING_KEY = "cloud.google.com/gke-image-streaming"
WARM_POOL_TAINT = "prestream.dev/warmup"

PRIORITY_CLASS = "prestream-warmup"
SCALING_PRIORITY_CLASS = "prestream-warmup-scaling"

_GPU_TOLERATION = Toleration("nvidia.com/gpu", "Exists", effect="NoSchedule")
_TPU_TOLERATION = Toleration("google.com/tpu", "Exists", effect="NoSchedule")
_WARM_POOL_TOLERATION = Toleration(WARM_POOL_TAINT, "Exists", effect="NoSchedule")

_MAX_NAMED_NODES = 20

_MAX_LISTED_IMAGES = 50
"""A kubelet reports at most so many images: with fewer, an image that is not listed is absent."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node, as far as choosing a rung needs to know it."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, Any], ...]
    is_ready: bool
    image_names: frozenset[str]
    lists_all_images: bool

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a node as the Kubernetes API describes it."""
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
        """``os/architecture``, by the labels that every kubelet sets."""
        names = (self.labels.get(OS_KEY), self.labels.get(ARCH_KEY))
        return f"{names[0]}/{names[1]}" if all(names) else None

    @property
    def streams(self) -> bool:
        """Whether image streaming is on."""
        return self.labels.get(STREAMING_KEY) == "true"

    def holds(self, digest: Digest) -> bool:
        """Whether the node says that it holds an image of that digest."""
        return any(name.endswith(f"@{digest}") for name in self.image_names)

    def lacks(self, digest: Digest) -> bool:
        """Whether the node demonstrably holds no image of that digest."""
        return self.lists_all_images and not self.holds(digest)

    def accepts(self, selector: Mapping[str, str], tolerations: Sequence[Toleration]) -> bool:
        """Whether a pod with that selector and those tolerations can be scheduled here."""
        return (
            self.is_ready
            and all(self.labels.get(key) == value for key, value in selector.items())
            and all(
                any(each.tolerates(taint) for each in tolerations)
                for taint in self.taints
                if taint.get("effect") in {"NoSchedule", "NoExecute"}
            )
        )


@dataclass(frozen=True, slots=True)
class Rung:
    """A way to warm: which nodes it could use, and whether one must be there beforehand."""

    name: str
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    needs_node: bool
    """Whether it serves only where a ready node exists."""
    may_add_node: bool
    """Whether the autoscaler may add a node for it, where none is ready."""
    is_autopilot: bool = False
    """Whether the cluster itself makes the nodes that its pods need."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How an image is warmed: a rung, and what the pod says of its node."""

    rung: str
    platform: str
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    priority_class: str
    avoided_nodes: tuple[str, ...] = field(default=())
    """Nodes that hold the image already: pulling it there again would tell nothing."""
    lacking_nodes: tuple[str, ...] = field(default=())
    """Nodes that demonstrably did not hold the image when the warmup was made."""
    is_autopilot: bool = False


class RungUnavailableError(Exception):
    """A rung cannot serve; the message says why."""


def plan_rung(name: str, target: Placement, platform: str | None, *, is_autopilot: bool) -> Rung:
    """
    Tell which nodes a rung could use.

    Args:
        name: The rung, as the configuration names it.
        target: The placement that is asked for, reduced to the allowed keys.
        platform: ``os/architecture`` of the nodes; None where it is not known.
        is_autopilot: Whether the cluster makes its own nodes, and streams on all of them.

    Raises:
        RungUnavailableError: It can serve on no node of this cluster.
    """
    base = _platform_selector(platform)
    if name == "any-node":
        return _plan_any_node(base or _platform_selector(DEFAULT_PLATFORM), is_autopilot)
    if name == PREWARM_RUNG:
        raise RungUnavailableError("asks Artifact Registry, and no node")
    if is_autopilot:
        raise RungUnavailableError(
            "on Autopilot a node with an accelerator comes only to a pod that requests one"
        )
    if not target.node_selector:
        raise RungUnavailableError("the target names no kind of node")
    wants_node = name == "new-gpu-node"
    return Rung(
        name,
        {**dict(target.node_selector), **base},
        _with_accelerators(target),
        needs_node=not wants_node,
        may_add_node=wants_node,
    )


def plan_warm_pool(platform: str | None) -> Rung:
    """
    Tell how ``any-node`` is served by the warm pool, whose nodes come only when one is wanted.

    Raises:
        RungUnavailableError: Its machines are of another platform.
    """
    if platform not in {None, DEFAULT_PLATFORM}:
        raise RungUnavailableError(f"the warm pool has no nodes of {platform}")
    selector = {**_platform_selector(DEFAULT_PLATFORM), WARM_POOL_TAINT: "true"}
    return Rung("any-node", selector, (_WARM_POOL_TOLERATION,), needs_node=False, may_add_node=True)


def serve_rung(
    rung: Rung, nodes: Iterable[Node], digest: Digest | None, *, platform: str | None
) -> Strategy:
    """
    Return how a rung warms an image, given the nodes that match its selector.

    Without a digest, nothing is said of the nodes that hold the image.

    Raises:
        RungUnavailableError: It needs a ready node, and there is none.
    """
    candidates = [node for node in nodes if node.accepts(rung.node_selector, rung.tolerations)]
    if rung.needs_node and not candidates:
        raise RungUnavailableError(f"no ready node has {_describe(rung.node_selector)}")
    chosen = platform or _choose_platform(candidates)
    selector = {**rung.node_selector, **_platform_selector(chosen)}
    fitting = [node for node in candidates if node.accepts(selector, rung.tolerations)]
    # Autopilot keeps no room to spare, so that a pod it adds no node for may wait for ever.
    adds_node = rung.may_add_node and (rung.is_autopilot or not fitting)
    return Strategy(
        rung=rung.name,
        platform=chosen,
        node_selector=selector,
        tolerations=rung.tolerations,
        priority_class=SCALING_PRIORITY_CLASS if adds_node else PRIORITY_CLASS,
        avoided_nodes=_names(node for node in fitting if digest and node.holds(digest)),
        lacking_nodes=_names(node for node in fitting if digest and node.lacks(digest)),
        is_autopilot=rung.is_autopilot,
    )


def find_targets(nodes: Iterable[Node]) -> list[Placement]:
    """Return a placement for each kind of accelerator node; one for any node if there is none."""
    found = set()
    for node in nodes:
        accelerator = node.labels.get(ACCELERATOR_KEY)
        if not accelerator:
            continue
        spot = {SPOT_KEY: "true"} if node.labels.get(SPOT_KEY) == "true" else {}
        tolerations = [Toleration(key, "Exists") for key in spot]
        found.add(Placement.of({ACCELERATOR_KEY: accelerator, **spot}, tolerations))
    return sorted(found, key=lambda placement: placement.canonical) or [Placement()]


def with_platform(target: Placement, platform: str | None) -> Placement:
    """Return a target that also says the platform, where it is not the usual one."""
    if platform in {None, DEFAULT_PLATFORM}:
        return target
    return Placement.of(
        {**dict(target.node_selector), **_platform_selector(platform)}, target.tolerations
    )


def platform_of(target: Placement) -> str | None:
    """Return the platform that a target itself asks for; None if it leaves that open."""
    selector = dict(target.node_selector)
    arch = selector.get(ARCH_KEY)
    return f"{selector.get(OS_KEY, 'linux')}/{arch}" if arch else None


def _plan_any_node(base: dict[str, str], is_autopilot: bool) -> Rung:  # noqa: FBT001
    """Plan the rung for which any node that streams will do: the cache is the region's."""
    if is_autopilot:
        # Every node there streams, so no new one has the label; and a toleration without the
        # selector of the same key would ask for a node of its own.
        return Rung("any-node", base, (), needs_node=False, may_add_node=True, is_autopilot=True)
    return Rung(
        "any-node",
        {**base, STREAMING_KEY: "true"},
        (_GPU_TOLERATION, _TPU_TOLERATION, _WARM_POOL_TOLERATION),
        needs_node=True,
        may_add_node=False,
    )


def _choose_platform(nodes: Iterable[Node]) -> str:
    """Return the usual platform if a node has it, else one that a node has."""
    found = sorted({node.platform for node in nodes if node.platform})
    return DEFAULT_PLATFORM if DEFAULT_PLATFORM in found or not found else found[0]


def _platform_selector(platform: str | None) -> dict[str, str]:
    if platform is None:
        return {}
    system, _, rest = platform.partition("/")
    return {OS_KEY: system, ARCH_KEY: rest.partition("/")[0]}


def _with_accelerators(target: Placement) -> tuple[Toleration, ...]:
    selector = dict(target.node_selector)
    extra = [_GPU_TOLERATION]
    if TPU_KEY in selector:
        extra.append(_TPU_TOLERATION)
    if COMPUTE_CLASS_KEY in selector:
        # GKE taints the nodes of a class, and lets in by itself the pods that select it.
        name = selector[COMPUTE_CLASS_KEY]
        extra.append(Toleration(COMPUTE_CLASS_KEY, "Equal", name, "NoSchedule"))
    return tuple(sorted({*target.tolerations, *extra}))


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted(node.name for node in nodes)[:_MAX_NAMED_NODES])


def _describe(selector: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
