"""ResourceQuotas of pods and of their requests: the check at admission, and the controller."""

from decimal import Decimal
from typing import TYPE_CHECKING

from kubernetes.utils.quantity import parse_quantity

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.calls import Attributes, Call, Caller
from sandbox.kubernetes.resources import BY_KEY
from sandbox.kubernetes.statuses import forbidden
from sandbox.kubernetes.store import Change, Name, Store, Stored

if TYPE_CHECKING:
    from sandbox.kubernetes.engine import Engine

Amounts = dict[str, Decimal]

_QUOTAS = "resourcequotas"
_CONTROLLER = Caller(
    "system:serviceaccount:kube-system:resourcequota-controller",
    ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
    "kube-controller-manager/v1.36.0 (linux/amd64)",
)


def check_quota(attributes: Attributes, store: Store) -> None:
    """Refuse a new pod that would exceed a quota of its namespace."""
    if not attributes.is_new("pods"):
        return
    usage = _usage(attributes.body)
    for (_, name), stored in sorted(store.scan(_QUOTAS, attributes.namespace)):
        hard, used = (
            _amounts(stored.body, *path) for path in (("spec", "hard"), ("status", "used"))
        )
        asked = {key: amount for key, amount in usage.items() if amount and key in hard}
        over = sorted(key for key, amount in asked.items() if used[key] + amount > hard[key])
        if over:
            texts = (
                f"{word}: {','.join(f'{key}={_shown(amounts[key])}' for key in over)}"
                for word, amounts in (("requested", asked), ("used", used), ("limited", hard))
            )
            why = f"exceeded quota: {name}, {', '.join(texts)}"
            raise forbidden(attributes.resource, attributes.name, why)


def _amounts(body: Body, *path: str) -> Amounts:
    return {name: parse_quantity(text) for name, text in mapping(body, *path).items()}


def _usage(pod: Body) -> Amounts:
    """Return the amounts that count for a pod: none for one that ended."""
    if dig(pod, "status", "phase") in ("Succeeded", "Failed"):
        return {}
    usage = {"pods": Decimal(1)}
    for container in items(pod, "spec", "containers"):
        for name, amount in _amounts(container, "resources", "requests").items():
            usage[f"requests.{name}"] = usage.get(f"requests.{name}", Decimal(0)) + amount
    return usage


def _shown(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


class QuotaStatus:
    """Keeps the status of quotas up to date."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._store: Store = engine.store

    def follow(self, change: Change) -> None:
        """Count again after a write of a pod or of a quota."""
        if change.resource in ("pods", _QUOTAS):
            for name, quota in self._store.scan(_QUOTAS, change.name[0]):
                self._count(name, quota)

    def _count(self, name: Name, quota: Stored) -> None:
        hard = mapping(quota.body, "spec", "hard")
        used = dict.fromkeys(hard, Decimal(0))
        for _, pod in self._store.scan("pods", name[0]):
            for key, amount in _usage(pod.body).items():
                if key in used:
                    used[key] += amount
        status = {"hard": hard, "used": {key: _shown(amount) for key, amount in used.items()}}
        if status != quota.body.get("status"):
            body = quota.copy() | {"status": status}
            call = Call("update", BY_KEY[_QUOTAS], _CONTROLLER, *name, "status", body)
            self._engine.execute(call)
