"""NamespaceLifecycle: a namespace must be there, and not be going away."""

from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.statuses import forbidden, not_found
from sandbox.kubernetes.store import Store

_NAMESPACE = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
_UNDELETABLE = ("default", "kube-system", "kube-public")


def check_namespace(attributes: Attributes, store: Store) -> None:
    """Refuse to create in a namespace that does not exist, or is being deleted."""
    if attributes.verb != "create" or not attributes.resource.namespaced:
        return
    namespace = store.get("namespaces", ("", attributes.namespace))
    if namespace is None:
        raise not_found(_NAMESPACE, attributes.namespace)
    if namespace.body["metadata"].get("deletionTimestamp") and not attributes.subresource:
        name = attributes.namespace
        error = forbidden(
            attributes.resource,
            attributes.name,
            f"unable to create new content in namespace {name} because it is being terminated",
        )
        # Controllers tell by this cause that trying again is of no use.
        error.status["details"]["causes"] = [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {name} is being terminated",
                "field": "metadata.namespace",
            }
        ]
        raise error


def check_namespace_deletion(resource: Resource, name: str) -> None:
    """Refuse to delete the namespaces that a cluster cannot be without."""
    if resource.key == "namespaces" and name in _UNDELETABLE:
        raise forbidden(resource, name, "this namespace may not be deleted")
