"""Deleting objects: preconditions, grace periods, finalizers."""

from dataclasses import replace
from datetime import timedelta

from sandbox.kubernetes.bodies import Body, decode, dig, format_seconds, items
from sandbox.kubernetes.calls import Answer, Call
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.selectors import select
from sandbox.kubernetes.statuses import ApiError, failure, forbidden, success
from sandbox.kubernetes.store import Store, Stored, key_of
from sandbox.kubernetes.writes import is_finished

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_ORPHANED_BY_DEFAULT = ("jobs.batch", "replicationcontrollers")
_ANSWERED_WITH_OBJECT = ("pods", "services", "serviceaccounts", "resourcequotas")
_UNDELETABLE = ("default", "kube-system", "kube-public")
_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background "
    "to remove them or set propagationPolicy=Orphan to suppress this warning"
)


def delete(store: Store, call: Call) -> Answer:
    """
    Delete an object, or mark it for deletion if something must happen first.

    Raises:
        ApiError: It does not exist, is not the expected one, or may not be deleted.
    """
    resource, policy = call.resource, call.deletion.propagation
    try:
        stored = store.fetch(resource, call.namespace, call.name)
        _check_preconditions(call, stored)
    except ApiError as error:
        error.warnings = _warnings(call)
        raise
    if resource.key == "namespaces" and call.name in _UNDELETABLE:
        raise forbidden(resource, call.name, "this namespace may not be deleted")
    answer = Answer({}, 200, _warnings(call))
    body = _marked(store, call, stored, policy or _default_policy(resource))
    key = key_of(resource, call.namespace, call.name)
    if is_finished(body):
        last = stored if call.options.dry_run else store.drop(resource.key, key)
        answer.body = _deleted(resource, last)
    elif call.options.dry_run or body == stored.body:
        answer.body = stored.copy()
    else:
        answer.body = store.put(resource.key, key, body).copy()
    return answer


def _warnings(call: Call) -> list[str]:
    unset = call.resource.key == "jobs.batch" and call.deletion.propagation is None
    return [_JOB_WARNING] if unset else []


def delete_collection(store: Store, call: Call) -> Answer:
    """Delete the selected objects of a namespace, and return them."""
    resource = call.resource
    matches = select(resource, call.label_selector, call.field_selector)
    scanned = store.scan(resource.key, call.namespace)
    chosen = sorted(name for name, stored in scanned if matches(stored.body))
    listed = []
    for namespace, name in chosen:
        stored = store.fetch(resource, namespace, name)
        listed.append(decode(stored.as_item()))
        delete(store, replace(call, verb="delete", namespace=namespace, name=name))
    head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
    return Answer(head | {"metadata": {"resourceVersion": str(store.revision)}, "items": listed})


def _check_preconditions(call: Call, stored: Stored) -> None:
    metadata = stored.body["metadata"]
    for kind, expected, actual, cause in (
        ("UID", call.deletion.uid, metadata["uid"], "deleted and then recreated"),
        (
            "ResourceVersion",
            call.deletion.resource_version,
            metadata["resourceVersion"],
            "modified",
        ),
    ):
        if expected is not None and expected != actual:
            kinds = call.resource.qualified_kind
            message = (
                f'Operation cannot be fulfilled on {kinds} "{call.name}": the {kind} in the '
                f"precondition ({expected}) does not match the {kind} in record ({actual}). "
                f"The object might have been {cause}"
            )
            details = {"name": call.name, "group": call.resource.group, "kind": call.resource.kind}
            raise failure(409, "Conflict", message, {k: v for k, v in details.items() if v})


def _default_policy(resource: Resource) -> str:
    return "Orphan" if resource.key in _ORPHANED_BY_DEFAULT else "Background"


def _marked(store: Store, call: Call, stored: Stored, policy: str) -> Body:
    """Return the object marked for deletion."""
    body = stored.copy()
    metadata = body["metadata"]
    finalizers = [one for one in items(metadata, "finalizers") if one not in (ORPHAN, FOREGROUND)]
    added = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy)
    metadata["finalizers"] = finalizers + ([added] if added else [])
    if not metadata["finalizers"]:
        del metadata["finalizers"]
    grace_s = _grace_s(call, body)
    earlier = metadata.get("deletionGracePeriodSeconds")
    if metadata.get("deletionTimestamp") and (earlier or 0) <= grace_s:
        return body
    due = store.clock.now() + timedelta(seconds=grace_s)
    if "generation" in metadata and "deletionTimestamp" not in metadata:
        metadata["generation"] += 1
    metadata["deletionTimestamp"] = format_seconds(due)
    metadata["deletionGracePeriodSeconds"] = grace_s
    if body["kind"] == "Namespace":
        body["status"] = (body.get("status") or {}) | {"phase": "Terminating"}
    return body


def _grace_s(call: Call, body: Body) -> int:
    """Return the kubelet's grace period: zero if no container can be running."""
    if call.resource.key != "pods":
        return 0
    if not dig(body, "spec", "nodeName") or dig(body, "status", "phase") in ("Succeeded", "Failed"):
        return 0
    if call.deletion.grace_s is not None:
        return call.deletion.grace_s
    return int(body["spec"].get("terminationGracePeriodSeconds", 30))


def _deleted(resource: Resource, last: Stored) -> Body:
    if resource.key in _ANSWERED_WITH_OBJECT:
        return last.copy()
    metadata = last.body["metadata"]
    return success(resource, metadata["name"], metadata["uid"])
