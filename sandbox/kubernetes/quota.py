"""ResourceQuota: the check at admission, and the controller that counts."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from kubernetes.utils.quantity import parse_quantity

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.calls import MERGE_PATCH, Attributes, Call, Caller
from sandbox.kubernetes.resources import BY_KEY
from sandbox.kubernetes.selectors import requirement
from sandbox.kubernetes.statuses import ApiError, forbidden
from sandbox.kubernetes.store import Change, Name, Store

if TYPE_CHECKING:
    from sandbox.kubernetes.engine import Engine

Usage = dict[str, Decimal]

_QUOTAS = "resourcequotas"
_COUNTED = ("services", "secrets", "configmaps", "replicationcontrollers", "resourcequotas")
"""Core resources that a quota can name without ``count/``."""
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_CONTROLLER = Caller(
    "system:serviceaccount:kube-system:resourcequota-controller",
    ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
    "kube-controller-manager/v1.36.0 (linux/amd64)",
)


def check_quota(attributes: Attributes, store: Store) -> None:
    """Refuse a new object that would exceed a quota of its namespace."""
    if attributes.verb != "create" or attributes.subresource:
        return
    resource = attributes.resource.key
    for (_, name), quota in sorted(store.scan(_QUOTAS, attributes.namespace or "-")):
        if why := _excess(quota.body, resource, attributes.body):
            raise forbidden(attributes.resource, attributes.name, why.format(name=name))


def _excess(quota: Body, resource: str, body: Body) -> str:
    if not _is_in_scope(quota, resource, body):
        return ""
    hard = {key: parse_quantity(text) for key, text in mapping(quota, "spec", "hard").items()}
    lacking = [f"{key} for: {names}" for key, names in _unspecified(resource, body, set(hard))]
    if lacking:
        return f"failed quota: {{name}}: must specify {'; '.join(lacking)}"
    asked = {key: amount for key, amount in counted(quota, resource, body).items() if amount}
    used = _noted(quota)
    over = sorted(key for key, amount in asked.items() if used[key] + amount > hard[key])
    if not over:
        return ""
    parts = (("requested", asked), ("used", used), ("limited", hard))
    texts = (f"{word}: {_text(amounts, over)}" for word, amounts in parts)
    return f"exceeded quota: {{name}}, {', '.join(texts)}"


def _text(amounts: Usage, names: list[str]) -> str:
    return ",".join(f"{name}={_format(name, amounts[name])}" for name in names)


def _format(name: str, amount: Decimal) -> str:
    """
    Format an amount in its canonical form.

    >>> _format("cpu", Decimal("1.5")), _format("memory", Decimal(2**31))
    ('1500m', '2Gi')
    """
    if amount % 1:
        return f"{math.ceil(amount * 1000)}m"
    number, size = int(amount), 1024 if "memory" in name or "storage" in name else 1000
    suffixes = ("Ki", "Mi", "Gi", "Ti") if size == 1024 else ("k", "M", "G", "T")  # noqa: PLR2004
    suffix = ""
    for larger in suffixes:
        if not number or number % size:
            break
        number, suffix = number // size, larger
    return f"{number}{suffix}"


def _noted(quota: Body) -> Usage:
    used = mapping(quota, "status", "used")
    return {name: parse_quantity(text) for name, text in used.items()}


def counted(quota: Body, resource: str, body: Body) -> Usage:
    """Return the amounts that an object adds to a quota."""
    if not _is_in_scope(quota, resource, body):
        return {}
    hard = mapping(quota, "spec", "hard")
    return {name: amount for name, amount in _usage(resource, body).items() if name in hard}


def _usage(resource: str, body: Body) -> Usage:
    usage: Usage = {f"count/{resource}": Decimal(1)}
    if resource in _COUNTED:
        usage[resource] = Decimal(1)
    if resource == "pods" and dig(body, "status", "phase") not in ("Succeeded", "Failed"):
        usage["pods"] = Decimal(1)
        usage |= _compute(mapping(body, "spec"))
    return usage


def _compute(spec: Body) -> Usage:
    usage = {f"limits.{name}": one for name, one in _amounts(spec, "limits").items()}
    for name, amount in _amounts(spec, "requests").items():
        usage[f"requests.{name}"] = amount
        if name in _COMPUTE:
            usage[name] = amount
    return usage


def _amounts(spec: Body, field: str) -> Usage:
    """Return the sum of the containers, or the amount of one init container if it is larger."""
    result: Usage = {}
    for container in items(spec, "containers"):
        for name, text in mapping(container, "resources", field).items():
            result[name] = result.get(name, Decimal(0)) + parse_quantity(text)
    for container in items(spec, "initContainers"):
        for name, text in mapping(container, "resources", field).items():
            result[name] = max(result.get(name, Decimal(0)), parse_quantity(text))
    return result


def _unspecified(resource: str, body: Body, limited: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the limited amounts that containers do not state, with the containers' names."""
    spec = mapping(body, "spec") if resource == "pods" else {}
    listed = [*items(spec, "initContainers"), *items(spec, "containers")]
    for name in sorted(limited):
        field, _, compute = name.rpartition(".")
        if compute in _COMPUTE and field in ("", "requests", "limits"):
            path = ("resources", field or "requests")
            lacking = [one["name"] for one in listed if compute not in mapping(one, *path)]
            if lacking:
                yield name, ",".join(lacking)


def _is_in_scope(quota: Body, resource: str, body: Body) -> bool:
    """Whether a quota counts an object; the only scope in use is the priority class of pods."""
    scopes = items(quota, "spec", "scopeSelector", "matchExpressions")
    if not scopes:
        return True
    chosen = dig(body, "spec", "priorityClassName")
    labels = {"class": chosen} if chosen else {}
    return resource == "pods" and all(
        requirement("class", scope["operator"], items(scope, "values"))(labels) for scope in scopes
    )


class QuotaStatus:
    """Keeps the status of quotas up to date."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._store: Store = engine.store

    def follow(self, change: Change) -> None:
        """Add the difference of a write; count everything for a new or changed quota."""
        recounted = None
        if change.resource == _QUOTAS and _is_redefined(change):
            recounted = change.name
            self._recount(*change.name)
        for name, stored in self._store.scan(_QUOTAS, change.name[0] or "-"):
            if name != recounted:
                self._adjust(name, stored.body, change)

    def _recount(self, namespace: str, name: str) -> None:
        stored = self._store.get(_QUOTAS, (namespace, name))
        if stored is None:
            return
        used = dict.fromkeys(mapping(stored.body, "spec", "hard"), Decimal(0))
        for resource in BY_KEY:
            for _, each in self._store.scan(resource, namespace):
                for key, amount in counted(stored.body, resource, each.body).items():
                    used[key] += amount
        self._write(namespace, name, stored.body, used)

    def _adjust(self, name: Name, quota: Body, change: Change) -> None:
        used = _noted(quota)
        for stored, sign in ((change.before, -1), (change.after, 1)):
            if stored is not None:
                for key, amount in counted(quota, change.resource, stored.body).items():
                    used[key] = used.get(key, Decimal(0)) + sign * amount
        if used != _noted(quota):
            self._write(*name, quota, used)

    def _write(self, namespace: str, name: str, quota: Body, used: Usage) -> None:
        hard = mapping(quota, "spec", "hard")
        shown = {key: _format(key, amount) for key, amount in used.items()}
        # Null removes the amounts that the quota no longer limits.
        gone: Body = dict.fromkeys(set(mapping(quota, "status", "hard")) - set(hard))
        body = {"status": {"hard": gone | hard, "used": gone | shown}}
        resource = BY_KEY[_QUOTAS]
        names = (namespace, name, "status")
        try:
            self._engine.execute(
                Call("patch", resource, _CONTROLLER, *names, body=body, content_type=MERGE_PATCH)
            )
        except ApiError as error:
            if error.code != 404:  # noqa: PLR2004 - it was deleted meanwhile
                raise


def _is_redefined(change: Change) -> bool:
    if change.after is None:
        return False
    before = change.before
    return before is None or mapping(before.body, "spec") != mapping(change.after.body, "spec")
