"""The nodes that a pod fits, the reasons against the others, and the best node."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.selectors import from_object, requirement

_FINISHED = ("Succeeded", "Failed")
_ORDER = ("pods", "cpu", "memory", "ephemeral-storage")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


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

    @property
    def labels(self) -> Mapping[str, str]:
        """The node's labels."""
        return mapping(self.body, "metadata", "labels")

    @property
    def allocatable(self) -> Counter[str]:
        """The resources that the node has for pods."""
        return _amounts(mapping(self.body, "status", "allocatable"))

    @property
    def used(self) -> Counter[str]:
        """The resources that its pods take."""
        return sum((requests_of(pod) for pod in self.pods), Counter())


def view_nodes(nodes: Iterable[Body], pods: Iterable[Body]) -> list[NodeView]:
    """Sort the pods that are not finished to their nodes."""
    by_node: dict[str, list[Body]] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and dig(pod, "status", "phase") not in _FINISHED:
            by_node.setdefault(node, []).append(pod)
    return [
        NodeView(node, tuple(by_node.get(node["metadata"]["name"], ())))
        for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"]))
    ]


def requests_of(pod: Body) -> Counter[str]:
    """
    Return the resources that a pod takes from its node.

    Init containers run one after the other, so the largest of them counts if it is more than
    the sum of the containers.
    """
    total: Counter[str] = Counter({"pods": 1})
    for container in items(pod, "spec", "containers"):
        total.update(_amounts(mapping(container, "resources", "requests")))
    for container in items(pod, "spec", "initContainers"):
        total |= _amounts(mapping(container, "resources", "requests"))
    return total


def refuse(pod: Body, view: NodeView, views: Sequence[NodeView]) -> Refusal | None:
    """Return why a node does not serve, by the scheduler's first plugin that objects."""
    if view.body["spec"].get("unschedulable") and not _tolerates(pod, _CORDON):
        return Refusal(("node(s) were unschedulable",))
    if not all(_tolerates(pod, taint) for taint in items(view.body, "spec", "taints")):
        return Refusal(("node(s) had untolerated taint(s)",))
    if not _matches_affinity(pod, view):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",))
    if short := _lacking(pod, view.allocatable - view.used):
        is_resolvable = not _lacking(pod, view.allocatable)
        return Refusal(tuple(_insufficient(name) for name in short), is_resolvable)
    return _refuse_neighbours(pod, view, views)


def choose(pod: Body, views: Sequence[NodeView]) -> NodeView | None:
    """Return the node that serves a pod best, or None."""
    fitting = [view for view in views if refuse(pod, view, views) is None]
    return max(fitting, key=lambda view: _score(pod, view), default=None)


def explain(pod: Body, views: Sequence[NodeView]) -> str:
    """Return why no node serves, in the words of the scheduler's event."""
    if not views:
        return "no nodes available to schedule pods"
    refusals = [refuse(pod, view, views) or Refusal(()) for view in views]
    reasons = _histogram(reason for refusal in refusals for reason in refusal.reasons)
    head = f"0/{len(views)} nodes are available: "
    if pod["spec"].get("preemptionPolicy") == "Never":
        helped = "not eligible due to preemptionPolicy=Never."
    else:
        helped = head + _histogram(
            "No preemption victims found for incoming pod"
            if refusal.is_resolvable
            else "Preemption is not helpful for scheduling"
            for refusal in refusals
        )
    return f"{head}{reasons} no new claims to deallocate, preemption: {helped}"


def _refuse_neighbours(pod: Body, view: NodeView, views: Sequence[NodeView]) -> Refusal | None:
    neighbours = [(at, other) for at in views for other in at.pods]
    if any(_repels(pod, other, view, at) for at, other in neighbours):
        return Refusal(("node(s) didn't match pod anti-affinity rules",), is_resolvable=True)
    if any(_repels(other, pod, view, at) for at, other in neighbours):
        text = "node(s) didn't satisfy existing pods anti-affinity rules"
        return Refusal((text,), is_resolvable=True)
    return None


def _amounts(listed: Mapping[str, str]) -> Counter[str]:
    # A Counter adds any numbers, and subtracts without going below zero.
    amounts: Any = {name: parse_quantity(quantity) for name, quantity in listed.items()}
    return Counter(amounts)


def _lacking(pod: Body, free: Counter[str]) -> list[str]:
    """Return the resources of which too little is left, in the scheduler's order."""
    short = [name for name, amount in requests_of(pod).items() if amount > free[name]]
    return sorted(short, key=lambda name: (name not in _ORDER, [*_ORDER, name].index(name), name))


def _insufficient(resource: str) -> str:
    return "Too many pods" if resource == "pods" else f"Insufficient {resource}"


def _tolerates(pod: Body, taint: Body) -> bool:
    if taint["effect"] == "PreferNoSchedule":
        return True
    return any(
        each.get("effect") in (None, "", taint["effect"]) and _names(each, taint)
        for each in (*items(pod, "spec", "tolerations"), *_implied(pod))
    )


def _names(toleration: Body, taint: Body) -> bool:
    key, exists = toleration.get("key"), toleration.get("operator") == "Exists"
    if not key:
        return exists
    same_value = (toleration.get("value") or "") == (taint.get("value") or "")
    return key == taint["key"] and (exists or same_value)


def _implied(pod: Body) -> Iterator[Body]:
    """
    Yield the tolerations that GKE's API server gives to pods that ask for an accelerator.

    https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#extendedresourcetoleration
    """
    for field in ("containers", "initContainers"):
        for container in items(pod, "spec", field):
            for name in mapping(container, "resources", "limits"):
                if "/" in name:
                    yield {"key": name, "operator": "Exists"}


def _matches_affinity(pod: Body, view: NodeView) -> bool:
    selector = mapping(pod, "spec", "nodeSelector")
    terms = items(pod, "spec", "affinity", "nodeAffinity", _REQUIRED, "nodeSelectorTerms")
    return selector.items() <= view.labels.items() and (
        not terms or any(_matches_term(term, view) for term in terms)
    )


def _matches_term(term: Body, view: NodeView) -> bool:
    return all(
        requirement(one["key"], one["operator"], items(one, "values"))(view.labels)
        for one in items(term, "matchExpressions")
    )


def _repels(owner: Body, other: Body, view: NodeView, at: NodeView) -> bool:
    """Whether the anti-affinity of a pod excludes another one from the same topology domain."""
    return any(
        _share_domain(term, view, at)
        and _is_in_scope(term, owner, other)
        and from_object(term.get("labelSelector"))(mapping(other, "metadata", "labels"))
        for term in items(owner, "spec", "affinity", "podAntiAffinity", _REQUIRED)
    )


def _share_domain(term: Body, view: NodeView, at: NodeView) -> bool:
    domain = view.labels.get(term["topologyKey"])
    return domain is not None and domain == at.labels.get(term["topologyKey"])


def _is_in_scope(term: Body, owner: Body, other: Body) -> bool:
    namespaces = term.get("namespaces") or [owner["metadata"]["namespace"]]
    return term.get("namespaceSelector") == {} or other["metadata"]["namespace"] in namespaces


def _score(pod: Body, view: NodeView) -> tuple[int, Decimal, str]:
    terms = items(pod, "spec", "affinity", "nodeAffinity", _PREFERRED)
    weight = sum(term["weight"] for term in terms if _matches_term(term["preference"], view))
    free: Any = view.allocatable - view.used
    return weight, free["cpu"] / (view.allocatable["cpu"] or Decimal(1)), view.name


def _histogram(reasons: Iterable[str]) -> str:
    counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return ", ".join(counted) + "."
