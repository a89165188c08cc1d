"""The OpenAPI documents that kubectl asks for: schemas, and that fields can be validated."""

import functools
import json
from typing import Any

from sandbox.kubernetes.bodies import Body, encode
from sandbox.kubernetes.resources import Resource, Resources
from sandbox.kubernetes.schemas import definitions

_OLD, _NEW = "#/$defs/", "#/components/schemas/"
_SWAGGER = "#/definitions/"


def document(resources: Resources, parts: list[str]) -> bytes | None:
    """Return the document at a path below /openapi, or None."""
    match parts:
        case ["v2"]:
            return _version_two()
        case ["v3"]:
            return encode({"paths": {path: _place(path) for path in _paths(resources)}})
        case ["v3", *rest] if "/".join(rest) in _paths(resources):
            return _version_three(resources, "/".join(rest))
    return None


def _place(path: str) -> Body:
    return {"serverRelativeURL": f"/openapi/v3/{path}?hash=1"}


def _paths(resources: Resources) -> list[str]:
    found = {
        f"apis/{one.group}/{one.version}" if one.group else f"api/{one.version}"
        for one in resources.all()
    }
    return sorted(found)


def _served(schema: Any, prefix: str) -> Any:
    """Bring the published schemas back into the form that a server serves them in."""
    text = json.dumps(schema)
    served = json.loads(text.replace(_OLD, prefix))
    _drop_nulls(served)
    return served


def _drop_nulls(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _drop_nulls(one)
    elif isinstance(schema, dict):
        kind = schema.get("type")
        if isinstance(kind, list):
            schema["type"] = next(one for one in kind if one != "null")
        for one in schema.values():
            _drop_nulls(one)


@functools.cache
def _version_two() -> bytes:
    info = {"title": "Kubernetes", "version": "v1.36.0"}
    schemas = _served(definitions(), _SWAGGER)
    return encode({"swagger": "2.0", "info": info, "paths": {}, "definitions": schemas})


@functools.cache
def _schemas_three() -> Body:
    schemas: Body = _served(definitions(), _NEW)
    return schemas


def _version_three(resources: Resources, path: str) -> bytes:
    group, version = ("", "v1") if path == "api/v1" else tuple(path.split("/")[1:])
    paths: Body = {}
    for resource in resources.all():
        if (resource.group, resource.version) == (group, version):
            paths |= _operations(resource, f"/{path}")
    info = {"title": "Kubernetes", "version": "v1.36.0"}
    schemas = _schemas_three() if not any(_is_custom(resources, group)) else {}
    components = {"schemas": schemas}
    return encode({"openapi": "3.0.0", "info": info, "paths": paths, "components": components})


def _is_custom(resources: Resources, group: str) -> list[bool]:
    return [one.custom for one in resources.all() if one.group == group and one.custom]


def _operations(resource: Resource, root: str) -> Body:
    """Describe the writes of a resource: kubectl looks there for ``fieldValidation``."""
    base = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    write = {"parameters": parameters, "x-kubernetes-group-version-kind": kind, "responses": {}}
    return {
        f"{base}/{resource.plural}": {"post": write},
        f"{base}/{resource.plural}/{{name}}": {"put": write, "patch": write},
    }
