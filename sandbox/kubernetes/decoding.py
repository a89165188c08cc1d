"""From the body that was sent to the object that is worked with, as the decoder does it."""

from dataclasses import dataclass

from sandbox.kubernetes.bodies import Body, mapping
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.scalars import DecodeError
from sandbox.kubernetes.schemas import Findings, decode_object, definition_of
from sandbox.kubernetes.statuses import ApiError, bad_request

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@dataclass(frozen=True, slots=True)
class Decoded:
    """An object, and what its decoding met."""

    body: Body
    missing: tuple[str, ...]
    """Fields that the schema requires and the body lacks."""
    warnings: tuple[str, ...]


def decode_body(resource: Resource, body: object, field_validation: str) -> Decoded:
    """
    Decode an object of a resource.

    Raises:
        ApiError: 400, for another kind, a wrong type or, if it is strict, an unknown field.
    """
    checked = _checked_kind(resource, body)
    try:
        decoded, found = decode_as(resource, checked)
    except DecodeError as exc:
        raise _undecodable(resource, str(exc)) from exc
    unknown = unknown_fields(found)
    if unknown and field_validation == "Strict":
        raise _undecodable(resource, f"strict decoding error: {', '.join(unknown)}")
    warnings = unknown if field_validation == "Warn" else ()
    decoded["apiVersion"] = resource.api_version
    decoded["kind"] = resource.kind
    decoded.setdefault("metadata", {})
    return Decoded(decoded, tuple(found.missing), tuple(warnings))


def unknown_fields(found: Findings) -> tuple[str, ...]:
    """Say which fields are unknown."""
    return tuple(f'unknown field "{path}"' for path in found.unknown)


def decode_as(resource: Resource, body: Body) -> tuple[Body, Findings]:
    """
    Walk a body by its schema; of a custom resource only the metadata has one.

    Raises:
        DecodeError: A value has a type that its field cannot hold.
    """
    definition = definition_of(resource.group, resource.version, resource.kind)
    if definition is not None:
        return decode_object(definition, body)
    metadata, found = decode_object(_OBJECT_META, mapping(body, "metadata"))
    found.unknown = [f"metadata.{path}" for path in found.unknown]
    return body | {"metadata": metadata}, found


def _checked_kind(resource: Resource, body: object) -> Body:
    if not isinstance(body, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
    api_version = body.get("apiVersion") or resource.api_version
    if api_version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    kind = body.get("kind") or resource.kind
    if kind != resource.kind:
        raise bad_request(
            f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"no kind {kind!r} is registered here"
        )
    return body


def _undecodable(resource: Resource, why: str) -> ApiError:
    return bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a '
        f"{resource.kind}: {why}"
    )
