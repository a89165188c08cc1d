"""The admission plugins, in the order of the API server."""

from sandbox.kubernetes.bodies import Body, containers, items
from sandbox.kubernetes.calls import Attributes
from sandbox.kubernetes.mutating_policy import admit_mutating_policies
from sandbox.kubernetes.pod_security import check_pod_security
from sandbox.kubernetes.quota import check_quota
from sandbox.kubernetes.resources import BY_KEY
from sandbox.kubernetes.server_fields import generate_name
from sandbox.kubernetes.statuses import ApiError, forbidden, not_found
from sandbox.kubernetes.store import Store

_CLASSES = "priorityclasses.scheduling.k8s.io"
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105


def mutate(attributes: Attributes, store: Store) -> None:
    """Run the plugins that may change the object; the policies that users wrote run last."""
    if attributes.verb == "create" and attributes.resource.namespaced:
        _check_namespace(attributes, store)
    if attributes.is_new("pods"):
        _admit_service_account(attributes, store)
        _admit_priority(attributes, store)
        _admit_tolerations(attributes.body["spec"])
    admit_mutating_policies(attributes, store)


def check(attributes: Attributes, store: Store) -> None:
    """Run the plugins that only refuse, after validation."""
    check_pod_security(attributes, store)
    check_quota(attributes, store)


def _refuse(attributes: Attributes, why: str) -> ApiError:
    return forbidden(attributes.resource, attributes.name, why)


def _check_namespace(attributes: Attributes, store: Store) -> None:
    """Require that the namespace exists and is not being deleted."""
    name = attributes.namespace
    namespace = store.get("namespaces", ("", name))
    if namespace is None:
        raise not_found(BY_KEY["namespaces"], name)
    if namespace.body["metadata"].get("deletionTimestamp") and not attributes.subresource:
        why = f"unable to create new content in namespace {name} because it is being terminated"
        error = _refuse(attributes, why)
        # Controllers stop retrying when they see this cause.
        cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
        cause["message"] = f"namespace {name} is being terminated"
        error.status["details"]["causes"] = [cause]
        raise error


def _admit_service_account(attributes: Attributes, store: Store) -> None:
    """Set the account, ``default`` if the pod names none, and mount its token."""
    spec = attributes.body["spec"]
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = store.get("serviceaccounts", (attributes.namespace, name))
    if account is None:
        where = f"{attributes.namespace}/{name}"
        why = f'error looking up service account {where}: serviceaccount "{name}" not found'
        raise _refuse(attributes, why)
    automount = spec.get("automountServiceAccountToken")
    if automount is None:
        automount = account.body.get("automountServiceAccountToken", True)
    if automount:
        _mount_token(spec)


def _mount_token(spec: Body) -> None:
    name = generate_name("kube-api-access-")
    mounted = False
    for _, _, container in containers(spec):
        if all(mount.get("mountPath") != _TOKEN_PATH for mount in items(container, "volumeMounts")):
            mount = {"name": name, "readOnly": True, "mountPath": _TOKEN_PATH}
            container.setdefault("volumeMounts", []).append(mount)
            mounted = True
    if mounted:
        spec.setdefault("volumes", []).append(_token_volume(name))


def _token_volume(name: str) -> Body:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 420}}


def _admit_priority(attributes: Attributes, store: Store) -> None:
    """Set the priority of the pod's class; the class must exist."""
    spec = attributes.body["spec"]
    chosen = _class_of(attributes, store)
    priority = chosen.get("value", 0)
    if spec.get("priority", priority) != priority:
        why = (
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {priority} from the given PriorityClass name"
        )
        raise _refuse(attributes, why)
    spec["priority"] = priority
    spec["preemptionPolicy"] = chosen.get("preemptionPolicy", "PreemptLowerPriority")


def _class_of(attributes: Attributes, store: Store) -> Body:
    name = attributes.body["spec"].get("priorityClassName")
    if not name:
        return {}
    stored = store.get(_CLASSES, ("", name))
    if stored is None:
        raise _refuse(attributes, f"no PriorityClass with name {name} was found")
    return stored.body


def _admit_tolerations(spec: Body) -> None:
    """Let the pod stay five minutes on a node that became unreachable, by default."""
    listed = spec.setdefault("tolerations", [])
    for taint in _TAINTS:
        if not any(
            one.get("key", "") in ("", taint) and one.get("effect", "") in ("", "NoExecute")
            for one in listed
        ):
            added = {"key": taint, "operator": "Exists", "effect": "NoExecute"}
            listed.append(added | {"tolerationSeconds": 300})
