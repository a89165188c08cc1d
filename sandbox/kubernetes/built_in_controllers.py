"""The controllers that are part of the server: garbage collection and namespaces."""

from typing import Any

from sandbox.kubernetes.bodies import Body, items
from sandbox.kubernetes.calls import MERGE_PATCH, Call, Caller, Deletion
from sandbox.kubernetes.deletion import FOREGROUND, ORPHAN
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.resources import BY_KEY, RESOURCES, find_kind
from sandbox.kubernetes.statuses import ApiError
from sandbox.kubernetes.store import Change, Name, Stored

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
                self._release(change.before)
        elif change.after.body["metadata"].get("deletionTimestamp"):
            self._prepare_deletion(change.resource, change.name, change.after)
        elif change.before is None:
            self._collect_if_ownerless(change.resource, change.name, change.after)

    def _release(self, gone: Stored) -> None:
        """Delete the dependents without another owner, and finish waiting owners."""
        uid = gone.body["metadata"]["uid"]
        for resource, name in self._store.dependents(uid):
            dependent = self._store.get(resource, name)
            if dependent is None:
                continue
            if self._has_owner(dependent):
                self._remove_owner(resource, name, dependent, uid)
            else:
                self._delete(resource, name, dependent, "Background")
        for owner in items(gone.body["metadata"], "ownerReferences"):
            self._reconsider(owner, gone.body["metadata"].get("namespace", ""))

    def _has_owner(self, dependent: Stored) -> bool:
        owners = items(dependent.body["metadata"], "ownerReferences")
        return any(self._store.has_uid(owner["uid"]) for owner in owners)

    def _collect_if_ownerless(self, resource: str, name: Name, created: Stored) -> None:
        if items(created.body["metadata"], "ownerReferences") and not self._has_owner(created):
            self._delete(resource, name, created, "Background")

    def _reconsider(self, owner: Body, namespace: str) -> None:
        resource = find_kind(owner["apiVersion"], owner["kind"])
        if resource is None:
            return
        name = (namespace if resource.namespaced else "", owner["name"])
        stored = self._store.get(resource.key, name)
        if stored is not None and stored.body["metadata"].get("deletionTimestamp"):
            self._prepare_deletion(resource.key, name, stored)

    def _prepare_deletion(self, resource: str, name: Name, owner: Stored) -> None:
        metadata = owner.body["metadata"]
        finalizers = items(metadata, "finalizers")
        uid = metadata["uid"]
        if ORPHAN in finalizers:
            for other, key in self._store.dependents(uid):
                dependent = self._store.get(other, key)
                if dependent is not None:
                    self._remove_owner(other, key, dependent, uid)
            self._remove_finalizer(resource, name, owner, ORPHAN)
        elif FOREGROUND in finalizers:
            blocking = False
            for other, key in self._store.dependents(uid):
                blocking |= self._delete_dependent(other, key, uid)
            if not blocking:
                self._remove_finalizer(resource, name, owner, FOREGROUND)

    def _delete_dependent(self, resource: str, name: Name, uid: str) -> bool:
        """Delete a dependent; return whether its owner must wait for it."""
        dependent = self._store.get(resource, name)
        if dependent is not None and not dependent.body["metadata"].get("deletionTimestamp"):
            self._delete(resource, name, dependent, "Foreground")
            dependent = self._store.get(resource, name)
        if dependent is None:
            return False
        owners = items(dependent.body["metadata"], "ownerReferences")
        return any(one["uid"] == uid and one.get("blockOwnerDeletion") for one in owners)

    def _remove_owner(self, resource: str, name: Name, dependent: Stored, uid: str) -> None:
        owners = items(dependent.body["metadata"], "ownerReferences")
        left = [owner for owner in owners if owner["uid"] != uid]
        self._patch(resource, name, {"ownerReferences": left or None})

    def _remove_finalizer(self, resource: str, name: Name, owner: Stored, finalizer: str) -> None:
        current = self._store.get(resource, name)
        if current is None or current.body["metadata"]["uid"] != owner.body["metadata"]["uid"]:
            return
        left = [one for one in items(current.body["metadata"], "finalizers") if one != finalizer]
        self._patch(resource, name, {"finalizers": left or None})

    def _patch(self, resource: str, name: Name, metadata: Body) -> None:
        self._write("patch", resource, name, body={"metadata": metadata}, content_type=MERGE_PATCH)

    def _delete(self, resource: str, name: Name, dependent: Stored, policy: str) -> None:
        uid = dependent.body["metadata"]["uid"]
        self._write("delete", resource, name, deletion=Deletion(policy, uid=uid))

    def _write(self, verb: str, resource: str, name: Name, **rest: Any) -> None:
        call = Call(verb, BY_KEY[resource], _COLLECTOR, name[0], name[1], **rest)
        try:
            self._engine.execute(call)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


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
