"""A new cluster: its controllers, and the objects that exist from the beginning."""

from typing import Any

from sandbox.clock import Clock
from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.built_in_controllers import GarbageCollector, NamespaceController
from sandbox.kubernetes.calls import Call, Caller
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.quota import QuotaStatus
from sandbox.kubernetes.resources import BY_KEY
from sandbox.kubernetes.store import Store

_SERVER = Caller("system:apiserver", ("system:masters", "system:authenticated"), "kube-apiserver")
_RBAC = "rbac.authorization.k8s.io"
_PATHS = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"]
_HEALTH = ["/healthz", "/livez", "/readyz"]


def assemble(clock: Clock) -> Engine:
    """Return the engine of a new cluster."""
    engine = Engine(Store(clock))
    for controller in (NamespaceController(engine), GarbageCollector(engine), QuotaStatus(engine)):
        engine.add_follower(controller.follow)
    _furnish(engine)
    engine.store.compact()
    return engine


def _furnish(engine: Engine) -> None:
    """Create the namespaces, priority classes and roles of every cluster."""
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        _create(engine, "namespaces", {"metadata": {"name": name}})
    for name, value in (("cluster", 2_000_000_000), ("node", 2_000_001_000)):
        body = {"metadata": {"name": f"system-{name}-critical"}, "value": value}
        _create(engine, "priorityclasses.scheduling.k8s.io", body)
    _role(engine, "cluster-admin", [_rule("*", ["*"], ["*"]), _path_rule(["*"], ["*"])])
    _role(engine, "system:discovery", [_path_rule([*_PATHS, *_HEALTH], ["get"])])
    reviews = _rule("authorization.k8s.io", ["selfsubjectaccessreviews"], ["create"])
    _role(engine, "system:basic-user", [reviews])
    _role(engine, "system:public-info-viewer", [_path_rule([*_HEALTH, "/version"], ["get"])])
    _bind(engine, "cluster-admin", "system:masters")
    _bind(engine, "system:discovery", "system:authenticated")
    _bind(engine, "system:public-info-viewer", "system:authenticated", "system:unauthenticated")
    _bind(engine, "system:basic-user", "system:authenticated")


def _create(engine: Engine, resource: str, body: Body, namespace: str = "") -> None:
    engine.execute(Call("create", BY_KEY[resource], _SERVER, namespace, body=body))


def _rule(group: str, resources: list[str], verbs: list[str]) -> Body:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _path_rule(paths: list[str], verbs: list[str]) -> Body:
    return {"nonResourceURLs": paths, "verbs": verbs}


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}


def _role(engine: Engine, name: str, rules: list[Body]) -> None:
    body = {"metadata": _metadata(name), "rules": rules}
    _create(engine, f"clusterroles.{_RBAC}", body)


def _bind(engine: Engine, role: str, *groups: str) -> None:
    body = {
        "metadata": _metadata(role),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": name} for name in groups],
    }
    _create(engine, f"clusterrolebindings.{_RBAC}", body)
