"""The three kinds of patches, as functions from an object to the patched object."""

from typing import Any

import jsonpatch
import jsonpointer

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.calls import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import definition_in, definition_of, schemas_of
from sandbox.kubernetes.statuses import bad_request, failure, unsupported_media_type

_ACCEPTED = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)
_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def apply_patch(resource: Resource, content_type: str, target: Body, patch: Any) -> Body:
    """
    Return an object after a patch.

    Raises:
        ApiError: 415 for an unknown kind of patch, 400 or 422 for one that cannot be applied.
    """
    if content_type not in _ACCEPTED:
        raise unsupported_media_type(_ACCEPTED)
    if content_type == JSON_PATCH:
        return _apply_operations(target, patch)
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal it into an object")
    # Without a definition, no list has a merge key: that is a JSON merge patch (RFC 7396).
    definition = definition_of(resource) if content_type == STRATEGIC_PATCH else None
    result: Body = merge(target, patch, definition)
    return result


def _apply_operations(target: Body, operations: Any) -> Body:
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal it into jsonpatch.Patch")
    try:
        result: Body = jsonpatch.apply_patch(target, operations)
    except jsonpatch.InvalidJsonPatch as exc:
        raise bad_request(f"error decoding patch: {exc}") from exc
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as exc:
        why = "the server rejected our request due to an error in our request"
        raise failure(422, "Invalid", why) from exc
    return result


def merge(target: Any, patch: Body, definition: str | None = None) -> Any:
    """
    Return an object of a definition after a strategic merge patch.

    Raises:
        ApiError: 400, for an unknown directive or a list item without its merge key.

    >>> merge({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    _check_directive(patch)
    result: Body = dict(target) if isinstance(target, dict) else {}
    if _RETAIN in patch:
        result = {key: value for key, value in result.items() if key in patch[_RETAIN]}
    schemas = schemas_of(definition)
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


def _merge_field(old: Any, new: Any, schema: Body) -> Any:
    if isinstance(new, dict):
        return merge(old, new, definition_in(schema))
    if not isinstance(new, list):
        return new
    if "merge" not in schema.get("x-kubernetes-patch-strategy", ""):
        return [one for one in new if not _is_marker(one)]
    merge_key = schema.get("x-kubernetes-patch-merge-key")
    if merge_key is None:
        return [*(old or ()), *(one for one in new if one not in (old or ()))]
    return _merge_list(old or [], new, merge_key, definition_in(schema.get("items", {})))


def _is_marker(item: Any) -> bool:
    """Whether an item only marks that the list replaces the other."""
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
            result.append(merge({}, item, definition))
        else:
            result[index] = merge(result[index], item, definition)
    return result


def _position(listed: list[Any], merge_key: str, value: Any) -> int | None:
    for index, item in enumerate(listed):
        if item.get(merge_key) == value:
            return index
    return None


def _order(result: Body, patch: Body, schemas: Body) -> None:
    """Sort lists as the patch asks for; unnamed items go last."""
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
