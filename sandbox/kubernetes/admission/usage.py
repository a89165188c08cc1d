"""What objects count for in a ResourceQuota."""

from collections.abc import Iterator
from fractions import Fraction

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.quantities import parse_quantity
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.selectors import requirement
from sandbox.kubernetes.strategies import qos_class
from sandbox.kubernetes.validation.requirements import is_extended

Usage = dict[str, Fraction]

COUNTED = (
    "services",
    "secrets",
    "configmaps",
    "replicationcontrollers",
    "resourcequotas",
    "persistentvolumeclaims",
)
"""Core resources that a quota can name without ``count/``."""
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_TERMINAL = ("Succeeded", "Failed")


def usage_of(resource: Resource, body: Body) -> Usage:
    """Return what an object uses, by the names that a quota can limit."""
    usage: Usage = {f"count/{resource.key}": Fraction(1)}
    if resource.key in COUNTED:
        usage[resource.key] = Fraction(1)
    if resource.key == "pods":
        if dig(body, "status", "phase") in _TERMINAL:
            return usage
        usage["pods"] = Fraction(1)
        usage.update(_compute(mapping(body, "spec")))
    return usage


def _compute(spec: Body) -> Usage:
    usage: Usage = {}
    for field, prefix in (("requests", "requests."), ("limits", "limits.")):
        for name, amount in _amounts(spec, field).items():
            if field == "limits" and is_extended(name):
                continue
            usage[f"{prefix}{name}"] = amount
            if field == "requests" and name in _COMPUTE:
                usage[name] = amount
    return usage


def _amounts(spec: Body, field: str) -> Usage:
    """Return what containers ask for together, or one init container if that is more."""
    result: Usage = {}
    for container in items(spec, "containers"):
        for name, text in mapping(container, "resources", field).items():
            result[name] = result.get(name, Fraction(0)) + parse_quantity(text)
    for container in items(spec, "initContainers"):
        for name, text in mapping(container, "resources", field).items():
            result[name] = max(result.get(name, Fraction(0)), parse_quantity(text))
    return result


def unspecified(
    resource: Resource, body: Body, limited: set[str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield what a quota limits and containers do not state, with the containers' names."""
    if resource.key != "pods":
        return
    spec = mapping(body, "spec")
    for name in sorted(limited):
        field, _, compute = name.rpartition(".")
        field = field or "requests"
        if compute not in _COMPUTE or field not in ("requests", "limits"):
            continue
        lacking = [
            container["name"]
            for container in (*items(spec, "initContainers"), *items(spec, "containers"))
            if compute not in mapping(container, "resources", field)
        ]
        if lacking:
            yield name, sorted(lacking)


def is_in_scope(quota: Body, resource: Resource, body: Body) -> bool:
    """Whether a quota's scopes hold for an object; scopes are about pods only."""
    scopes = [{"scopeName": name, "operator": "Exists"} for name in items(quota, "spec", "scopes")]
    scopes += items(quota, "spec", "scopeSelector", "matchExpressions")
    if not scopes:
        return True
    if resource.key != "pods":
        return False
    return all(_has_scope(scope, mapping(body, "spec")) for scope in scopes)


def _has_scope(scope: Body, spec: Body) -> bool:
    best_effort = qos_class(spec) == "BestEffort"
    terminating = spec.get("activeDeadlineSeconds") is not None
    known = {
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "Terminating": terminating,
        "NotTerminating": not terminating,
    }
    name = scope["scopeName"]
    if name in known:
        return known[name]
    chosen = spec.get("priorityClassName")
    labels = {"class": chosen} if chosen else {}
    return requirement("class", scope["operator"], items(scope, "values"))(labels)
