"""What the server itself writes into objects: identity, generation, status, generated labels."""

import random
import uuid
from datetime import datetime

from sandbox.kubernetes.bodies import Body, clone, dig, format_seconds, mapping
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import definition_of, empty_status

_SUFFIX_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED = 63 - 5
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_STATUS_WITH_METADATA = ("pods", "nodes", "jobs.batch", "namespaces", "services")
"""Resources whose status can be written together with labels and annotations."""
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"


def generate_name(prefix: str) -> str:
    """Complete a generateName; no vowels, so that no words come out."""
    # Names need not be secret, only distinct.
    suffix = "".join(random.choices(_SUFFIX_CHARACTERS, k=5))  # noqa: S311
    return prefix[:_MAX_GENERATED] + suffix


def prepare_for_create(resource: Resource, body: Body, now: datetime) -> None:
    """Give a new object what only the server decides."""
    metadata = body["metadata"]
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"):
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = format_seconds(now)
    if resource.has_generation or resource.custom:
        metadata["generation"] = 1
    if "status" in resource.subresources:
        body.pop("status", None)
        definition = definition_of(resource.group, resource.version, resource.kind)
        if definition is not None:
            body["status"] = empty_status(definition)
    prepare = _ON_CREATE.get(resource.key)
    if prepare is not None:
        prepare(body)


def prepare_for_update(resource: Resource, body: Body, before: Body) -> None:
    """Keep what a write of the whole object cannot change, and count its generation."""
    metadata, old = body["metadata"], before["metadata"]
    for field in _KEPT:
        if field in old and not (field == "uid" and metadata.get("uid")):
            metadata[field] = old[field]
        elif field not in old:
            metadata.pop(field, None)
    if "managedFields" in old:
        metadata.setdefault("managedFields", clone(old["managedFields"]))
    if "status" in resource.subresources:
        body.pop("status", None)
        if "status" in before:
            body["status"] = clone(before["status"])
    if resource.key == "pods" and "ephemeralContainers" in mapping(before, "spec"):
        body["spec"].setdefault("ephemeralContainers", before["spec"]["ephemeralContainers"])
    _count_generation(resource, body, before)


def _count_generation(resource: Resource, body: Body, before: Body) -> None:
    metadata, old = body["metadata"], before["metadata"]
    metadata.pop("generation", None)
    if "generation" in old:
        changed = _desired(resource, body) != _desired(resource, before)
        metadata["generation"] = old["generation"] + changed


def _desired(resource: Resource, body: Body) -> Body:
    """Return what a new generation is counted for."""
    if "spec" in body and not resource.custom:
        return mapping(body, "spec")
    return {key: value for key, value in body.items() if key not in ("metadata", "status")}


def prepare_status_update(resource: Resource, body: Body, before: Body) -> Body:
    """Return the object that results when only its status is written."""
    result: Body = clone(before)
    result.pop("status", None)
    if "status" in body:
        result["status"] = body["status"]
    if resource.key in _STATUS_WITH_METADATA:
        for field in ("labels", "annotations"):
            result["metadata"].pop(field, None)
            if field in body["metadata"]:
                result["metadata"][field] = body["metadata"][field]
    return result


def _prepare_pod(body: Body) -> None:
    body["status"] = {"phase": "Pending", "qosClass": qos_class(mapping(body, "spec"))}


def qos_class(spec: Body) -> str:
    """Return a pod's class of service, which its containers' requests and limits decide."""
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


def _prepare_job(body: Body) -> None:
    """Generate the selector, and the labels of the pods, from the Job's uid and name."""
    spec = mapping(body, "spec")
    if spec.get("manualSelector") or "template" not in spec:
        return
    metadata = spec["template"].setdefault("metadata", {})
    labels = metadata.setdefault("labels", {})
    uid, name = body["metadata"]["uid"], body["metadata"]["name"]
    labels.update({CONTROLLER_UID: uid, "controller-uid": uid, JOB_NAME: name, "job-name": name})
    spec.setdefault("selector", {}).setdefault("matchLabels", {})[CONTROLLER_UID] = uid
    body["spec"] = spec


def _prepare_namespace(body: Body) -> None:
    name = body["metadata"]["name"]
    body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
    body.setdefault("spec", {})["finalizers"] = ["kubernetes"]
    body["status"] = {"phase": "Active"}


def _prepare_definition(body: Body) -> None:
    """Accept a CustomResourceDefinition at once: here its names conflict with nobody's."""
    names = clone(mapping(body, "spec", "names"))
    names.setdefault("singular", str(names.get("kind", "")).lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    body["spec"]["names"] = names
    stamp = body["metadata"]["creationTimestamp"]
    body["status"] = {
        "acceptedNames": names,
        "conditions": [
            _condition("NamesAccepted", "NoConflicts", "no conflicts found", stamp),
            _condition(
                "Established", "InitialNamesAccepted", "the initial names have been accepted", stamp
            ),
        ],
        "storedVersions": [
            one["name"] for one in dig(body, "spec", "versions") or () if one.get("storage")
        ],
    }


def _condition(kind: str, reason: str, message: str, stamp: str) -> Body:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp,
    }


_ON_CREATE = {
    "pods": _prepare_pod,
    "jobs.batch": _prepare_job,
    "namespaces": _prepare_namespace,
    "customresourcedefinitions.apiextensions.k8s.io": _prepare_definition,
}
