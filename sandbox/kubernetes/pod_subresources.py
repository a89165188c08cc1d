"""The subresources of a pod that are created: a binding to a node, an eviction."""

from dataclasses import replace

from sandbox.kubernetes.bodies import Body, dig, format_seconds
from sandbox.kubernetes.calls import Answer, Call, Deletion
from sandbox.kubernetes.deletion import delete
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import decode_body
from sandbox.kubernetes.statuses import (
    conflict,
    method_not_allowed,
    unknown_path,
)
from sandbox.kubernetes.store import Store, key_of

_BINDING = Resource("", "bindings", "Binding")
_EVICTION = Resource("policy", "evictions", "Eviction")
_POD_BINDING = Resource("", "pods/binding", "Pod")
_DONE: Body = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}


def create_subresource(store: Store, call: Call) -> Answer:
    """
    Create a binding or an eviction.

    Raises:
        ApiError: The subresource does not exist, or the pod cannot be bound or evicted.
    """
    if call.subresource not in call.resource.subresources:
        raise unknown_path()
    if call.resource.key == "pods" and call.subresource == "binding":
        return _bind(store, call)
    if call.resource.key == "pods" and call.subresource == "eviction":
        return _evict(store, call)
    raise method_not_allowed()


def _bind(store: Store, call: Call) -> Answer:
    decoded = decode_body(_BINDING, call.body, call.options.field_validation)
    body = store.fetch(call.resource, call.namespace, call.name).copy()
    if body["metadata"].get("deletionTimestamp"):
        why = f"pod {call.name} is being deleted, cannot be assigned to a host"
        raise conflict(_POD_BINDING, call.name, why)
    if body["spec"].get("nodeName"):
        why = f'pod {call.name} is already assigned to node "{body["spec"]["nodeName"]}"'
        raise conflict(_POD_BINDING, call.name, why)
    body["spec"]["nodeName"] = decoded.body["target"]["name"]
    _set_scheduled(body, format_seconds(store.clock.now()))
    if not call.options.dry_run:
        key = key_of(call.resource, call.namespace, call.name)
        store.put(call.resource.key, key, body)
    return Answer(dict(_DONE), 201, list(decoded.warnings))


def _set_scheduled(body: Body, stamp: str) -> None:
    status = body.setdefault("status", {})
    others = [one for one in status.get("conditions", ()) if one.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp}
    status["conditions"] = [*others, scheduled]


def _evict(store: Store, call: Call) -> Answer:
    decoded = decode_body(_EVICTION, call.body, call.options.field_validation)
    grace = dig(decoded.body, "deleteOptions", "gracePeriodSeconds")
    deletion = Deletion("Background", grace)
    delete(store, replace(call, verb="delete", subresource="", deletion=deletion))
    return Answer(dict(_DONE), 201, list(decoded.warnings))
