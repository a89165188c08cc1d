"""Subresources that are another view of an object: read as one thing, written into another."""

from sandbox.kubernetes.bodies import Body, clone, dig, items, mapping
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.statuses import unknown_path
from sandbox.kubernetes.strategies import prepare_for_update, prepare_status_update

SCALE = Resource("autoscaling", "v1", "scales", "Scale")
VIEWS = ("", "status", "scale", "ephemeralcontainers", "finalize")


def view_resource(resource: Resource, subresource: str) -> Resource:
    """Return the resource whose kind a subresource speaks."""
    return SCALE if subresource == "scale" else resource


def read_view(resource: Resource, subresource: str, body: Body) -> Body:
    """
    Return what a subresource shows of an object.

    Raises:
        ApiError: 404, for a subresource that this resource does not have.
    """
    if subresource and (subresource not in resource.subresources or subresource not in VIEWS):
        raise unknown_path()
    if subresource != "scale":
        return body
    metadata = body["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": dig(body, "spec", "replicas") or 0},
        "status": {
            "replicas": dig(body, "status", "replicas") or 0,
            "selector": _selector_text(mapping(body, "spec", "selector")),
        },
    }


def _selector_text(selector: Body) -> str:
    labels = selector.get("matchLabels", selector)
    return ",".join(f"{key}={value}" for key, value in labels.items() if isinstance(value, str))


def write_view(resource: Resource, subresource: str, body: Body, before: Body) -> Body:
    """Return the object that results when a view of it is written."""
    if subresource == "status":
        return prepare_status_update(resource, body, before)
    if subresource == "":
        prepare_for_update(resource, body, before)
        return body
    result: Body = clone(before)
    if subresource == "scale":
        result["spec"]["replicas"] = dig(body, "spec", "replicas") or 0
    elif subresource == "ephemeralcontainers":
        result["spec"]["ephemeralContainers"] = items(body, "spec", "ephemeralContainers")
    elif subresource == "finalize":
        result["spec"]["finalizers"] = items(body, "spec", "finalizers")
    prepare_for_update(resource, result, before)
    return result
