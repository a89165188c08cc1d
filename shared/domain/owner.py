"""The owner of a Kubernetes object, and names of workloads."""

from collections.abc import Mapping
from typing import Any

from shared.domain.json_access import field_at, mappings_of, text_of

_REFERENCE = ("apiVersion", "kind", "name")
_HASH_LABEL = "pod-template-hash"

_BUILT_IN_CONTROLLERS = frozenset({"apps/v1", "batch/v1"})


def has_built_in_controller(body: Mapping[str, Any]) -> bool:
    """
    Whether a built-in controller created the object from one with the same images.

    A custom resource does not count: the objects of its controller are the first to be examined.
    """
    controller = find_controller(body)
    return text_of(controller.get("apiVersion")) in _BUILT_IN_CONTROLLERS or (
        controller.get("apiVersion") == "v1" and controller.get("kind") == "ReplicationController"
    )


def find_controller(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the reference to the controller of an object; empty if it has none."""
    owners = mappings_of(field_at(body, ("metadata", "ownerReferences")))
    return next((owner for owner in owners if owner.get("controller") is True), {})


def find_workload(pod: Mapping[str, Any]) -> str:
    """
    Name the workload of a pod, in the form of the audit log.

    The name of a ReplicaSet is the name of its Deployment and a hash, which is a label of its pods.
    """
    namespace = text_of(field_at(pod, ("metadata", "namespace"))) or ""
    controller = find_controller(pod)
    api_version, kind, name = (text_of(controller.get(key)) or "" for key in _REFERENCE)
    if not name:
        name = text_of(field_at(pod, ("metadata", "name"))) or ""
        api_version, kind = "v1", "Pod"
    suffix = f"-{text_of(field_at(pod, ('metadata', 'labels', _HASH_LABEL)))}"
    if kind == "ReplicaSet" and name.endswith(suffix):
        kind, name = "Deployment", name.removesuffix(suffix)
    return resource_name(api_version, f"{kind.lower()}s", namespace, name)


def resource_name(api_version: str, plural: str, namespace: str, name: str) -> str:
    """
    Name an object in the form of the audit log.

    >>> resource_name("v1", "pods", "ml", "trainer-0")
    'core/v1/namespaces/ml/pods/trainer-0'
    """
    group = api_version if "/" in api_version else f"core/{api_version}"
    return f"{group}/namespaces/{namespace}/{plural}/{name}"
