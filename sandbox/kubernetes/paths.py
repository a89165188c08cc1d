"""What a path of the API names."""

from dataclasses import dataclass

from sandbox.kubernetes.resources import Resource, Resources

_NAMESPACES = "namespaces"
_NAMESPACE_SUBRESOURCES = ("finalize", "status")


@dataclass(frozen=True, slots=True)
class Target:
    """A resource, or one object of it, or a subresource of that."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_target(path: str, resources: Resources) -> Target | None:
    """Return what a path names; None if that is no resource that is served."""
    parts = [part for part in path.split("/") if part]
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 2:  # noqa: PLR2004 - apis, group, version
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if _is_in_namespace(group, rest):
        namespace, rest = rest[1], rest[2:]
    if not rest or len(rest) > 3:  # noqa: PLR2004 - resource, name, subresource
        return None
    resource = resources.find(group, version, rest[0])
    if resource is None or (namespace and not resource.namespaced):
        return None
    name, subresource = (*rest[1:], "", "")[:2]
    return Target(resource, namespace, name, subresource)


def _is_in_namespace(group: str, rest: list[str]) -> bool:
    """Tell objects in a namespace from the namespace itself, which stands at the same place."""
    if len(rest) < 3 or rest[0] != _NAMESPACES:  # noqa: PLR2004
        return False
    return bool(group) or len(rest) > 3 or rest[2] not in _NAMESPACE_SUBRESOURCES  # noqa: PLR2004
