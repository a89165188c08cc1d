"""Fields that the server sets: identity, generation, status, generated labels."""

import random
import uuid
from datetime import datetime

from sandbox.kubernetes.bodies import Body, clone, format_seconds, items, mapping
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import empty_status
from sandbox.kubernetes.statuses import unknown_path

VIEWS = ("", "status", "ephemeralcontainers", "finalize")
_SUFFIX_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED = 63 - 5
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"


def generate_name(prefix: str) -> str:
    """Return a generateName with a random suffix; without vowels, it cannot form a word."""
    # Names need to be distinct, not secret.
    suffix = "".join(random.choices(_SUFFIX_CHARACTERS, k=5))  # noqa: S311
    return prefix[:_MAX_GENERATED] + suffix


def prepare_for_create(resource: Resource, body: Body, now: datetime) -> None:
    """Set the server's fields of a new object."""
    metadata = body["metadata"]
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"):
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = format_seconds(now)
    if resource.has_generation:
        metadata["generation"] = 1
    if "status" in resource.subresources:
        body.pop("status", None)
        body["status"] = empty_status(resource)
    prepare = _ON_CREATE.get(resource.key)
    if prepare is not None:
        prepare(body)


def prepare_for_update(resource: Resource, body: Body, before: Body) -> None:
    """Keep the fields that an update cannot change, and count the generation."""
    metadata, old = body["metadata"], before["metadata"]
    for field in _KEPT:
        if field in old and not (field == "uid" and metadata.get("uid")):
            metadata[field] = old[field]
        elif field not in old:
            metadata.pop(field, None)
    if "status" in resource.subresources:
        body.pop("status", None)
        if "status" in before:
            body["status"] = clone(before["status"])
    if resource.key == "pods" and "ephemeralContainers" in mapping(before, "spec"):
        body["spec"].setdefault("ephemeralContainers", before["spec"]["ephemeralContainers"])
    _count_generation(body, before)


def _count_generation(body: Body, before: Body) -> None:
    metadata, old = body["metadata"], before["metadata"]
    metadata.pop("generation", None)
    if "generation" in old:
        changed = _desired(body) != _desired(before)
        metadata["generation"] = old["generation"] + changed


def _desired(body: Body) -> Body:
    """Return the fields whose change counts as a new generation."""
    if "spec" in body:
        return mapping(body, "spec")
    return {key: value for key, value in body.items() if key not in ("metadata", "status")}


def _write_status(body: Body, before: Body) -> Body:
    """Return the object after a write of its status, which may change labels and annotations."""
    result: Body = clone(before)
    result.pop("status", None)
    if "status" in body:
        result["status"] = body["status"]
    for field in ("labels", "annotations"):
        result["metadata"].pop(field, None)
        if field in body["metadata"]:
            result["metadata"][field] = body["metadata"][field]
    return result


def check_view(resource: Resource, subresource: str) -> None:
    """
    Check that a resource has a subresource that is a view of the object.

    Raises:
        ApiError: 404.
    """
    if subresource and (subresource not in resource.subresources or subresource not in VIEWS):
        raise unknown_path()


def write_view(resource: Resource, subresource: str, body: Body, before: Body) -> Body:
    """Return the object after a write of one of its views."""
    if subresource == "status":
        return _write_status(body, before)
    if subresource == "":
        prepare_for_update(resource, body, before)
        return body
    field = {"ephemeralcontainers": "ephemeralContainers", "finalize": "finalizers"}[subresource]
    result: Body = clone(before)
    result["spec"][field] = items(body, "spec", field)
    prepare_for_update(resource, result, before)
    return result


def _prepare_pod(body: Body) -> None:
    body["status"] = {"phase": "Pending", "qosClass": qos_class(mapping(body, "spec"))}


def qos_class(spec: Body) -> str:
    """Return a pod's quality of service, from its containers' requests and limits."""
    listed = [*spec.get("initContainers", ()), *spec.get("containers", ())]
    resources = [mapping(container, "resources") for container in listed]
    wanted = [
        (mapping(one, "requests").get(name), mapping(one, "limits").get(name))
        for one in resources
        for name in ("cpu", "memory")
    ]
    if not any(request or limit for request, limit in wanted):
        return "BestEffort"
    if all(limit and request in (None, limit) for request, limit in wanted):
        return "Guaranteed"
    return "Burstable"


def generated_labels(job: Body) -> dict[str, str]:
    """Return the labels that the pods of a Job get."""
    uid, name = job["metadata"].get("uid", ""), job["metadata"].get("name", "")
    return {CONTROLLER_UID: uid, "controller-uid": uid, JOB_NAME: name, "job-name": name}


def _prepare_job(body: Body) -> None:
    """Generate the selector, and the labels of the pods, from the Job's uid and name."""
    spec = mapping(body, "spec")
    if spec.get("manualSelector"):
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    labels.update(generated_labels(body))
    selector = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    selector[CONTROLLER_UID] = body["metadata"]["uid"]
    body["spec"] = spec
    if not body["metadata"].get("labels"):
        body["metadata"]["labels"] = dict(labels)


def _prepare_namespace(body: Body) -> None:
    name = body["metadata"].get("name", "")
    body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
    body.setdefault("spec", {})["finalizers"] = ["kubernetes"]
    body["status"] = {"phase": "Active"}


_ON_CREATE = {
    "pods": _prepare_pod,
    "jobs.batch": _prepare_job,
    "namespaces": _prepare_namespace,
}
