"""ServiceAccount: every pod has one, which exists, and its token is mounted unless refused."""

from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.bodies import Body, containers, items
from sandbox.kubernetes.statuses import forbidden
from sandbox.kubernetes.store import Store
from sandbox.kubernetes.strategies import generate_name

_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105


def admit_service_account(attributes: Attributes, store: Store) -> None:
    """Give a pod the account ``default`` if it names none, and mount the account's token."""
    if (attributes.verb, attributes.resource.key) != ("create", "pods") or attributes.subresource:
        return
    spec = attributes.body["spec"]
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = store.get("serviceaccounts", (attributes.namespace, name))
    if account is None:
        raise forbidden(
            attributes.resource,
            attributes.name,
            f"error looking up service account {attributes.namespace}/{name}: "
            f'serviceaccount "{name}" not found',
        )
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
    namespace = {
        "path": "namespace",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
    }
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
