"""
The published schemas, compiled into functions that decode a body as the API server does.

The decoder refuses a wrong type with a 400. It reports unknown fields, which are dropped or
refused as ``fieldValidation`` asks. Null is an absent value. A JSON Schema validator would take
milliseconds for a pod and does not drop fields.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from sandbox.kubernetes.bodies import Body, decode
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.scalars import SCALARS, DecodeError, Path, join_path, undecodable
from sandbox.kubernetes.statuses import ApiError, bad_request

_VERSION = "v1.36.0-local"
_PREFIX = "#/$defs/"
_ZEROS: dict[str | None, Any] = {"string": "", "integer": 0, "boolean": False}


Check = Callable[[Any, Path, list[str]], Any]
"""Decodes a value at a path, and adds the paths of unknown fields to the list."""


@dataclass(slots=True, eq=False)
class Struct:
    """A definition with named fields."""

    fields: dict[str, Check] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    schemas: Body = field(default_factory=dict)
    """The schema of each field, for patches: list types and merge keys."""

    def check(self, value: Any, path: Path, found: list[str]) -> Any:
        """Return an object without nulls and unknown fields."""
        if value.__class__ is not dict:
            raise undecodable(value, path, "an object")
        result = {}
        for key, item in value.items():
            check = self.fields.get(key)
            if check is None:
                found.append(join_path((path, key)))
            elif item is not None:
                result[key] = check(item, (path, key), found)
        for key in self.required:
            if key not in result and join_path((path, key)).startswith("status."):
                zero = _ZEROS.get(_type(self.schemas[key]))
                result |= {} if zero is None else {key: zero}
        return result


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


def required_keys(definition: str) -> tuple[str, ...]:
    """Return the fields that a definition requires."""
    struct = struct_of(definition)
    return struct.required if struct is not None else ()


def walk(resource: Resource, body: Body) -> Iterator[tuple[str, Body, str]]:
    """
    Yield an object, and the objects in it, with their definitions and paths.

    Metadata and the status are left out. A caller that adds objects to one gets them next.
    """
    return _walk(definition_of(resource), body, "")


def _walk(definition: str, value: Body, path: str) -> Iterator[tuple[str, Body, str]]:
    yield definition, value, path
    for key, child in _children(definition):
        part, where = value.get(key), f"{path}.{key}" if path else key
        if isinstance(part, dict):
            yield from _walk(child, part, where)
        elif isinstance(part, list):
            for index, one in enumerate(part):
                yield from _walk(child, one, f"{where}[{index}]")


@functools.cache
def _children(definition: str) -> tuple[tuple[str, str], ...]:
    """Return the fields of a definition that hold objects with fields, or lists of them."""
    pairs = (
        (key, definition_in(schema) or definition_in(schema.get("items", {})))
        for key, schema in schemas_of(definition).items()
        if key not in ("metadata", "status")
    )
    return tuple((key, name) for key, name in pairs if name and struct_of(name) is not None)


def schemas_of(definition: str | None) -> Body:
    """Return the schemas of a definition's fields."""
    struct = struct_of(definition) if definition else None
    return struct.schemas if struct is not None else {}


def definition_in(schema: Body) -> str | None:
    """Return the definition that a schema refers to."""
    reference = schema.get("$ref")
    return reference.removeprefix(_PREFIX) if reference else None


@functools.cache
def struct_of(name: str) -> Struct | None:
    """Compile a definition; None if it has no fields of its own."""
    schema = definitions()[name]
    if "properties" not in schema:
        return None
    made = Struct(schemas=schema["properties"], required=tuple(schema.get("required", ())))
    # Fields are compiled at their first use, as definitions refer to themselves.
    made.fields = {key: _lazy(made, key, one) for key, one in schema["properties"].items()}
    return made


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
    struct, found = struct_of(definition_of(resource)), list[str]()
    assert struct is not None  # noqa: S101 - every served kind has fields
    try:
        decoded = struct.check(checked, None, found)
    except DecodeError as exc:
        raise _undecodable(resource, str(exc)) from exc
    unknown = tuple(f'unknown field "{path}"' for path in found)
    if unknown and field_validation == "Strict":
        raise _undecodable(resource, f"strict decoding error: {', '.join(unknown)}")
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


@functools.cache
def _empty_status(definition: str) -> Body:
    struct = struct_of(definition)
    assert struct is not None  # noqa: S101 - every served kind has fields
    status: Body = struct.check({"status": {}}, None, [])["status"]
    return status


def empty_status(resource: Resource) -> Body:
    """Return the status of a new object: zeros in the fields that the server always shows."""
    return dict(_empty_status(definition_of(resource)))


def _lazy(owner: Struct, key: str, schema: Body) -> Check:
    def first(value: Any, path: Path, found: list[str]) -> Any:
        owner.fields[key] = compiled = _compile(schema)
        return compiled(value, path, found)

    return first


def _compile(schema: Body) -> Check:
    reference = schema.get("$ref")
    if reference is not None:
        return _referred(reference.removeprefix(_PREFIX))
    kind = _type(schema)
    if kind == "array":
        return _array(schema)
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return _map(schema["additionalProperties"])
    return SCALARS.get((kind, schema.get("format")), _anything)


def _referred(name: str) -> Check:
    struct = struct_of(name)
    if struct is not None:
        return struct.check
    short = name.rsplit(".", 1)[1]
    if ("", short) in SCALARS:
        return SCALARS["", short]
    schema = definitions()[name]
    return SCALARS.get((_type(schema), schema.get("format")), _anything)


def _array(schema: Body) -> Check:
    check = _compile(schema["items"])

    def walk(value: Any, path: Path, found: list[str]) -> Any:
        if value.__class__ is not list:
            raise undecodable(value, path, "a list")
        return [
            check({} if item is None else item, (path, index), found)
            for index, item in enumerate(value)
        ]

    return walk


def _map(schema: Body) -> Check:
    check = _compile(schema)

    def walk(value: Any, path: Path, found: list[str]) -> Any:
        if value.__class__ is not dict:
            raise undecodable(value, path, "an object")
        return {
            key: "" if item is None else check(item, (path, key), found)
            for key, item in value.items()
        }

    return walk


def _type(schema: Body) -> str | None:
    kind = schema.get("type")
    return kind[0] if isinstance(kind, list) else kind


def _anything(value: Any, _path: Path, _found: list[str]) -> Any:
    return value
