"""The controller that counts what quotas limit."""

from fractions import Fraction

from sandbox.kubernetes.admission.quota import QUOTAS, counted, format_used, noted, used_by
from sandbox.kubernetes.admission.usage import Usage
from sandbox.kubernetes.bodies import Body, mapping
from sandbox.kubernetes.calls import MERGE_PATCH, Call, Caller
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.statuses import ApiError
from sandbox.kubernetes.store import Change, Name

_CONTROLLER = Caller(
    "system:serviceaccount:kube-system:resourcequota-controller",
    ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
    "kube-controller-manager/v1.36.0 (linux/amd64)",
)


class QuotaStatus:
    """Keeps the status of quotas at what their namespaces hold."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.cluster.store

    def follow(self, change: Change) -> None:
        """Count what a write added or took; and all, for a quota that is new or changed."""
        recounted = None
        if change.resource == QUOTAS and _is_redefined(change):
            recounted = change.name
            self._recount(*change.name)
        if not change.name[0]:
            return
        for name, stored in self._store.scan(QUOTAS, change.name[0]):
            if name != recounted:
                self._adjust(name, stored.body, change)

    def _recount(self, namespace: str, name: str) -> None:
        stored = self._store.get(QUOTAS, (namespace, name))
        if stored is not None:
            hard = mapping(stored.body, "spec", "hard")
            used = used_by(stored.body, namespace, set(hard), self._store)
            self._write(namespace, name, stored.body, used)

    def _adjust(self, name: Name, quota: Body, change: Change) -> None:
        """Add the difference that a write makes: counting all anew takes long in a full cluster."""
        used = noted(quota)
        for stored, sign in ((change.before, -1), (change.after, 1)):
            if stored is not None:
                for key, amount in counted(quota, change.resource, stored.body).items():
                    used[key] = used.get(key, Fraction(0)) + sign * amount
        if used != noted(quota):
            self._write(*name, quota, used)

    def _write(self, namespace: str, name: str, quota: Body, used: Usage) -> None:
        hard = mapping(quota, "spec", "hard")
        shown = {key: format_used(key, amount) for key, amount in used.items()}
        # Null takes out what the quota no longer limits.
        gone: Body = dict.fromkeys(set(mapping(quota, "status", "hard")) - set(hard))
        status = {"hard": gone | hard, "used": gone | shown}
        call = Call(
            "patch",
            self._engine.cluster.resources.named(QUOTAS),
            _CONTROLLER,
            namespace,
            name,
            "status",
            {"status": status},
            MERGE_PATCH,
        )
        try:
            self._engine.execute(call)
        except ApiError as error:
            if error.code != 404:  # noqa: PLR2004 - it went away meanwhile
                raise


def _is_redefined(change: Change) -> bool:
    if change.after is None:
        return False
    before = change.before
    return before is None or mapping(before.body, "spec") != mapping(change.after.body, "spec")
