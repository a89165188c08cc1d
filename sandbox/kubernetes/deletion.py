"""Deleting objects: preconditions, grace, finalizers, and what happens to dependents."""

from datetime import timedelta

from sandbox.kubernetes.admission.namespaces import check_namespace_deletion
from sandbox.kubernetes.bodies import Body, dig, format_seconds, items
from sandbox.kubernetes.calls import Answer, Call
from sandbox.kubernetes.cluster import Cluster, key_of, present
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.selectors import select
from sandbox.kubernetes.statuses import conflict, success
from sandbox.kubernetes.store import Stored
from sandbox.kubernetes.updates import is_finished

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_ORPHANED_BY_DEFAULT = ("jobs.batch", "replicationcontrollers")
_ANSWERED_WITH_OBJECT = (
    "pods",
    "services",
    "serviceaccounts",
    "resourcequotas",
    "podtemplates",
    "persistentvolumes",
    "persistentvolumeclaims",
)
_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background "
    "to remove them or set propagationPolicy=Orphan to suppress this warning"
)


def delete(cluster: Cluster, call: Call) -> Answer:
    """
    Delete an object, or mark it for deletion where something must happen first.

    Raises:
        ApiError: It is not there, is not the one meant, or may not be deleted.
    """
    resource = call.resource
    stored = cluster.fetch(resource, call.namespace, call.name)
    _check_preconditions(call, stored)
    check_namespace_deletion(resource, call.name)
    policy = call.deletion.propagation or _default_policy(resource)
    unsaid = resource.key == "jobs.batch" and call.deletion.propagation is None
    answer = Answer({}, 200, [_JOB_WARNING] if unsaid else [])
    body = _marked(cluster, call, stored, policy)
    key = key_of(resource, call.namespace, call.name)
    if is_finished(body):
        last = stored if call.options.dry_run else cluster.store.drop(resource.key, key)
        answer.body = _deleted(resource, last)
        return answer
    if call.options.dry_run or body == stored.body:
        answer.body = present(resource, stored)
        return answer
    answer.body = present(resource, cluster.store.put(resource.key, key, body))
    answer.code = 202 if policy == "Foreground" else 200
    return answer


def delete_collection(cluster: Cluster, call: Call) -> Answer:
    """Delete all objects of a namespace that selectors choose, and return them."""
    matches = select(call.resource, call.label_selector, call.field_selector)
    chosen = sorted(
        name
        for name, stored in cluster.store.scan(call.resource.key, call.namespace)
        if matches(stored.body)
    )
    listed = []
    for namespace, name in chosen:
        listed.append(cluster.fetch(call.resource, namespace, name).copy())
        delete(cluster, _one_of(call, namespace, name))
    resource = call.resource
    metadata = {"resourceVersion": str(cluster.store.revision)}
    return Answer(
        {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": metadata,
            "items": listed,
        }
    )


def _one_of(call: Call, namespace: str, name: str) -> Call:
    return Call(
        "delete",
        call.resource,
        call.caller,
        namespace,
        name,
        options=call.options,
        deletion=call.deletion,
    )


def _check_preconditions(call: Call, stored: Stored) -> None:
    metadata = stored.body["metadata"]
    for kind, wanted, actual in (
        ("UID", call.deletion.uid, metadata["uid"]),
        ("ResourceVersion", call.deletion.resource_version, metadata["resourceVersion"]),
    ):
        if wanted is not None and wanted != actual:
            why = (
                f"Precondition failed: {kind} in precondition: {wanted}, "
                f"{kind} in object meta: {actual}"
            )
            raise conflict(call.resource, call.name, why)


def _default_policy(resource: Resource) -> str:
    return "Orphan" if resource.key in _ORPHANED_BY_DEFAULT else "Background"


def _marked(cluster: Cluster, call: Call, stored: Stored, policy: str) -> Body:
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
    due = cluster.clock.now() + timedelta(seconds=grace_s)
    if "generation" in metadata and "deletionTimestamp" not in metadata:
        metadata["generation"] += 1
    metadata["deletionTimestamp"] = format_seconds(due)
    metadata["deletionGracePeriodSeconds"] = grace_s
    if body["kind"] == "Namespace":
        body["status"] = (body.get("status") or {}) | {"phase": "Terminating"}
    return body


def _grace_s(call: Call, body: Body) -> int:
    """Return how long the kubelet may take: nothing where no container can be running."""
    if call.resource.key != "pods":
        return 0
    if not dig(body, "spec", "nodeName") or dig(body, "status", "phase") in ("Succeeded", "Failed"):
        return 0
    if call.deletion.grace_s is not None:
        return call.deletion.grace_s
    return int(body["spec"].get("terminationGracePeriodSeconds", 30))


def _deleted(resource: Resource, last: Stored) -> Body:
    if resource.key in _ANSWERED_WITH_OBJECT:
        return present(resource, last)
    metadata = last.body["metadata"]
    return success(resource, metadata["name"], metadata["uid"])
