"""The controllers that are part of the server: garbage collection and namespaces."""

from typing import Any

from sandbox.kubernetes.bodies import Body, items
from sandbox.kubernetes.calls import MERGE_PATCH, Call, Caller, Deletion
from sandbox.kubernetes.deletion import FOREGROUND, ORPHAN
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.resources import BY_KEY, RESOURCES, find_kind
from sandbox.kubernetes.statuses import ApiError
from sandbox.kubernetes.store import Change, Name, Stored, key_of

_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
_AGENT = "kube-controller-manager/v1.36.0 (linux/amd64)"


def _controller(name: str) -> Caller:
    return Caller(f"system:serviceaccount:kube-system:{name}", _GROUPS, _AGENT)


_COLLECTOR = _controller("generic-garbage-collector")
_NAMESPACES = _controller("namespace-controller")
_NAMESPACED = [each for each in RESOURCES if each.namespaced]


class GarbageCollector:
    """Deletes the dependents of deleted owners, as the propagation policy requires."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

    def follow(self, change: Change) -> None:
        """Handle a write."""
        if change.after is None:
            if change.before is not None:
                self._release(change.before.body["metadata"])
            return
        owners = items(change.after.body, "metadata", "ownerReferences")
        if change.before is None and owners and not self._store.has_uid(owners[0]["uid"]):
            self._delete(change.resource, change.name, change.after, "Background")
        else:
            self._prepare_deletion(change.resource, change.name)

    def _release(self, gone: Body) -> None:
        """Delete the dependents of a deleted object, and finish owners that wait for it."""
        for resource, name, dependent in self._store.dependents(gone["uid"]):
            self._delete(resource, name, dependent, "Background")
        for owner in items(gone, "ownerReferences"):
            owning = find_kind(owner["apiVersion"], owner["kind"])
            if owning is not None:
                name = key_of(owning, gone.get("namespace", ""), owner["name"])
                self._prepare_deletion(owning.key, name)

    def _prepare_deletion(self, resource: str, name: Name) -> None:
        """Treat the dependents as a finalizer requires, then remove the finalizer."""
        owner = self._store.get(resource, name)
        metadata = owner.body["metadata"] if owner is not None else {}
        finalizers = items(metadata, "finalizers") if "deletionTimestamp" in metadata else []
        if ORPHAN in finalizers:
            for other, key, _ in self._store.dependents(metadata["uid"]):
                self._patch(other, key, {"ownerReferences": None})
        elif FOREGROUND in finalizers:
            for other, key, dependent in self._store.dependents(metadata["uid"]):
                if not dependent.body["metadata"].get("deletionTimestamp"):
                    self._delete(other, key, dependent, "Foreground")
            left = self._store.dependents(metadata["uid"])
            if any(_blocks(dependent, metadata["uid"]) for _, _, dependent in left):
                return
        else:
            return
        others = [one for one in finalizers if one not in (ORPHAN, FOREGROUND)]
        self._patch(resource, name, {"finalizers": others or None})

    def _patch(self, resource: str, name: Name, metadata: Body) -> None:
        self._write("patch", resource, name, body={"metadata": metadata}, content_type=MERGE_PATCH)

    def _delete(self, resource: str, name: Name, dependent: Stored, policy: str) -> None:
        uid = dependent.body["metadata"]["uid"]
        self._write("delete", resource, name, deletion=Deletion(policy, uid=uid))

    def _write(self, verb: str, resource: str, name: Name, **rest: Any) -> None:
        call = Call(verb, BY_KEY[resource], _COLLECTOR, *name, **rest)
        try:
            self._engine.execute(call)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _blocks(dependent: Stored, uid: str) -> bool:
    """Whether an owner that is deleted in the foreground waits for a dependent."""
    owners = items(dependent.body, "metadata", "ownerReferences")
    return any(one["uid"] == uid and one.get("blockOwnerDeletion") for one in owners)


class NamespaceController:
    """Fills new namespaces, and empties deleted ones."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

    def follow(self, change: Change) -> None:
        """Handle a write."""
        if change.resource == "namespaces" and change.after is not None:
            name = change.name[1]
            if change.before is None:
                self._fill(name)
            elif change.after.body["metadata"].get("deletionTimestamp"):
                self._empty(name)
        elif change.after is None and change.name[0]:
            self._finish(change.name[0])

    def _fill(self, namespace: str) -> None:
        account: Body = {"metadata": {"name": "default"}}
        certificate: Body = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ""}}
        for resource, body, controller in (
            ("serviceaccounts", account, "service-account-controller"),
            ("configmaps", certificate, "root-ca-cert-publisher"),
        ):
            caller = _controller(controller)
            self._engine.execute(Call("create", BY_KEY[resource], caller, namespace, body=body))

    def _empty(self, namespace: str) -> None:
        for resource in _NAMESPACED:
            if any(self._store.scan(resource.key, namespace)):
                deletion = Deletion("Background")
                call = Call("deletecollection", resource, _NAMESPACES, namespace, deletion=deletion)
                self._engine.execute(call)
        self._finish(namespace)

    def _finish(self, namespace: str) -> None:
        """Remove the finalizer of a deleted namespace that is empty."""
        stored = self._store.get("namespaces", ("", namespace))
        if stored is None or not stored.body["metadata"].get("deletionTimestamp"):
            return
        if any(any(self._store.scan(resource.key, namespace)) for resource in _NAMESPACED):
            return
        if not items(stored.body, "spec", "finalizers"):
            return
        body = stored.copy()
        body["spec"]["finalizers"] = []
        resource = BY_KEY["namespaces"]
        call = Call("update", resource, _NAMESPACES, "", namespace, "finalize", body)
        self._engine.execute(call)
