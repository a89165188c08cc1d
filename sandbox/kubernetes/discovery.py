"""What clients ask first: versions, groups, resources."""

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.resources import Resource, Resources

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUBRESOURCE_VERBS = {
    "status": ["get", "patch", "update"],
    "scale": ["get", "patch", "update"],
    "ephemeralcontainers": ["get", "patch", "update"],
    "finalize": ["update"],
    "binding": ["create"],
    "eviction": ["create"],
    "token": ["create"],
    "log": ["get"],
}
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "binding": ("", "", "Binding"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}


def version(git_version: str) -> Body:
    """Answer /version."""
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


def api_versions(address: str) -> Body:
    """Answer /api."""
    where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}


def _group(name: str, versions: list[str]) -> Body:
    listed = [{"groupVersion": f"{name}/{one}", "version": one} for one in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _groups(resources: Resources) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for resource in resources.all():
        if resource.group and resource.version not in groups.setdefault(resource.group, []):
            groups[resource.group].append(resource.version)
    return groups


def group_list(resources: Resources) -> Body:
    """Answer /apis."""
    groups = [_group(name, versions) for name, versions in _groups(resources).items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(resources: Resources, name: str) -> Body | None:
    """Answer /apis/GROUP."""
    versions = _groups(resources).get(name)
    if versions is None:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, versions)


def resource_list(resources: Resources, name: str, group_version: str) -> Body | None:
    """Answer /api/v1 and /apis/GROUP/VERSION."""
    chosen = [one for one in resources.all() if (one.group, one.version) == (name, group_version)]
    if not chosen:
        return None
    listed: list[Body] = []
    for resource in chosen:
        listed.append(_described(resource))
        listed += [_subresource(resource, one) for one in resource.subresources]
    api_version = chosen[0].api_version
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version}
    return head | {"resources": listed}


def _described(resource: Resource) -> Body:
    described: Body = {
        "name": resource.plural,
        "singularName": resource.singular or resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _VERBS if resource.stored else ["create"],
    }
    if resource.short_names:
        described["shortNames"] = list(resource.short_names)
    if resource.categories:
        described["categories"] = list(resource.categories)
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
