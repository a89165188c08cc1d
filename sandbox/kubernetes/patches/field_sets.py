"""Which fields a manager owns, as server-side apply writes it into managedFields."""

import json
from collections.abc import Iterable
from typing import Any

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.schemas import struct_of

_PREFIX = "#/$defs/"
_UNOWNED = ("apiVersion", "kind", "status")
_UNOWNED_METADATA = ("name", "namespace", "managedFields", "uid", "resourceVersion", "generation")
_SELF = "."

Fields = Body
"""Nested objects: ``f:NAME`` a field, ``k:KEYS`` an item of a keyed list, ``v:VALUE`` of a set."""


def schemas_of(definition: str | None) -> Body:
    """Return the schemas of a definition's fields."""
    struct = struct_of(definition) if definition else None
    return struct.schemas if struct is not None else {}


def definition_in(schema: Body) -> str | None:
    """Return the definition that a schema refers to."""
    reference = schema.get("$ref")
    return reference.removeprefix(_PREFIX) if reference else None


def list_keys(schema: Body) -> tuple[str, ...] | None:
    """Return the keys of a list that is a map; empty for a set, None for an atomic list."""
    kind = schema.get("x-kubernetes-list-type")
    if kind == "map":
        return tuple(schema.get("x-kubernetes-list-map-keys", ()))
    return () if kind == "set" else None


def is_atomic(schema: Body) -> bool:
    """Whether an object is owned as a whole."""
    return schema.get("x-kubernetes-map-type") == "atomic"


def item_key(item: Any, keys: tuple[str, ...], schema: Body) -> str:
    """Name an item of a list that is a map or a set."""
    if not keys:
        return f"v:{json.dumps(item, separators=(',', ':'))}"
    schemas = schemas_of(definition_in(schema.get("items", {})))
    values = {key: item.get(key, _default(key, schemas)) for key in sorted(keys)}
    text = json.dumps(values, separators=(",", ":"))
    return f"k:{text}"


def _default(key: str, schemas: Body) -> Any:
    """Return what a key is when it is left out: ports are told apart by protocol too."""
    default = schemas.get(key, {}).get("default")
    return "TCP" if default is None and key == "protocol" else default


def fields_of(body: Body, definition: str | None) -> Fields:
    """Return the fields that a configuration sets."""
    trimmed = {key: value for key, value in body.items() if key not in _UNOWNED}
    metadata = trimmed.get("metadata") or {}
    kept = {key: value for key, value in metadata.items() if key not in _UNOWNED_METADATA}
    trimmed.pop("metadata", None)
    if kept:
        trimmed["metadata"] = kept
    return _of_object(trimmed, schemas_of(definition))


def _of_object(value: Body, schemas: Body) -> Fields:
    return {f"f:{key}": _of_value(item, schemas.get(key, {})) for key, item in value.items()}


def _of_value(value: Any, schema: Body) -> Fields:
    if isinstance(value, dict) and not is_atomic(schema):
        return _of_object(value, schemas_of(definition_in(schema)))
    keys = list_keys(schema)
    if not isinstance(value, list) or keys is None:
        return {}
    items = schemas_of(definition_in(schema.get("items", {})))
    fields: Fields = {}
    for item in value:
        inner = _of_object(item, items) if keys else {}
        fields[item_key(item, keys, schema)] = {_SELF: {}, **inner} if keys else {}
    return fields


def leaves(fields: Fields, path: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    """Yield the paths of what is owned itself, not only for what it holds."""
    inner = {key: value for key, value in fields.items() if key != _SELF}
    if path and (not inner or _SELF in fields):
        yield path
    for key, value in inner.items():
        yield from leaves(value, (*path, key))


def path_text(path: tuple[str, ...]) -> str:
    """
    Write a path as conflicts name it.

    >>> path_text(("f:spec", "f:containers", 'k:{"name":"a"}', "f:image"))
    '.spec.containers[name="a"].image'
    """
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            values = json.loads(rest)
            text += f"[{','.join(f'{key}={json.dumps(value)}' for key, value in values.items())}]"
        else:
            text += f"[={rest}]"
    return text
