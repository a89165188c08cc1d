"""Selectors, node affinity and tolerations, as the scheduler reads them."""

from collections.abc import Iterable, Mapping
from typing import Any

Body = Mapping[str, Any]


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
