"""Changing an object: whole, by a patch, or one of its views."""

from sandbox.kubernetes.admission import chain
from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.bodies import Body, encode, items
from sandbox.kubernetes.calls import APPLY_PATCH, Answer, Call
from sandbox.kubernetes.cluster import Cluster, key_of, present
from sandbox.kubernetes.creation import create_decoded
from sandbox.kubernetes.decoding import Decoded, decode_body
from sandbox.kubernetes.defaults import set_defaults
from sandbox.kubernetes.fields import invalid as invalid_field
from sandbox.kubernetes.patches.applying import apply_configuration, begin_configuration
from sandbox.kubernetes.patches.dispatch import apply_patch
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.statuses import ApiError, bad_request, conflict, invalid, modified
from sandbox.kubernetes.store import Stored
from sandbox.kubernetes.validation.rules import validate_update
from sandbox.kubernetes.views import read_view, view_resource, write_view

_CONDITIONAL = (
    "leases.coordination.k8s.io",
    "poddisruptionbudgets.policy",
    "customresourcedefinitions.apiextensions.k8s.io",
)
"""Built-in resources that an update without a resourceVersion cannot change."""


def update(cluster: Cluster, call: Call) -> Answer:
    """
    Replace an object, or a view of it.

    Raises:
        ApiError: It is not there, was changed meanwhile, or what replaces it is refused.
    """
    stored = cluster.fetch(call.resource, call.namespace, call.name)
    read_view(call.resource, call.subresource, stored.body)
    shown = view_resource(call.resource, call.subresource)
    decoded = decode_body(shown, call.body, call.options.field_validation)
    _check_identity(call, decoded.body)
    _check_conditional(call.resource, decoded.body)
    return _write(cluster, call, stored, decoded)


def patch(cluster: Cluster, call: Call) -> Answer:
    """
    Change an object, or a view of it, by a patch.

    Raises:
        ApiError: It is not there, the patch does not fit, or what results is refused.
    """
    if call.content_type == APPLY_PATCH:
        return _apply(cluster, call)
    stored = cluster.fetch(call.resource, call.namespace, call.name)
    shown = view_resource(call.resource, call.subresource)
    target = read_view(call.resource, call.subresource, present(call.resource, stored))
    patched = apply_patch(shown, call.content_type, target, call.body)
    return _write(cluster, call, stored, _decode_patched(call, shown, patched))


def _apply(cluster: Cluster, call: Call) -> Answer:
    if not call.options.field_manager:
        raise bad_request(
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for '
            "apply patch"
        )
    if not isinstance(call.body, dict) or not call.body.get("kind"):
        raise bad_request("error decoding YAML: Object 'Kind' is missing")
    shown = view_resource(call.resource, call.subresource)
    decoded = decode_body(shown, call.body, call.options.field_validation)
    _check_identity(call, decoded.body)
    decoded.body["metadata"]["name"] = call.name
    stored = cluster.store.get(call.resource.key, key_of(call.resource, call.namespace, call.name))
    now = cluster.clock.now()
    if stored is None and not call.subresource:
        begin_configuration(shown, decoded.body, call.options.field_manager, now)
        return create_decoded(cluster, call, decoded)
    stored = cluster.fetch(call.resource, call.namespace, call.name)
    target = read_view(call.resource, call.subresource, present(call.resource, stored))
    merged = apply_configuration(shown, target, decoded.body, call.options, now)
    redecoded = decode_body(shown, merged, "Ignore")
    return _write(
        cluster, call, stored, Decoded(redecoded.body, redecoded.missing, decoded.warnings)
    )


def _decode_patched(call: Call, shown: Resource, patched: Body) -> Decoded:
    """Decode what a patch made; what is wrong with it is then a 422, not a 400."""
    try:
        return decode_body(shown, patched, call.options.field_validation)
    except ApiError as exc:
        why = exc.message.partition(": ")[2] or exc.message
        error = invalid_field("patch", encode(call.body).decode(), why)
        raise invalid("", "", [error]) from exc


def _check_identity(call: Call, body: Body) -> None:
    metadata = body["metadata"]
    if metadata.get("name") not in (None, "", call.name):
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL "
            f"({call.name})"
        )
    if call.resource.namespaced and metadata.get("namespace") not in (None, "", call.namespace):
        raise bad_request(
            f"the namespace of the object ({metadata['namespace']}) does not match the namespace "
            f"on the URL ({call.namespace})"
        )
    metadata["name"] = metadata.get("name") or call.name
    if call.resource.namespaced:
        metadata["namespace"] = call.namespace


def _check_conditional(resource: Resource, body: Body) -> None:
    needed = resource.custom or resource.key in _CONDITIONAL
    if needed and not body["metadata"].get("resourceVersion"):
        error = invalid_field("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(resource.qualified_kind, body["metadata"]["name"], [error])


def _check_preconditions(call: Call, body: Body, stored: Stored) -> None:
    metadata, old = body["metadata"], stored.body["metadata"]
    uid = metadata.get("uid")
    if uid and uid != old["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['uid']}"
        raise conflict(call.resource, call.name, why)
    if metadata.get("resourceVersion") not in (None, "", old["resourceVersion"]):
        raise modified(call.resource, call.name)


def _write(cluster: Cluster, call: Call, stored: Stored, decoded: Decoded) -> Answer:
    """Admit, validate and write an object that takes another's place."""
    resource, before = call.resource, stored.body
    _check_preconditions(call, decoded.body, stored)
    set_defaults(view_resource(resource, call.subresource).key, decoded.body)
    body = write_view(resource, call.subresource, decoded.body, before)
    body["apiVersion"] = before["apiVersion"]
    attributes = Attributes(
        "update",
        resource,
        call.namespace,
        call.name,
        body,
        call.caller,
        before=before,
        subresource=call.subresource,
        dry_run=call.options.dry_run,
        warnings=list(decoded.warnings),
    )
    chain.mutate(attributes, cluster)
    errors = validate_update(resource, call.subresource, body, before, decoded.missing)
    if errors:
        raise invalid(resource.qualified_kind, call.name, errors)
    chain.check(attributes, cluster.store)
    return _commit(cluster, call, stored, attributes)


def _commit(cluster: Cluster, call: Call, stored: Stored, attributes: Attributes) -> Answer:
    resource, body = call.resource, attributes.body
    body["metadata"]["resourceVersion"] = stored.body["metadata"]["resourceVersion"]
    if call.options.dry_run:
        return Answer(read_view(resource, call.subresource, body), 200, attributes.warnings)
    if body == stored.body:
        result = stored
    else:
        key = key_of(resource, call.namespace, call.name)
        result = cluster.store.put(resource.key, key, body)
        if is_finished(body):
            result = cluster.store.drop(resource.key, key)
    shown = read_view(resource, call.subresource, present(resource, result))
    return Answer(shown, 200, attributes.warnings)


def is_finished(body: Body) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = body["metadata"]
    if not metadata.get("deletionTimestamp") or items(metadata, "finalizers"):
        return False
    if body["kind"] == "Namespace" and items(body, "spec", "finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
