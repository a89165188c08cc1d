"""The nodes that a pod fits, the reasons against the others, and the best node."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

Body = Mapping[str, Any]
Amounts = dict[str, Decimal]


def requests_of(pod: Body) -> Amounts:
    """
    Return what a pod takes from its node.

    Init containers run one after the other, so the greatest of them counts where it is more
    than the sum of the containers.
    """
    spec = pod["spec"]
    amounts: Amounts = {"pods": Decimal(1)}
    for container in spec.get("containers") or []:
        for name, amount in _requests(container).items():
            amounts[name] = amounts.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers") or []:
        for name, amount in _requests(container).items():
            amounts[name] = max(amounts.get(name, Decimal(0)), amount)
    return amounts


def sum_of(amounts: Iterable[Amounts]) -> Amounts:
    """Add up amounts by resource."""
    total: Amounts = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def allocatable_of(node: Body) -> Amounts:
    """Return what a node has for pods; nothing before its kubelet has reported."""
    listed = (node.get("status") or {}).get("allocatable") or {}
    return {name: parse_quantity(quantity) for name, quantity in listed.items()}


def lacking(wanted: Amounts, used: Amounts, has: Amounts) -> list[str]:
    """Return the resources of which too little is left, in the scheduler's order."""
    order = {"pods": 0, "cpu": 1, "memory": 2, "ephemeral-storage": 3}
    short = [
        name
        for name, amount in wanted.items()
        if amount and amount + used.get(name, Decimal(0)) > has.get(name, Decimal(0))
    ]
    return sorted(short, key=lambda name: (order.get(name, 4), name))


def _requests(container: Body) -> Amounts:
    resources = container.get("resources") or {}
    listed = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse_quantity(quantity) for name, quantity in listed.items()}


def matches_labels(selector: Body | None, labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy a LabelSelector; no selector matches nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        matches_expression(expression, labels)
        for expression in selector.get("matchExpressions") or []
    )


def matches_expression(expression: Body, labels: Mapping[str, str]) -> bool:
    """
    Whether labels satisfy one requirement.

    >>> matches_expression({"key": "n", "operator": "Gt", "values": ["3"]}, {"n": "4"})
    True
    """
    key, operator = expression["key"], expression["operator"]
    values = expression.get("values") or []
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return _compares(operator, labels.get(key), values)


def _compares(operator: str, value: str | None, values: Iterable[str]) -> bool:
    try:
        actual, bound = int(value or ""), int(next(iter(values)))
    except (ValueError, StopIteration):
        return False
    return actual > bound if operator == "Gt" else actual < bound


def fits_node_affinity(pod: Body, node: Body) -> bool:
    """Whether a node satisfies a pod's nodeSelector and its required node affinity."""
    labels = node["metadata"].get("labels") or {}
    selector = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    required = _node_affinity(pod).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_matches_term(term, node) for term in required.get("nodeSelectorTerms") or [])


def preference(pod: Body, node: Body) -> int:
    """Return the sum of the weights of the preferred terms that a node satisfies."""
    preferred = _node_affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return sum(int(term["weight"]) for term in preferred if _matches_term(term["preference"], node))


def untolerated_taint(pod: Body, node: Body, effects: Iterable[str]) -> Body | None:
    """Return a node's first taint with one of the effects that a pod does not tolerate."""
    wanted = set(effects)
    tolerations = [*(pod["spec"].get("tolerations") or []), *_implied(pod)]
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] in wanted and not any(
            _tolerates(toleration, taint) for toleration in tolerations
        ):
            found: Body = taint
            return found
    return None


def _implied(pod: Body) -> list[Body]:
    """
    Return the tolerations that GKE's API server gives to pods that ask for an accelerator.

    https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#extendedresourcetoleration
    """
    asked = {
        name
        for field in ("containers", "initContainers")
        for container in pod["spec"].get(field) or []
        for name in (container.get("resources") or {}).get("limits") or {}
        if "/" in name
    }
    return [{"key": name, "operator": "Exists"} for name in sorted(asked)]


def _node_affinity(pod: Body) -> Body:
    affinity: Body = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    return affinity


def _matches_term(term: Body, node: Body) -> bool:
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not expressions and not fields:
        return False
    labels = node["metadata"].get("labels") or {}
    named = {"metadata.name": node["metadata"]["name"]}
    return all(matches_expression(expression, labels) for expression in expressions) and all(
        matches_expression(field, named) for field in fields
    )


def _tolerates(toleration: Body, taint: Body) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    key, exists = toleration.get("key"), toleration.get("operator") == "Exists"
    if not key:
        return exists
    same = key == taint["key"]
    return same and (exists or (toleration.get("value") or "") == (taint.get("value") or ""))


_FINISHED = ("Succeeded", "Failed")


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


def refuse(pod: Body, view: NodeView, views: Sequence[NodeView]) -> Refusal | None:
    """Return why a node does not serve, by the scheduler's first plugin that objects."""
    node = view.body
    if node["spec"].get("unschedulable") and not _tolerates_cordon(pod):
        return Refusal(("node(s) were unschedulable",))
    taint = untolerated_taint(pod, node, ("NoSchedule", "NoExecute"))
    if taint is not None:
        return Refusal(("node(s) had untolerated taint(s)",))
    if not fits_node_affinity(pod, node):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",))
    used = sum_of(requests_of(other) for other in view.pods)
    wanted, has = requests_of(pod), allocatable_of(node)
    if short := lacking(wanted, used, has):
        reasons = tuple(_insufficient(name) for name in short)
        return Refusal(reasons, is_resolvable=not lacking(wanted, {}, has))
    return _refuse_neighbours(pod, view, views)


def choose(pod: Body, views: Sequence[NodeView]) -> NodeView | None:
    """Return the node that serves a pod best, or None."""
    fitting = [view for view in views if refuse(pod, view, views) is None]
    return max(fitting, key=lambda view: _score(pod, view), default=None)


def explain(pod: Body, views: Sequence[NodeView]) -> str:
    """Say why no node serves, as the scheduler's event does."""
    if not views:
        return "no nodes available to schedule pods"
    refusals = [refuse(pod, view, views) or Refusal(()) for view in views]
    reasons = _histogram(reason for refusal in refusals for reason in refusal.reasons)
    claims = "no new claims to deallocate, "
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
