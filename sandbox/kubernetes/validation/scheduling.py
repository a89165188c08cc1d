"""Where pods may run: selectors, affinity, tolerations, spreading."""

from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.fields import FieldError, forbidden, invalid, not_supported, required
from sandbox.kubernetes.validation.names import (
    label_problem,
    qualified_problem,
    validate_labels,
    value_problem,
)

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MAX_WEIGHT = 100
_TERM_KINDS = ("podAffinity", "podAntiAffinity")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def validate_scheduling(spec: Body, path: str) -> Iterator[FieldError]:
    """Check what a pod's specification says about nodes."""
    yield from validate_labels(mapping(spec, "nodeSelector"), f"{path}.nodeSelector")
    for index, toleration in enumerate(items(spec, "tolerations")):
        yield from _toleration(toleration, f"{path}.tolerations[{index}]")
    affinity = mapping(spec, "affinity")
    yield from _node_affinity(mapping(affinity, "nodeAffinity"), f"{path}.affinity.nodeAffinity")
    for kind in _TERM_KINDS:
        yield from _pod_affinity(mapping(affinity, kind), f"{path}.affinity.{kind}")
    for index, one in enumerate(items(spec, "topologySpreadConstraints")):
        yield from _spread(one, f"{path}.topologySpreadConstraints[{index}]")


def _toleration(toleration: Body, path: str) -> Iterator[FieldError]:
    key, value = toleration.get("key", ""), toleration.get("value", "")
    operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
    if key and (problem := qualified_problem(key)):
        yield invalid(f"{path}.key", key, problem)
    if not key and operator != "Exists":
        yield invalid(
            f"{path}.operator",
            operator,
            "operator must be Exists when `key` is empty, which means "
            '"match all values and all keys"',
        )
    if "tolerationSeconds" in toleration and effect != "NoExecute":
        yield invalid(
            f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"
        )
    yield from _toleration_operator(toleration, operator, value, path)
    if effect and effect not in _EFFECTS:
        yield not_supported(f"{path}.effect", effect, _EFFECTS)


def _toleration_operator(
    toleration: Body, operator: str, value: str, path: str
) -> Iterator[FieldError]:
    if operator in ("", "Equal"):
        if problem := value_problem(value):
            yield invalid(f"{path}.operator", value, problem)
    elif operator == "Exists":
        if value:
            yield invalid(
                f"{path}.operator", toleration, "value must be empty when `operator` is 'Exists'"
            )
    else:
        yield not_supported(f"{path}.operator", operator, ("Equal", "Exists"))


def _node_affinity(affinity: Body, path: str) -> Iterator[FieldError]:
    if _REQUIRED in affinity:
        where = f"{path}.{_REQUIRED}.nodeSelectorTerms"
        terms = items(affinity, _REQUIRED, "nodeSelectorTerms")
        if not terms:
            yield required(where, "must have at least one node selector term")
        for index, term in enumerate(terms):
            yield from _node_term(term, f"{where}[{index}]")
    for index, preferred in enumerate(items(affinity, _PREFERRED)):
        where = f"{path}.{_PREFERRED}[{index}]"
        yield from _weight(preferred, where)
        yield from _node_term(mapping(preferred, "preference"), f"{where}.preference")


def _weight(preferred: Body, path: str) -> Iterator[FieldError]:
    weight = preferred.get("weight", 0)
    if not 1 <= weight <= _MAX_WEIGHT:
        yield invalid(f"{path}.weight", weight, "must be in the range 1-100")


def _node_term(term: Body, path: str) -> Iterator[FieldError]:
    for index, one in enumerate(items(term, "matchExpressions")):
        yield from _node_expression(one, f"{path}.matchExpressions[{index}]")
        key = one.get("key", "")
        if problem := qualified_problem(key):
            yield invalid(f"{path}.matchExpressions[{index}].key", key, problem)
    for index, one in enumerate(items(term, "matchFields")):
        where = f"{path}.matchFields[{index}]"
        if one.get("key") != "metadata.name":
            yield invalid(f"{where}.key", one.get("key"), "not a valid field selector key")
        if one.get("operator") not in ("In", "NotIn"):
            yield invalid(f"{where}.operator", one.get("operator"), "not a valid selector operator")


def _node_expression(one: Body, path: str) -> Iterator[FieldError]:
    operator, values = one.get("operator", ""), items(one, "values")
    if operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(
                f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"
            )
        return
    yield from _operator(operator, values, path)
    for index, value in enumerate(values):
        if problem := value_problem(value):
            yield invalid(f"{path}.values[{index}]", value, problem)


def _operator(operator: str, values: list[str], path: str) -> Iterator[FieldError]:
    """Check an operator of sets, and that it has values if it needs them."""
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden(
                f"{path}.values",
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )
    else:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")


def _pod_affinity(affinity: Body, path: str) -> Iterator[FieldError]:
    for index, term in enumerate(items(affinity, _REQUIRED)):
        yield from _pod_term(term, f"{path}.{_REQUIRED}[{index}]")
    for index, preferred in enumerate(items(affinity, _PREFERRED)):
        where = f"{path}.{_PREFERRED}[{index}]"
        yield from _weight(preferred, where)
        yield from _pod_term(mapping(preferred, "podAffinityTerm"), f"{where}.podAffinityTerm")


def _pod_term(term: Body, path: str) -> Iterator[FieldError]:
    yield from validate_selector(term.get("labelSelector"), f"{path}.labelSelector")
    yield from validate_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for index, name in enumerate(items(term, "namespaces")):
        if problem := label_problem(name):
            yield invalid(f"{path}.namespaces[{index}]", name, problem)
    topology = term.get("topologyKey", "")
    if not topology:
        yield required(f"{path}.topologyKey", "can not be empty")
    elif problem := qualified_problem(topology):
        yield invalid(f"{path}.topologyKey", topology, problem)


def _spread(one: Body, path: str) -> Iterator[FieldError]:
    if one.get("maxSkew", 0) <= 0:
        yield invalid(f"{path}.maxSkew", one.get("maxSkew", 0), "must be greater than zero")
    if not one.get("topologyKey"):
        yield required(f"{path}.topologyKey", "can not be empty")
    action = one.get("whenUnsatisfiable", "")
    if action not in ("DoNotSchedule", "ScheduleAnyway"):
        yield not_supported(
            f"{path}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway")
        )
    yield from validate_selector(one.get("labelSelector"), f"{path}.labelSelector")


def validate_selector(selector: Body | None, path: str) -> Iterator[FieldError]:
    """Check a LabelSelector object; none is allowed here."""
    labels = dig(selector, "matchLabels") or {}
    for key, value in labels.items():
        if problem := qualified_problem(key):
            yield invalid(f"{path}.matchLabels", key, problem)
        if problem := value_problem(value):
            yield invalid(f"{path}.matchLabels", value, problem)
    for index, one in enumerate(dig(selector, "matchExpressions") or ()):
        yield from _requirement(one, f"{path}.matchExpressions[{index}]")


def _requirement(one: Body, path: str) -> Iterator[FieldError]:
    values = items(one, "values")
    yield from _operator(one.get("operator", ""), values, path)
    if problem := qualified_problem(one.get("key", "")):
        yield invalid(f"{path}.key", one.get("key", ""), problem)
    for index, value in enumerate(values):
        if problem := value_problem(value):
            yield invalid(f"{path}.values[{index}]", value, problem)
