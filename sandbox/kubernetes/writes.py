"""Creating, replacing and patching objects."""

from sandbox.kubernetes import admission
from sandbox.kubernetes.bodies import Body, encode, items
from sandbox.kubernetes.calls import Answer, Attributes, Call
from sandbox.kubernetes.defaults import set_defaults
from sandbox.kubernetes.field_errors import invalid as invalid_field
from sandbox.kubernetes.patches import apply_patch
from sandbox.kubernetes.schemas import Decoded, decode_body
from sandbox.kubernetes.server_fields import (
    check_view,
    generate_name,
    prepare_for_create,
    write_view,
)
from sandbox.kubernetes.statuses import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    failure,
    invalid,
    modified,
)
from sandbox.kubernetes.store import Store, Stored, key_of
from sandbox.kubernetes.validation import validate_create, validate_update

_OTHER_NAMESPACE = (
    "the namespace of the provided object does not match the namespace sent on the request"
)


def create(store: Store, call: Call) -> Answer:
    """
    Create an object from a body.

    Raises:
        ApiError: The body, its admission or its name is refused.
    """
    resource = call.resource
    decoded = decode_body(resource, call.body, call.options.field_validation)
    body = decoded.body
    _set_identity(call, body)
    set_defaults(resource, body)
    attributes = _attributes(call, body, decoded.warnings)
    attributes.name = body["metadata"].get("name", "")
    admission.mutate(attributes, store)
    prepare_for_create(resource, body, store.clock.now())
    if errors := validate_create(resource, body):
        raise invalid(resource.qualified_kind, attributes.name, errors)
    admission.check(attributes, store)
    key = key_of(resource, call.namespace, attributes.name)
    if store.get(resource.key, key) is not None:
        raise already_exists(resource, attributes.name)
    if not call.options.dry_run:
        body = store.put(resource.key, key, body).copy()
    return Answer(body, 201, attributes.warnings)


def _attributes(
    call: Call, body: Body, warnings: tuple[str, ...], before: Body | None = None
) -> Attributes:
    return Attributes(
        "create" if before is None else "update",
        call.resource,
        call.namespace if call.resource.namespaced else "",
        call.name,
        body,
        call.caller,
        before,
        call.subresource,
        call.options.dry_run,
        list(warnings),
    )


def _set_identity(call: Call, body: Body) -> None:
    metadata = body["metadata"]
    if metadata.pop("resourceVersion", None):
        raise failure(500, "", "resourceVersion should not be set on objects to be created")
    namespace = call.namespace if call.resource.namespaced else ""
    if (metadata.pop("namespace", None) or namespace) != namespace:
        raise bad_request(_OTHER_NAMESPACE)
    if namespace:
        metadata["namespace"] = namespace
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"])


def update(store: Store, call: Call) -> Answer:
    """
    Replace an object, or a view of it.

    Raises:
        ApiError: It does not exist, was changed meanwhile, or the new object is refused.
    """
    stored = store.fetch(call.resource, call.namespace, call.name)
    check_view(call.resource, call.subresource)
    decoded = decode_body(call.resource, call.body, call.options.field_validation)
    return _write(store, call, stored, decoded)


def patch(store: Store, call: Call) -> Answer:
    """
    Change an object, or a view of it, by a patch.

    Raises:
        ApiError: It does not exist, the patch cannot be applied, or the result is refused.
    """
    stored = store.fetch(call.resource, call.namespace, call.name)
    check_view(call.resource, call.subresource)
    patched = apply_patch(call.resource, call.content_type, stored.copy(), call.body)
    return _write(store, call, stored, _decode_patched(call, patched))


def _decode_patched(call: Call, patched: Body) -> Decoded:
    """Decode a patched object; an error is then a 422 and not a 400."""
    try:
        return decode_body(call.resource, patched, call.options.field_validation)
    except ApiError as exc:
        why = exc.message.partition(": ")[2] or exc.message
        error = invalid_field("patch", encode(patched).decode(), why)
        raise invalid("", "", [error]) from exc


def _check_identity(call: Call, body: Body) -> None:
    metadata = body["metadata"]
    if metadata.get("name") not in (None, "", call.name):
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL "
            f"({call.name})"
        )
    metadata["name"] = call.name
    if call.resource.namespaced:
        if metadata.get("namespace") not in (None, "", call.namespace):
            raise bad_request(_OTHER_NAMESPACE)
        metadata["namespace"] = call.namespace


def _check_preconditions(call: Call, body: Body, stored: Stored) -> None:
    metadata, old = body["metadata"], stored.body["metadata"]
    version, uid = metadata.get("resourceVersion"), metadata.get("uid")
    if version and not version.isdigit():
        why = f'strconv.ParseUint: parsing "{version}": invalid syntax'
        raise failure(500, "", why)
    if uid and uid != old["uid"] and call.verb == "update":
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['uid']}"
        raise conflict(call.resource, call.name, why)
    if version not in (None, "", old["resourceVersion"]):
        raise modified(call.resource, call.name)


def _write(store: Store, call: Call, stored: Stored, decoded: Decoded) -> Answer:
    resource, before = call.resource, stored.body
    _check_identity(call, decoded.body)
    _check_preconditions(call, decoded.body, stored)
    if call.subresource != "status":
        set_defaults(resource, decoded.body)
    body = write_view(resource, call.subresource, decoded.body, before)
    attributes = _attributes(call, body, decoded.warnings, before)
    admission.mutate(attributes, store)
    if errors := validate_update(resource, call.subresource, body, before):
        raise invalid(resource.qualified_kind, call.name, errors)
    admission.check(attributes, store)
    body["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
    if not call.options.dry_run and body != before:
        key = key_of(resource, call.namespace, call.name)
        body = store.put(resource.key, key, body).copy()
        if is_finished(body):
            body = store.drop(resource.key, key).copy()
    return Answer(body, 200, attributes.warnings)


def is_finished(body: Body) -> bool:
    """Whether an object that is being deleted has nothing to wait for."""
    metadata = body["metadata"]
    if not metadata.get("deletionTimestamp") or items(metadata, "finalizers"):
        return False
    if body["kind"] == "Namespace" and items(body, "spec", "finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
