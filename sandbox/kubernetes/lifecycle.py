"""What the server's own controllers do for namespaces and for custom resource definitions."""

from sandbox.kubernetes.bodies import Body, items, mapping
from sandbox.kubernetes.calls import Call, Caller, Deletion
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.store import Change

_AGENT = "kube-controller-manager/v1.36.0 (linux/amd64)"
_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


def _controller(name: str) -> Caller:
    return Caller(f"system:serviceaccount:kube-system:{name}", _GROUPS, _AGENT)


class NamespaceLifecycle:
    """Furnishes new namespaces, and empties those that are being deleted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cluster = engine.cluster

    def follow(self, change: Change) -> None:
        """Do what a write asks for."""
        if change.resource == "namespaces" and change.after is not None:
            name = change.name[1]
            if change.before is None:
                self._furnish(name)
            elif change.after.body["metadata"].get("deletionTimestamp"):
                self._empty(name)
        elif change.after is None and change.name[0]:
            self._finish(change.name[0])

    def _furnish(self, namespace: str) -> None:
        self._create(
            "serviceaccounts",
            namespace,
            {"metadata": {"name": "default"}},
            "service-account-controller",
        )
        self._create(
            "configmaps",
            namespace,
            {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ""}},
            "root-ca-cert-publisher",
        )

    def _create(self, resource: str, namespace: str, body: Body, controller: str) -> None:
        served = self._cluster.resources.named(resource)
        self._engine.execute(Call("create", served, _controller(controller), namespace, body=body))

    def _empty(self, namespace: str) -> None:
        caller = _controller("namespace-controller")
        for resource in self._namespaced():
            if any(self._cluster.store.scan(resource.key, namespace)):
                deletion = Deletion("Background")
                call = Call("deletecollection", resource, caller, namespace, deletion=deletion)
                self._engine.execute(call)
        self._finish(namespace)

    def _finish(self, namespace: str) -> None:
        """Let a namespace go that is being deleted and holds nothing any more."""
        store = self._cluster.store
        stored = store.get("namespaces", ("", namespace))
        if stored is None or not stored.body["metadata"].get("deletionTimestamp"):
            return
        if any(any(store.scan(resource.key, namespace)) for resource in self._namespaced()):
            return
        if not items(stored.body, "spec", "finalizers"):
            return
        body = stored.copy()
        body["spec"]["finalizers"] = []
        self._engine.execute(
            Call(
                "update",
                self._cluster.resources.named("namespaces"),
                _controller("namespace-controller"),
                name=namespace,
                subresource="finalize",
                body=body,
            )
        )

    def _namespaced(self) -> list[Resource]:
        return [one for one in self._cluster.resources.all() if one.namespaced and one.stored]


class DefinitionLifecycle:
    """Serves what CustomResourceDefinitions define, as long as they are there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._resources = engine.cluster.resources

    def follow(self, change: Change) -> None:
        """Serve, or serve no longer, what a definition defines."""
        if change.resource != _DEFINITIONS:
            return
        before = mapping(change.before.body, "spec") if change.before is not None else None
        after = mapping(change.after.body, "spec") if change.after is not None else None
        if before == after:
            return
        if before is not None:
            if after is None:
                self._delete_all(before)
            self._resources.remove(before["group"], before["names"]["plural"])
        for resource in custom_resources(after) if after is not None else ():
            self._resources.add(resource)

    def _delete_all(self, spec: Body) -> None:
        """Delete what was defined: nothing serves it any more."""
        for resource in custom_resources(spec)[:1]:
            deletion = Deletion("Background")
            caller = _controller("customresourcedefinition-controller")
            self._engine.execute(Call("deletecollection", resource, caller, deletion=deletion))


def custom_resources(spec: Body) -> list[Resource]:
    """Return the resources that a definition defines, one for each served version."""
    names = spec["names"]
    return [
        Resource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            spec.get("scope") == "Namespaced",
            tuple(mapping(version, "subresources")),
            tuple(names.get("shortNames", ())),
            has_generation=True,
            singular=names.get("singular", ""),
            categories=tuple(names.get("categories", ())),
            custom=True,
        )
        for version in items(spec, "versions")
        if version.get("served")
    ]
