"""The controller that counts what quotas limit."""

from sandbox.kubernetes.admission.quota import QUOTAS, counted_resource, format_used, used_by
from sandbox.kubernetes.bodies import dig, mapping
from sandbox.kubernetes.calls import MERGE_PATCH, Call, Caller
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.statuses import ApiError
from sandbox.kubernetes.store import Change

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
        """Count anew, if a write can have changed a count."""
        if change.resource == QUOTAS and change.after is not None:
            self._refresh(*change.name)
        elif change.name[0]:
            for (namespace, name), stored in self._store.scan(QUOTAS, change.name[0]):
                hard = mapping(stored.body, "spec", "hard")
                if change.resource in {counted_resource(one) for one in hard}:
                    self._refresh(namespace, name)

    def _refresh(self, namespace: str, name: str) -> None:
        stored = self._store.get(QUOTAS, (namespace, name))
        if stored is None:
            return
        hard = mapping(stored.body, "spec", "hard")
        used = used_by(stored.body, namespace, set(hard), self._store)
        shown = {key: format_used(key, amount) for key, amount in used.items()}
        if (
            dig(stored.body, "status", "used") == shown
            and dig(stored.body, "status", "hard") == hard
        ):
            return
        call = Call(
            "patch",
            self._engine.cluster.resources.named(QUOTAS),
            _CONTROLLER,
            namespace,
            name,
            "status",
            {"status": {"hard": hard, "used": shown}},
            MERGE_PATCH,
        )
        try:
            self._engine.execute(call)
        except ApiError as error:
            if error.code != 404:  # noqa: PLR2004 - it went away meanwhile
                raise
