"""Which node a pod may go to, why the others do not serve, and which serves best."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox.gke.affinity import (
    fits_node_affinity,
    matches_labels,
    preference,
    untolerated_taint,
)
from sandbox.gke.kubelet_messages import Wording
from sandbox.gke.resources import allocatable_of, lacking, requests_of, sum_of

Body = Mapping[str, Any]
_FINISHED = ("Succeeded", "Failed")
_SHORT_SINCE = 34


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node does not serve, and whether fewer pods on it would help."""

    reasons: tuple[str, ...]
    is_resolvable: bool = False


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node and the pods that count on it."""

    body: Body
    pods: tuple[Body, ...] = ()

    @property
    def name(self) -> str:
        """The node's name."""
        name: str = self.body["metadata"]["name"]
        return name

    def label(self, key: str) -> str | None:
        """Return one of the node's labels."""
        value: str | None = (self.body["metadata"].get("labels") or {}).get(key)
        return value


def view_nodes(nodes: Iterable[Body], pods: Iterable[Body]) -> list[NodeView]:
    """Sort the pods that are not finished to their nodes."""
    by_node: dict[str, list[Body]] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and (pod.get("status") or {}).get("phase") not in _FINISHED:
            by_node.setdefault(node, []).append(pod)
    return [
        NodeView(node, tuple(by_node.get(node["metadata"]["name"], ())))
        for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"]))
    ]


def refuse(
    pod: Body, view: NodeView, views: Sequence[NodeView], wording: Wording
) -> Refusal | None:
    """Return why a node does not serve, by the scheduler's first plugin that objects."""
    node = view.body
    if node["spec"].get("unschedulable") and not _tolerates_cordon(pod):
        return Refusal(("node(s) were unschedulable",))
    taint = untolerated_taint(pod, node, ("NoSchedule", "NoExecute"))
    if taint is not None:
        return Refusal((wording.untolerated(taint["key"], taint.get("value") or ""),))
    if not fits_node_affinity(pod, node):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",))
    used = sum_of(requests_of(other) for other in view.pods)
    short = lacking(requests_of(pod), used, allocatable_of(node))
    if short:
        return Refusal(tuple(_insufficient(name) for name in short), is_resolvable=True)
    return _refuse_neighbours(pod, view, views)


def choose(pod: Body, views: Sequence[NodeView], wording: Wording) -> NodeView | None:
    """Return the node that serves a pod best, or None."""
    fitting = [view for view in views if refuse(pod, view, views, wording) is None]
    return max(fitting, key=lambda view: _score(pod, view), default=None)


def explain(pod: Body, views: Sequence[NodeView], wording: Wording) -> str:
    """Say why no node serves, as the scheduler's event does."""
    if not views:
        return "no nodes available to schedule pods"
    refusals = [refuse(pod, view, views, wording) or Refusal(()) for view in views]
    reasons = _histogram(reason for refusal in refusals for reason in refusal.reasons)
    claims = "no new claims to deallocate, " if wording.minor >= _SHORT_SINCE else ""
    head = f"0/{len(views)} nodes are available: "
    if pod["spec"].get("preemptionPolicy") == "Never":
        helped = "not eligible due to preemptionPolicy=Never."
    else:
        helped = head + _histogram(_preemption(refusal) for refusal in refusals)
    return f"{head}{reasons} {claims}preemption: {helped}"


def _refuse_neighbours(pod: Body, view: NodeView, views: Sequence[NodeView]) -> Refusal | None:
    if any(
        _share_domain(term, pod, other, view, at)
        for at in views
        for other in at.pods
        for term in _anti_affinity(pod)
    ):
        return Refusal(("node(s) didn't match pod anti-affinity rules",), is_resolvable=True)
    if any(
        _share_domain(term, other, pod, view, at)
        for at in views
        for other in at.pods
        for term in _anti_affinity(other)
    ):
        return Refusal(
            ("node(s) didn't satisfy existing pods anti-affinity rules",), is_resolvable=True
        )
    return None


def _share_domain(term: Body, owner: Body, other: Body, view: NodeView, at: NodeView) -> bool:
    """Whether a pod's anti-affinity term meets another pod in the same topology domain."""
    namespaces = term.get("namespaces") or [owner["metadata"]["namespace"]]
    selects_all = term.get("namespaceSelector") == {}
    domain = view.label(term["topologyKey"])
    return (
        domain is not None
        and domain == at.label(term["topologyKey"])
        and (selects_all or other["metadata"]["namespace"] in namespaces)
        and matches_labels(term.get("labelSelector"), other["metadata"].get("labels") or {})
    )


def _anti_affinity(pod: Body) -> Sequence[Body]:
    affinity = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
    terms: Sequence[Body] = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return terms


def _tolerates_cordon(pod: Body) -> bool:
    cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    return untolerated_taint(pod, {"spec": {"taints": [cordon]}}, ("NoSchedule",)) is None


def _score(pod: Body, view: NodeView) -> tuple[int, int, Decimal, str]:
    disliked = untolerated_taint(pod, view.body, ("PreferNoSchedule",)) is not None
    has = allocatable_of(view.body)
    used = sum_of(requests_of(other) for other in view.pods)
    free = Decimal(1) - used.get("cpu", Decimal(0)) / (has.get("cpu") or Decimal(1))
    return preference(pod, view.body), -int(disliked), free, view.name


def _insufficient(resource: str) -> str:
    return "Too many pods" if resource == "pods" else f"Insufficient {resource}"


def _preemption(refusal: Refusal) -> str:
    if refusal.is_resolvable:
        return "No preemption victims found for incoming pod"
    return "Preemption is not helpful for scheduling"


def _histogram(reasons: Iterable[str]) -> str:
    counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return ", ".join(counted) + "."
