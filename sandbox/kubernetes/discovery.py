"""Discovery of versions, groups and resources, and the OpenAPI documents for kubectl."""

import functools
import json
from typing import Any

from sandbox.kubernetes.bodies import Body, encode
from sandbox.kubernetes.resources import RESOURCES, Resource, resources_of
from sandbox.kubernetes.schemas import definitions

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUBRESOURCE_VERBS = {
    "status": ["get", "patch", "update"],
    "ephemeralcontainers": ["get", "patch", "update"],
    "finalize": ["update"],
    "binding": ["create"],
    "eviction": ["create"],
    "log": ["get"],
}
_SUBRESOURCE_KINDS = {
    "eviction": ("policy", "v1", "Eviction"),
    "binding": ("", "", "Binding"),
}


def version(git_version: str) -> Body:
    """Return the document at /version."""
    major, minor, *_ = git_version.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": git_version,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2026-04-22T00:00:00Z",
        "goVersion": "go1.25.0",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def discover(parts: list[str], address: str) -> Body | None:
    """Return the document at a path below /api or /apis, or None."""
    match parts:
        case ["api"]:
            where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
            head = {"kind": "APIVersions", "versions": ["v1"]}
            return head | {"serverAddressByClientCIDRs": where}
        case ["apis"]:
            groups = [_group(name, version) for name, version in _groups().items()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", group] if has_group(group):
            return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group, _groups()[group])
        case ["api", version]:
            return _resource_list("", version)
        case ["apis", group, version]:
            return _resource_list(group, version)
    return None


def has_group(name: str) -> bool:
    """Whether an API group is served."""
    return not name or name in _groups()


@functools.cache
def _groups() -> dict[str, str]:
    return {each.group: each.version for each in RESOURCES if each.group}


def _group(name: str, version: str) -> Body:
    listed = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [listed], "preferredVersion": listed}


def _resource_list(group: str, version: str) -> Body | None:
    chosen = sorted(resources_of(group, version), key=lambda each: each.plural)
    if not chosen:
        return None
    listed: list[Body] = []
    for resource in chosen:
        listed.append(_described(resource))
        listed += [_subresource(resource, one) for one in resource.subresources]
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": chosen[0].api_version}
    return head | {"resources": listed}


def _described(resource: Resource) -> Body:
    described: Body = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _VERBS if resource.stored else ["create"],
    }
    if resource.short_name:
        described["shortNames"] = [resource.short_name]
    if resource.in_all:
        described["categories"] = ["all"]
    return described


def _subresource(resource: Resource, name: str) -> Body:
    described: Body = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _SUBRESOURCE_VERBS[name],
    }
    if name in _SUBRESOURCE_KINDS:
        kind_group, kind_version, described["kind"] = _SUBRESOURCE_KINDS[name]
        if kind_group:
            described |= {"group": kind_group, "version": kind_version}
    return described


def openapi(parts: list[str]) -> bytes | None:
    """Return the document at a path below /openapi, or None."""
    match parts:
        case ["v3"]:
            return encode({"paths": {path: _place(path) for path in _paths()}})
        case ["v3", *rest] if "/".join(rest) in _paths():
            return _document("/".join(rest))
    return None


def _place(path: str) -> Body:
    return {"serverRelativeURL": f"/openapi/v3/{path}?hash=1"}


def _paths() -> list[str]:
    found = {
        f"apis/{one.group}/{one.version}" if one.group else f"api/{one.version}"
        for one in RESOURCES
    }
    return sorted(found)


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
def _schemas() -> Body:
    """Return the published schemas in the form that a server returns."""
    schemas: Body = json.loads(
        json.dumps(definitions()).replace("#/$defs/", "#/components/schemas/")
    )
    _drop_nulls(schemas)
    return schemas


def _document(path: str) -> bytes:
    group, version = ("", "v1") if path == "api/v1" else tuple(path.split("/")[1:])
    paths: Body = {}
    for resource in resources_of(group, version):
        paths |= _operations(resource, f"/{path}")
    info = {"title": "Kubernetes", "version": "v1.36.0"}
    components = {"schemas": _schemas()}
    return encode({"openapi": "3.0.0", "info": info, "paths": paths, "components": components})


def _operations(resource: Resource, root: str) -> Body:
    """Return the writes of a resource, where kubectl looks for ``fieldValidation``."""
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
