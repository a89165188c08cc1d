"""ResourceQuota: what a namespace may hold, and what it would exceed."""

from fractions import Fraction

from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.admission.usage import Usage, is_in_scope, unspecified, usage_of
from sandbox.kubernetes.bodies import Body, mapping
from sandbox.kubernetes.quantities import format_quantity, parse_quantity
from sandbox.kubernetes.resources import BUILT_IN, Resource
from sandbox.kubernetes.statuses import forbidden
from sandbox.kubernetes.store import Store

QUOTAS = "resourcequotas"
_BY_KEY = {resource.key: resource for resource in BUILT_IN}


def check_quota(attributes: Attributes, store: Store) -> None:
    """Refuse what would exceed a quota of the namespace."""
    if attributes.verb != "create" or attributes.subresource:
        return
    for (_, name), quota in sorted(store.scan(QUOTAS, attributes.namespace or "-")):
        if is_in_scope(quota.body, attributes.resource, attributes.body):
            _check_one(attributes, name, quota.body)


def _check_one(attributes: Attributes, name: str, quota: Body) -> None:
    hard = {key: parse_quantity(text) for key, text in mapping(quota, "spec", "hard").items()}
    lacking = list(unspecified(attributes.resource, attributes.body, set(hard)))
    if lacking:
        text = "; ".join(f"{key} for: {','.join(containers)}" for key, containers in lacking)
        why = f"failed quota: {name}: must specify {text}"
        raise forbidden(attributes.resource, attributes.name, why)
    usage = usage_of(attributes.resource, attributes.body)
    asked = {key: amount for key, amount in usage.items() if key in hard and amount}
    if not asked:
        return
    used = noted(quota)
    over = [key for key, amount in asked.items() if used[key] + amount > hard[key]]
    if over:
        why = (
            f"exceeded quota: {name}, requested: {_text(asked, over)}, used: {_text(used, over)}, "
            f"limited: {_text(hard, over)}"
        )
        raise forbidden(attributes.resource, attributes.name, why)


def _text(amounts: Usage, names: list[str]) -> str:
    return ",".join(f"{name}={format_used(name, amounts[name])}" for name in sorted(names))


def format_used(name: str, amount: Fraction) -> str:
    """Format an amount as the kind of thing that it counts is written."""
    return format_quantity(amount, binary="memory" in name or "storage" in name)


def noted(quota: Body) -> Usage:
    """Return what the status of a quota says is used."""
    listed = mapping(quota, "status", "used")
    return {name: parse_quantity(text) for name, text in listed.items()}


def used_by(quota: Body, namespace: str, names: set[str], store: Store) -> Usage:
    """Count how much of the named things a namespace holds now."""
    used = dict.fromkeys(names, Fraction(0))
    for resource in {_counted_resource(name) for name in names}:
        for _, stored in store.scan(resource, namespace):
            for name, amount in counted(quota, resource, stored.body).items():
                used[name] += amount
    return used


def counted(quota: Body, resource: str, body: Body) -> Usage:
    """Return what an object counts for in a quota, of the things that this limits."""
    served = _BY_KEY.get(resource) or _custom(resource)
    if not is_in_scope(quota, served, body):
        return {}
    hard = mapping(quota, "spec", "hard")
    return {name: amount for name, amount in usage_of(served, body).items() if name in hard}


def _counted_resource(name: str) -> str:
    """Return the resource whose objects a quota's name counts."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    return name if name in _BY_KEY else "pods"


def _custom(key: str) -> Resource:
    plural, _, group = key.partition(".")
    return Resource(group, "", plural, "")
