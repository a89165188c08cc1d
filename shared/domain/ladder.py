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
    PRIORITY_CLASS,
    SCALING_PRIORITY_CLASS,
    SPOT_KEY,
    TPU_KEY,
    Placement,
    Toleration,
)

PREWARM_RUNG = "prewarm-api"
"""The rung that does not need a node."""

WARM_POOL_TAINT = "prestream.dev/warmup"

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
    required_nodes: tuple[str, ...] = field(default=())
    """The nodes that may pull the image, the best first; empty if no node or any node may."""
    known_nodes: tuple[str, ...] = field(default=())
    """All nodes that match, if they are few: a node that joins later may pull the image too."""
    preferred_nodes: tuple[str, ...] = field(default=())
    """Those of them that hold no other version of the image, if the others do."""
    is_autopilot: bool = False


@dataclass(frozen=True, slots=True)
class WantedImage:
    """The properties of an image that decide on the nodes that pull it."""

    digest: Digest | None
    """None if it is unknown; then no node is known to hold the image."""
    image_bytes: int | None = None
    """The compressed size; None if unknown."""
    repositories: frozenset[str] = frozenset()
    """The names of its repository, upstream and mirror: versions of an image share layers."""

    def is_on(self, node: Node) -> bool:
        """Whether a node reports the image."""
        return self.digest is not None and node.holds(self.digest)

    def is_missing_on(self, node: Node) -> bool:
        """Whether a node provably lacks the image."""
        return self.digest is not None and node.lacks(self.digest, self.image_bytes)


class RungUnavailableError(Exception):
    """A rung cannot serve; the message is the reason."""


class NoRoomError(RungUnavailableError):
    """No ready node has room for the image."""


class AllNodesHoldError(RungUnavailableError):
    """Every node holds the image, so another pull there would not use the streaming cache."""


class PrewarmUnavailableError(RungUnavailableError):
    """
    The API does not serve an image; the next rung of the ladder may.

    Attributes:
        hint: The remedy; None if nothing is wrong.
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
        raise RungUnavailableError("does not use nodes")
    if is_autopilot:
        raise RungUnavailableError(
            "Autopilot adds a node with an accelerator only for a pod that requests one"
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
    rung: Rung, nodes: Iterable[Node], image: WantedImage, *, platform: str | None
) -> Strategy:
    """
    Return the choice of a rung, given the nodes that match its selector.

    The warmup runs on nodes that provably lack the image; if none is known to, on nodes of which
    it is unknown. On Autopilot it runs on any node.

    Raises:
        AllNodesHoldError: Every node that the rung can use holds the image.
        NoRoomError: A ready node exists, but none has room.
        RungUnavailableError: The rung requires a ready node, which does not exist.
    """
    matching = [node for node in nodes if node.accepts(rung.node_selector, rung.tolerations)]
    candidates = [node for node in matching if node.has_room(image.image_bytes)]
    if rung.needs_node and not candidates:
        selector_text = _describe(rung.node_selector)
        if not matching:
            raise RungUnavailableError(f"no ready node has {selector_text}")
        size = f"the {image.image_bytes} bytes of the image"
        raise NoRoomError(f"no ready node with {selector_text} has room for {size}")
    chosen = platform or _choose_platform(candidates)
    selector = {**rung.node_selector, **_platform_selector(chosen)}
    fitting = [node for node in candidates if node.accepts(selector, rung.tolerations)]
    holding = _names(node for node in fitting if image.is_on(node))
    usable = _find_usable(fitting, image)
    if fitting and not usable and not rung.may_add_node:
        raise AllNodesHoldError(f"every ready node with {_describe(selector)} holds the image")
    fresh = tuple(n.name for n in usable if not n.holds_version(image.repositories))
    # Autopilot has no spare capacity: a pod for which it adds no node can wait forever.
    adds_node = rung.may_add_node and (rung.is_autopilot or not usable)
    return Strategy(
        rung=rung.name,
        platform=chosen,
        node_selector=selector,
        tolerations=rung.tolerations,
        priority_class=SCALING_PRIORITY_CLASS if adds_node else PRIORITY_CLASS,
        avoided_nodes=holding,
        lacking_nodes=tuple(node.name for node in usable if image.is_missing_on(node)),
        required_nodes=tuple(node.name for node in usable),
        known_nodes=_names(fitting) if len(fitting) <= _MAX_NAMED_NODES else (),
        preferred_nodes=fresh if len(fresh) < len(usable) else (),
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


def _find_usable(nodes: Iterable[Node], image: WantedImage) -> list[Node]:
    """
    Return the nodes that a warmup may use, the best first.

    A node without another version of the image comes first, because versions share layers, and
    then the node with the most storage.
    """

    def rank(node: Node) -> tuple[bool, int, str]:
        return node.holds_version(image.repositories), -(node.storage_bytes or 0), node.name

    possible = [node for node in nodes if not image.is_on(node)]
    lacking = [node for node in possible if image.is_missing_on(node)]
    return sorted(lacking or possible, key=rank)[:_MAX_NAMED_NODES]


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted(node.name for node in nodes)[:_MAX_NAMED_NODES])


def _describe(selector: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
