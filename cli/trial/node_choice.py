"""The nodes that a trial can use: ready, of the image's platform, and without the image."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from cli.trial.trial_step import TrialNode
from shared.domain.ladder import Rung, WantedImage, plan_rung
from shared.domain.node import STREAMING_KEY, Node
from shared.domain.placement import DEFAULT_PLATFORM, Placement

_FEW = 3
"""Fewer nodes of one machine type cannot run the pulls that are compared."""


@dataclass(frozen=True, slots=True)
class NodeChoice:
    """The nodes of a cluster, as a trial sees them."""

    suitable: tuple[TrialNode, ...] = ()
    """The best first."""
    unsuitable: tuple[tuple[str, str], ...] = ()
    """Names of other nodes, each with the reason."""

    @property
    def streaming(self) -> tuple[TrialNode, ...]:
        """The suitable nodes with image streaming."""
        return tuple(each for each in self.suitable if each.streams)

    @property
    def total(self) -> int:
        """The number of nodes of the cluster."""
        return len(self.suitable) + len(self.unsuitable)


def choose_platform(nodes: Iterable[Node], wanted: str | None = None) -> str:
    """Return the wanted platform, else the default one if a ready node has it, else another."""
    if wanted:
        return wanted
    found = sorted({node.platform for node in nodes if node.is_ready and node.platform})
    return DEFAULT_PLATFORM if DEFAULT_PLATFORM in found or not found else found[0]


def make_rung(platform: str) -> Rung:
    """Return the rung of a trial: any node of the platform, with image streaming or without."""
    rung = plan_rung("any-node", Placement(), platform, is_autopilot=False)
    selector = {key: text for key, text in rung.node_selector.items() if key != STREAMING_KEY}
    return replace(rung, node_selector=selector)


def choose_nodes(
    nodes: Sequence[Node], image: WantedImage, rung: Rung, used: Collection[str] = ()
) -> NodeChoice:
    """
    Return the nodes that a trial can use, and why it cannot use the others.

    Nodes that stream come first, then those of a machine type that is frequent enough, then those
    without an accelerator, and then those that hold no other version of the image.

    Args:
        nodes: The nodes of the cluster.
        image: The image; without a digest, no node is known to hold it.
        rung: The rung of the trial.
        used: The nodes on which the trial has pulled.
    """
    reasons = {node.name: _find_obstacle(node, image, rung, used) for node in nodes}
    fitting = [node for node in nodes if reasons[node.name] is None]
    groups = Counter(_group_of(node) for node in fitting)

    def rank(node: Node) -> tuple[bool, bool, bool, int, tuple[str, ...], bool, str]:
        group = _group_of(node)
        return (
            not node.streams,
            groups[group] < _FEW,
            bool(TrialNode.of(node).accelerator),
            -groups[group],
            group,
            node.holds_version(image.repositories),
            node.name,
        )

    return NodeChoice(
        tuple(TrialNode.of(node) for node in sorted(fitting, key=rank)),
        tuple((name, reason) for name, reason in sorted(reasons.items()) if reason is not None),
    )


def _find_obstacle(node: Node, image: WantedImage, rung: Rung, used: Collection[str]) -> str | None:
    """Return why a trial cannot use a node; None if it can."""
    selector = rung.node_selector
    if node.name in used:
        return "the trial has pulled on it"
    if not node.is_ready:
        return "not ready, or cordoned"
    if any(node.labels.get(key) != value for key, value in selector.items()):
        return "another platform"
    if not node.accepts(selector, rung.tolerations):
        return "has a taint that a trial does not tolerate"
    if not node.has_room(image.image_bytes):
        return "has no room for the image"
    return _find_image(node, image)


def _find_image(node: Node, image: WantedImage) -> str | None:
    """Return how a node may hold the image; None if it provably lacks it, or if unknown."""
    if image.digest is None or image.is_missing_on(node):
        return None
    if image.is_on(node):
        return "holds the image"
    return "may hold the image: it lists only its largest images"


def _group_of(node: Node) -> tuple[str, ...]:
    """Return what nodes must have in common for a fair comparison of their pulls."""
    seen = TrialNode.of(node)
    return (seen.machine or "", seen.accelerator or "", str(seen.streams))
