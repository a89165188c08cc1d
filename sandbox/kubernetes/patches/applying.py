"""
Server-side apply: merge a configuration, and own what it sets.

Only managers that apply are tracked; whoever updates owns nothing here, and so is never in
conflict. See https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from datetime import datetime
from typing import Any

from sandbox.kubernetes.bodies import Body, clone, format_seconds, items
from sandbox.kubernetes.calls import Options
from sandbox.kubernetes.patches.field_sets import (
    Fields,
    definition_in,
    fields_of,
    is_atomic,
    item_key,
    leaves,
    list_keys,
    path_text,
    schemas_of,
)
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import definition_of
from sandbox.kubernetes.statuses import ApiError, bad_request, failure

_ABSENT = object()


def begin_configuration(resource: Resource, body: Body, manager: str, now: datetime) -> None:
    """
    Note the fields of a new object.

    Raises:
        ApiError: 400, if the configuration says itself what is managed.
    """
    _check(body)
    fields = fields_of(body, _definition(resource))
    body["metadata"]["managedFields"] = [_entry(resource, manager, fields, now)]


def apply_configuration(
    resource: Resource, target: Body, body: Body, options: Options, now: datetime
) -> Body:
    """
    Return an object after a configuration was applied to it.

    What the manager set before and leaves out now is removed, unless another applied it too.

    Raises:
        ApiError: 409, if another manager applied another value and the caller does not force.
    """
    _check(body)
    definition = _definition(resource)
    schemas = schemas_of(definition)
    fields = fields_of(body, definition)
    mine, others = _owners(target, options.field_manager)
    owned = set(leaves(fields))
    conflicts = {} if options.force else _conflicts(owned, others, target, body, schemas)
    if conflicts:
        raise _conflict(conflicts)
    result: Body = clone(target)
    kept = {path for entry in others for path in leaves(entry["fieldsV1"])}
    # An item of a list goes before what it holds, as it is found by what it holds.
    for path in sorted(set(leaves(mine)) - owned - kept, key=len):
        if not any(other[: len(path)] == path for other in kept | owned):
            _remove(result, path, schemas)
    result = _merge_object(result, body, schemas)
    if options.force:
        others = [_without(entry, owned, target, body, schemas) for entry in others]
    entry = _entry(resource, options.field_manager, fields, now)
    earlier = _entry_of(target, options.field_manager)
    if earlier is not None and earlier["fieldsV1"] == fields:
        entry["time"] = earlier["time"]  # So that applying the same again changes nothing.
    result["metadata"]["managedFields"] = [*(one for one in others if one["fieldsV1"]), entry]
    return result


def _check(body: Body) -> None:
    if body["metadata"].get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")


def _definition(resource: Resource) -> str | None:
    return definition_of(resource.group, resource.version, resource.kind)


def _entry(resource: Resource, manager: str, fields: Fields, now: datetime) -> Body:
    return {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": resource.api_version,
        "time": format_seconds(now),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def _entry_of(target: Body, manager: str) -> Body | None:
    for entry in items(target, "metadata", "managedFields"):
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            return dict(entry)
    return None


def _owners(target: Body, manager: str) -> tuple[Fields, list[Body]]:
    entries = items(target, "metadata", "managedFields")
    mine = _entry_of(target, manager)
    others = [one for one in entries if mine is None or one != mine]
    return (mine or {}).get("fieldsV1", {}), others


def _conflicts(
    owned: set[tuple[str, ...]], others: list[Body], target: Body, body: Body, schemas: Body
) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for entry in others:
        shared = owned & set(leaves(entry["fieldsV1"]))
        differing = [path for path in shared if _differs(path, target, body, schemas)]
        if differing:
            found[entry["manager"]] = sorted(differing)
    return found


def _differs(path: tuple[str, ...], target: Body, body: Body, schemas: Body) -> bool:
    if path[-1].startswith("k:"):
        return False
    return bool(_at(target, path, schemas) != _at(body, path, schemas))


def _conflict(conflicts: dict[str, list[tuple[str, ...]]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager}"',
            "field": path_text(path),
        }
        for manager, paths in conflicts.items()
        for path in paths
    ]
    many = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    texts = [_conflict_text(manager, paths) for manager, paths in conflicts.items()]
    message = f"Apply failed with {many}: " + "\n".join(texts)
    return failure(409, "Conflict", message, {"causes": causes})


def _conflict_text(manager: str, paths: list[tuple[str, ...]]) -> str:
    if len(paths) == 1:
        return f'conflict with "{manager}": {path_text(paths[0])}'
    listed = "".join(f"\n- {path_text(path)}" for path in paths)
    return f'conflicts with "{manager}":{listed}'


def _without(
    entry: Body, owned: set[tuple[str, ...]], target: Body, body: Body, schemas: Body
) -> Body:
    """Take from another manager what was forced from it."""
    fields = clone(entry["fieldsV1"])
    for path in owned & set(leaves(fields)):
        if _differs(path, target, body, schemas):
            _disown(fields, path)
    return entry | {"fieldsV1": fields}


def _disown(fields: Fields, path: tuple[str, ...]) -> None:
    """Take a path out of a set, and what is left empty above it."""
    if len(path) > 1:
        _disown(fields[path[0]], path[1:])
    if len(path) == 1 or not fields[path[0]]:
        del fields[path[0]]


def _step(value: Any, step: str, schema: Body) -> tuple[Any, Body]:
    """Go one step down a path; the schema goes along."""
    if step.startswith("f:"):
        key = step[2:]
        inner = schema.get("fields", {}).get(key, {})
        found = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
        return found, _descended(inner)
    keys = list_keys(schema) or ()
    for item in value if isinstance(value, list) else ():
        if item_key(item, keys, schema) == step:
            return item, _descended(schema.get("items", {}))
    return _ABSENT, {}


def _descended(schema: Body) -> Body:
    return schema | {"fields": schemas_of(definition_in(schema))}


def _at(body: Body, path: tuple[str, ...], schemas: Body) -> Any:
    value: Any = body
    schema: Body = {"fields": schemas}
    for step in path:
        value, schema = _step(value, step, schema)
        if value is _ABSENT:
            return _ABSENT
    return value


def _remove(body: Body, path: tuple[str, ...], schemas: Body) -> None:
    value: Any = body
    schema: Body = {"fields": schemas}
    for step in path[:-1]:
        value, schema = _step(value, step, schema)
        if value is _ABSENT:
            return
    last = path[-1]
    if last.startswith("f:") and isinstance(value, dict):
        value.pop(last[2:], None)
    elif isinstance(value, list):
        keys = list_keys(schema) or ()
        value[:] = [item for item in value if item_key(item, keys, schema) != last]


def _merge_object(target: Any, body: Body, schemas: Body) -> Body:
    result: Body = dict(target) if isinstance(target, dict) else {}
    for key, value in body.items():
        result[key] = _merge_value(result.get(key), value, schemas.get(key, {}))
    return result


def _merge_value(old: Any, new: Any, schema: Body) -> Any:
    if isinstance(new, dict) and not is_atomic(schema):
        return _merge_object(old, new, schemas_of(definition_in(schema)))
    keys = list_keys(schema)
    if not isinstance(new, list) or keys is None or not isinstance(old, list):
        return new
    inner = schemas_of(definition_in(schema.get("items", {})))
    merged = {item_key(item, keys, schema): item for item in old}
    for item in new:
        name = item_key(item, keys, schema)
        merged[name] = _merge_object(merged.get(name), item, inner) if keys else item
    return list(merged.values())
