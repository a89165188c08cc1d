"""
The published schemas, compiled into functions that decode a body as the API server does.

The decoder refuses a wrong type with a 400, and drops or refuses unknown fields as
``fieldValidation`` asks. Null is an absent value. A JSON Schema validator would take milliseconds
for a pod and does not drop fields.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from sandbox.kubernetes.bodies import Body, decode
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.scalars import SCALARS, Check, DecodeError
from sandbox.kubernetes.statuses import ApiError, bad_request

_VERSION = "v1.36.0-local"
_PREFIX = "#/$defs/"
_ZEROS: dict[str | None, Any] = {"string": "", "integer": 0, "boolean": False}


@functools.cache
def definitions() -> dict[str, Body]:
    """Return the published definitions, by name."""
    folder = files("kubernetes_validate").joinpath("kubernetes-json-schema", _VERSION)
    loaded: Body = decode(folder.joinpath("_definitions.json").read_bytes())
    return loaded["$defs"]  # type: ignore[no-any-return]


@functools.cache
def _kinds() -> dict[tuple[str, str, str], str]:
    return {
        (one["group"], one["version"], one["kind"]): name
        for name, schema in definitions().items()
        for one in schema.get("x-kubernetes-group-version-kind", ())
    }


def definition_of(resource: Resource) -> str:
    """Return the name of the definition of a resource's kind."""
    return _kinds()[resource.group, resource.version, resource.kind]


def schemas_of(definition: str | None) -> Body:
    """Return the schemas of a definition's fields."""
    return definitions()[definition].get("properties", {}) if definition else {}


def definition_in(schema: Body) -> str | None:
    """Return the definition that a schema refers to."""
    reference = schema.get("$ref")
    return reference.removeprefix(_PREFIX) if reference else None


def required_keys(definition: str) -> list[str]:
    """Return the fields that a definition requires."""
    required: list[str] = definitions()[definition].get("required", [])
    return required


def walk(resource: Resource, body: Body) -> Iterator[tuple[str, Body, str]]:
    """
    Yield an object, and the objects in it, with their definitions and paths.

    Metadata and the status are left out. A caller that adds objects to one gets them next.
    """
    return _walk(definition_of(resource), body, "")


def _walk(definition: str, value: Body, path: str) -> Iterator[tuple[str, Body, str]]:
    yield definition, value, path
    children = _children(definition)
    for key in [key for key in value if key in children]:
        part, child, where = value[key], children[key], f"{path}.{key}" if path else key
        if isinstance(part, dict):
            yield from _walk(child, part, where)
        elif isinstance(part, list):
            for index, one in enumerate(part):
                yield from _walk(child, one, f"{where}[{index}]")


@functools.cache
def _children(definition: str) -> dict[str, str]:
    """Return the fields of a definition that hold objects with fields, or lists of them."""
    pairs = (
        (key, definition_in(schema) or definition_in(schema.get("items", {})))
        for key, schema in schemas_of(definition).items()
        if key not in ("metadata", "status")
    )
    return {key: name for key, name in pairs if name and schemas_of(name)}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded object, and the findings of its decoding."""

    body: Body
    warnings: tuple[str, ...]


def decode_body(resource: Resource, body: object, field_validation: str) -> Decoded:
    """
    Decode an object of a resource.

    Raises:
        ApiError: 400 for another kind, a wrong type or, if it is strict, an unknown field.
    """
    checked = _checked_kind(resource, body)
    try:
        decoded = _decode_object(definition_of(resource), checked)
    except DecodeError as exc:
        raise _undecodable(resource, str(exc)) from exc
    unknown = tuple(f'unknown field "{path}"' for path in _unknown(checked, decoded, ""))
    if unknown and field_validation == "Strict":
        raise _undecodable(resource, f"strict decoding error: {', '.join(unknown)}")
    if "status" in decoded:
        _add_zeros(resource, decoded["status"])
    warnings = unknown if field_validation == "Warn" else ()
    typed: Body = {"apiVersion": resource.api_version, "kind": resource.kind}
    return Decoded({"metadata": {}} | decoded | typed, warnings)


def _checked_kind(resource: Resource, body: object) -> Body:
    if not isinstance(body, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
    api_version = body.get("apiVersion") or resource.api_version
    kind = body.get("kind") or resource.kind
    if (api_version, kind) != (resource.api_version, resource.kind):
        raise _undecodable(resource, f'no kind "{kind}" is registered for version "{api_version}"')
    return body


def _undecodable(resource: Resource, why: str) -> ApiError:
    kind = resource.kind
    message = f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {why}'
    return bad_request(message)


def _unknown(sent: Any, kept: Any, path: str) -> Iterator[str]:
    """Yield the paths of the fields that decoding dropped."""
    if sent == kept:
        return
    if isinstance(kept, dict):
        for key, value in sent.items():
            where = f"{path}.{key}" if path else key
            if key in kept:
                yield from _unknown(value, kept[key], where)
            elif value is not None:
                yield where
    elif isinstance(kept, list):
        for index, (old, new) in enumerate(zip(sent, kept, strict=True)):
            yield from _unknown(old or {}, new, f"{path}[{index}]")


def _add_zeros(resource: Resource, status: Body) -> None:
    """Set the required fields of a status that it lacks: the server always shows them."""
    definition = definition_in(schemas_of(definition_of(resource))["status"])
    for name, part, _ in _walk(definition or "", status, ""):
        for key in required_keys(name):
            zero = _ZEROS.get(_type(schemas_of(name)[key]))
            if zero is not None:
                part.setdefault(key, zero)


def empty_status(resource: Resource) -> Body:
    """Return the status of a new object: zeros in the fields that the server always shows."""
    status: Body = {}
    _add_zeros(resource, status)
    return status


def _decode_object(definition: str, value: Any) -> Body:
    if value.__class__ is not dict:
        raise DecodeError(value, "an object")
    result, checks = {}, _checks(definition)
    for key, item in value.items():
        if item is not None and key in checks:
            try:
                result[key] = checks[key](item)
            except DecodeError as error:
                error.add_parent(key)
                raise
    return result


@functools.cache
def _checks(definition: str) -> dict[str, Check]:
    return {key: _compile(schema) for key, schema in schemas_of(definition).items()}


def _compile(schema: Body) -> Check:
    if name := definition_in(schema):
        return _compile_reference(name)
    if _type(schema) == "array":
        return functools.partial(_decode_list, _compile(schema["items"]))
    if isinstance(schema.get("additionalProperties"), dict):
        return functools.partial(_decode_map, _compile(schema["additionalProperties"]))
    return _scalar(schema)


def _compile_reference(name: str) -> Check:
    if schemas_of(name):
        return functools.partial(_decode_object, name)
    return SCALARS.get(("", name.rpartition(".")[2])) or _scalar(definitions()[name])


def _scalar(schema: Body) -> Check:
    return SCALARS.get((_type(schema), schema.get("format")), _keep)


def _keep(value: Any) -> Any:
    return value


def _decode_list(check: Check, value: Any) -> list[Any]:
    if value.__class__ is not list:
        raise DecodeError(value, "a list")
    result = []
    for index, item in enumerate(value):
        try:
            result.append(check({} if item is None else item))
        except DecodeError as error:
            error.add_parent(index)
            raise
    return result


def _decode_map(check: Check, value: Any) -> Body:
    if value.__class__ is not dict:
        raise DecodeError(value, "an object")
    result = {}
    for key, item in value.items():
        try:
            result[key] = "" if item is None else check(item)
        except DecodeError as error:
            error.add_parent(key)
            raise
    return result


def _type(schema: Body) -> str | None:
    kind = schema.get("type")
    return kind[0] if isinstance(kind, list) else kind
