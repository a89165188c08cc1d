"""Creating an object: decode, default, admit, validate, write."""

from sandbox.kubernetes.admission import chain
from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.calls import Answer, Call
from sandbox.kubernetes.cluster import Cluster, key_of, present
from sandbox.kubernetes.decoding import Decoded, decode_body
from sandbox.kubernetes.defaults import set_defaults
from sandbox.kubernetes.statuses import already_exists, bad_request, failure, invalid
from sandbox.kubernetes.strategies import generate_name, prepare_for_create
from sandbox.kubernetes.validation.rules import validate_create

_OTHER_NAMESPACE = (
    "the namespace of the provided object does not match the namespace sent on the request"
)


def create(cluster: Cluster, call: Call) -> Answer:
    """
    Create an object from a body.

    Raises:
        ApiError: The body, its admission or its name is refused.
    """
    decoded = decode_body(call.resource, call.body, call.options.field_validation)
    return create_decoded(cluster, call, decoded)


def create_decoded(cluster: Cluster, call: Call, decoded: Decoded) -> Answer:
    """Create an object that is decoded; server-side apply begins here too."""
    resource, body = call.resource, decoded.body
    _settle_identity(call, body)
    set_defaults(resource.key, body)
    attributes = Attributes(
        "create",
        resource,
        call.namespace if resource.namespaced else "",
        body["metadata"].get("name", ""),
        body,
        call.caller,
        dry_run=call.options.dry_run,
        warnings=list(decoded.warnings),
    )
    chain.mutate(attributes, cluster)
    prepare_for_create(resource, body, cluster.clock.now())
    errors = validate_create(resource, body, decoded.missing)
    if errors:
        raise invalid(resource.qualified_kind, attributes.name, errors)
    chain.check(attributes, cluster.store)
    key = key_of(resource, call.namespace, attributes.name)
    if cluster.store.get(resource.key, key) is not None:
        raise already_exists(resource, attributes.name)
    if call.options.dry_run:
        return Answer(body, 201, attributes.warnings)
    stored = cluster.store.put(resource.key, key, body)
    return Answer(present(resource, stored), 201, attributes.warnings)


def _settle_identity(call: Call, body: Body) -> None:
    """Give the object its namespace and its name."""
    metadata = body["metadata"]
    if metadata.pop("resourceVersion", None):
        raise failure(500, "", "resourceVersion should not be set on objects to be created")
    if call.resource.namespaced:
        if metadata.get("namespace", call.namespace) != call.namespace:
            raise bad_request(_OTHER_NAMESPACE)
        metadata["namespace"] = call.namespace
    elif metadata.pop("namespace", None):
        raise bad_request(_OTHER_NAMESPACE)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"])
