"""
Strategic merge patch: lists merge by the keys that the published schemas name.

See https://github.com/kubernetes/community/blob/main/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from typing import Any

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.schemas import struct_of
from sandbox.kubernetes.statuses import bad_request

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_PREFIX = "#/$defs/"


def merge_strategically(target: Any, patch: Body, definition: str | None) -> Any:
    """
    Return an object of a definition after a strategic merge patch.

    Raises:
        ApiError: 400, for a directive that is not known or a list item without its merge key.
    """
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    _check_directive(patch)
    result: Body = dict(target) if isinstance(target, dict) else {}
    if _RETAIN in patch:
        result = {key: value for key, value in result.items() if key in patch[_RETAIN]}
    schemas = _schemas(definition)
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            field = key.removeprefix(_DELETE_PRIMITIVES)
            result[field] = [one for one in result.get(field, ()) if one not in value]
        elif key.startswith("$"):
            continue
        elif _is_removal(value):
            result.pop(key, None)
        else:
            result[key] = _merge_field(result.get(key), value, schemas.get(key, {}))
    _order(result, patch, schemas)
    return result


def _is_removal(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and value.get(_DIRECTIVE) == "delete")


def _check_directive(patch: Body) -> None:
    directive = patch.get(_DIRECTIVE, "merge")
    if directive != "merge":
        raise bad_request(f"Unknown patch type: {directive} in map: {patch}")


def _schemas(definition: str | None) -> Body:
    struct = struct_of(definition) if definition else None
    return struct.schemas if struct is not None else {}


def _definition(schema: Body) -> str | None:
    reference = schema.get("$ref")
    return reference.removeprefix(_PREFIX) if reference else None


def _merge_field(old: Any, new: Any, schema: Body) -> Any:
    if isinstance(new, dict):
        return merge_strategically(old, new, _definition(schema))
    if not isinstance(new, list):
        return new
    if "merge" not in schema.get("x-kubernetes-patch-strategy", ""):
        return [one for one in new if not _is_marker(one)]
    merge_key = schema.get("x-kubernetes-patch-merge-key")
    if merge_key is None:
        return [*(old or ()), *(one for one in new if one not in (old or ()))]
    return _merge_list(old or [], new, merge_key, _definition(schema.get("items", {})))


def _is_marker(item: Any) -> bool:
    """Whether an item of a list only says that the list replaces the other."""
    return bool(item == {_DIRECTIVE: "replace"})


def _merge_list(
    old: list[Any], new: list[Any], merge_key: str, definition: str | None
) -> list[Any]:
    if any(isinstance(one, dict) and one.get(_DIRECTIVE) == "replace" for one in new):
        return [one for one in new if one.get(_DIRECTIVE) != "replace"]
    result = list(old)
    for item in new:
        if not isinstance(item, dict) or merge_key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {merge_key}")
        index = _position(result, merge_key, item[merge_key])
        if item.get(_DIRECTIVE) == "delete":
            if index is not None:
                del result[index]
        elif index is None:
            result.append(merge_strategically({}, item, definition))
        else:
            result[index] = merge_strategically(result[index], item, definition)
    return result


def _position(listed: list[Any], merge_key: str, value: Any) -> int | None:
    for index, item in enumerate(listed):
        if item.get(merge_key) == value:
            return index
    return None


def _order(result: Body, patch: Body, schemas: Body) -> None:
    """Bring lists into the order that the patch asks for; what it does not name goes last."""
    for directive, order in patch.items():
        if not directive.startswith(_ORDER):
            continue
        field = directive.removeprefix(_ORDER)
        key = schemas.get(field, {}).get("x-kubernetes-patch-merge-key")
        wanted = [one.get(key) if isinstance(one, dict) else one for one in order]
        if isinstance(result.get(field), list):
            result[field] = sorted(result[field], key=lambda item: _rank(item, key, wanted))


def _rank(item: Any, key: str | None, wanted: list[Any]) -> int:
    value = item.get(key) if isinstance(item, dict) and key else item
    return wanted.index(value) if value in wanted else len(wanted)
