"""
The ladder: the ways to warm an image in a cluster without disturbing it.

Each rung lists the nodes that it can use; the first rung that can serve is chosen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.domain.image_reference import Digest
from shared.domain.node import STREAMING_KEY, Node
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
"""The rung that does not need a node."""

WARM_POOL_TAINT = "prestream.dev/warmup"

PRIORITY_CLASS = "prestream-warmup"
SCALING_PRIORITY_CLASS = "prestream-warmup-scaling"

_GPU_TOLERATION = Toleration("nvidia.com/gpu", "Exists", effect="NoSchedule")
_TPU_TOLERATION = Toleration("google.com/tpu", "Exists", effect="NoSchedule")
_WARM_POOL_TOLERATION = Toleration(WARM_POOL_TAINT, "Exists", effect="NoSchedule")

_MAX_NAMED_NODES = 20


@dataclass(frozen=True, slots=True)
class Rung:
    """A way to warm: the nodes that it can use, and whether one must exist."""

    name: str
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    needs_node: bool
    """Whether the rung requires a ready node."""
    may_add_node: bool
    """Whether the autoscaler may add a node if none is ready."""
    is_autopilot: bool = False
    """Whether the cluster creates the nodes for its pods by itself."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """The way to warm an image: a rung, and the scheduling fields of the pod."""

    rung: str
    platform: str
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    priority_class: str
    avoided_nodes: tuple[str, ...] = field(default=())
    """Nodes that already hold the image: another pull there would prove nothing."""
    lacking_nodes: tuple[str, ...] = field(default=())
    """Nodes that provably did not hold the image when the warmup was created."""
    is_autopilot: bool = False


class RungUnavailableError(Exception):
    """A rung cannot serve; the message is the reason."""


class PrewarmUnavailableError(RungUnavailableError):
    """
    The API does not serve an image; the next rung of the ladder may.

    Attributes:
        hint: What a person can do about it; None if nothing is wrong.
        is_news: Whether the log line of the delivery has to include it.
    """

    def __init__(self, reason: str, *, hint: str | None = None, is_news: bool = False) -> None:
        super().__init__(reason)
        self.hint = hint
        self.is_news = is_news


def plan_rung(name: str, target: Placement, platform: str | None, *, is_autopilot: bool) -> Rung:
    """
    Return the rung with the nodes that it can use.

    Args:
        name: The name of the rung in the configuration.
        target: The requested placement, reduced to the allowed keys.
        platform: ``os/architecture`` of the nodes; ``None`` if it is not known.
        is_autopilot: Whether the cluster creates its nodes, and streams on all of them.

    Raises:
        RungUnavailableError: The rung cannot serve on any node of this cluster.
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
    Return the rung ``any-node`` for the warm pool, whose nodes are added on demand.

    Raises:
        RungUnavailableError: The machines of the pool have another platform.
    """
    if platform not in {None, DEFAULT_PLATFORM}:
        raise RungUnavailableError(f"the warm pool has no nodes of {platform}")
    selector = {**_platform_selector(DEFAULT_PLATFORM), WARM_POOL_TAINT: "true"}
    return Rung("any-node", selector, (_WARM_POOL_TOLERATION,), needs_node=False, may_add_node=True)


def serve_rung(
    rung: Rung, nodes: Iterable[Node], digest: Digest | None, *, platform: str | None
) -> Strategy:
    """
    Return the choice of a rung, given the nodes that match its selector.

    Without a digest, the nodes that hold the image are not known.

    Raises:
        RungUnavailableError: The rung requires a ready node, which does not exist.
    """
    candidates = [node for node in nodes if node.accepts(rung.node_selector, rung.tolerations)]
    if rung.needs_node and not candidates:
        raise RungUnavailableError(f"no ready node has {_describe(rung.node_selector)}")
    chosen = platform or _choose_platform(candidates)
    selector = {**rung.node_selector, **_platform_selector(chosen)}
    fitting = [node for node in candidates if node.accepts(selector, rung.tolerations)]
    # Autopilot has no spare capacity: a pod for which it adds no node can wait forever.
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
    """Return a placement for each kind of accelerator node; without any, one for all nodes."""
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
    """Return a target that includes the platform, unless it is the default."""
    if platform in {None, DEFAULT_PLATFORM}:
        return target
    return Placement.of(
        {**dict(target.node_selector), **_platform_selector(platform)}, target.tolerations
    )


def platform_of(target: Placement) -> str | None:
    """Return the platform that a target names; ``None`` if it does not name one."""
    selector = dict(target.node_selector)
    arch = selector.get(ARCH_KEY)
    return f"{selector.get(OS_KEY, 'linux')}/{arch}" if arch else None


def _plan_any_node(base: dict[str, str], is_autopilot: bool) -> Rung:  # noqa: FBT001
    """Plan the rung that uses any streaming node, because the region shares the cache."""
    if is_autopilot:
        # Every Autopilot node streams, so new nodes do not have the label. A toleration without
        # the selector of the same key would request a separate node.
        return Rung("any-node", base, (), needs_node=False, may_add_node=True, is_autopilot=True)
    return Rung(
        "any-node",
        {**base, STREAMING_KEY: "true"},
        (_GPU_TOLERATION, _TPU_TOLERATION, _WARM_POOL_TOLERATION),
        needs_node=True,
        may_add_node=False,
    )


def _choose_platform(nodes: Iterable[Node]) -> str:
    """Return the default platform if a node has it, otherwise the platform of a node."""
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
        # GKE taints the nodes of a class, and admits the pods that select the class.
        name = selector[COMPUTE_CLASS_KEY]
        extra.append(Toleration(COMPUTE_CLASS_KEY, "Equal", name, "NoSchedule"))
    return tuple(sorted({*target.tolerations, *extra}))


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted(node.name for node in nodes)[:_MAX_NAMED_NODES])


def _describe(selector: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
