"""Who controls an object, and what a controller sees of its pods."""

from typing import Any

from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body, dig, items

Key = tuple[str, str]
"""Namespace and name."""

FINISHED = ("Succeeded", "Failed")


def key_of(body: Body) -> Key:
    """Return the namespace and the name of an object."""
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def controller_of(body: Body) -> Body | None:
    """Return the owner reference that controls an object."""
    for owner in items(body, "metadata", "ownerReferences"):
        if owner.get("controller"):
            found: Body = owner
            return found
    return None


def make_owner_reference(owner: Body) -> Body:
    """Return the reference by which ``owner`` controls another object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def list_owned(api: Api, resource: str, owner: Body) -> list[Body]:
    """List the objects that ``owner`` controls."""
    uid = owner["metadata"]["uid"]
    return [
        body
        for body in api.list(resource, owner["metadata"]["namespace"])
        if (controller_of(body) or {}).get("uid") == uid
    ]


def is_finished(pod: Body) -> bool:
    """Whether a pod's containers have ended for good."""
    return dig(pod, "status", "phase") in FINISHED


def is_deleting(body: Body) -> bool:
    """Whether an object is on its way out."""
    return bool(body["metadata"].get("deletionTimestamp"))


def is_active(pod: Body) -> bool:
    """Whether a pod runs or will run."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Body) -> bool:
    """Whether a pod serves."""
    return has_condition(pod, "Ready")


def has_condition(body: Body, kind: str) -> bool:
    """Whether a condition of an object is true."""
    return any(
        condition["type"] == kind and condition["status"] == "True"
        for condition in items(body, "status", "conditions")
    )


def merge_condition(conditions: list[Body], condition: Body) -> list[Body]:
    """Set a condition; its transition time stays while its status does."""
    kept = []
    for known in conditions:
        if known["type"] != condition["type"]:
            kept.append(known)
        elif known["status"] == condition["status"] and "lastTransitionTime" in known:
            condition = {**condition, "lastTransitionTime": known["lastTransitionTime"]}
    return [*kept, condition]


def without(body: Body, *keys: str) -> Any:
    """Return a mapping without some keys."""
    return {key: value for key, value in body.items() if key not in keys}
