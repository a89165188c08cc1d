"""Who may do what: RBAC, from the roles and bindings that are stored."""

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.kubernetes.authentication import MASTERS
from sandbox.kubernetes.bodies import Body, items
from sandbox.kubernetes.calls import Caller
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.statuses import ApiError, failure
from sandbox.kubernetes.store import Store

_GROUP = "rbac.authorization.k8s.io"
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller wants to do: to a resource, or to a path that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    """Plural; with a subresource as ``pods/log``."""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    """Evaluates the bindings that a cluster holds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, caller: Caller, access: Access) -> bool:
        """Whether a caller may do something."""
        if MASTERS in caller.groups:
            return True
        return any(_covers(rule, access) for rule in self._rules(caller, access.namespace))

    def check(self, caller: Caller, access: Access, resource: Resource | None) -> None:
        """
        Let a request through.

        Raises:
            ApiError: 403.
        """
        if not self.allows(caller, access):
            raise _denied(caller, access, resource)

    def _rules(self, caller: Caller, namespace: str) -> Iterator[Body]:
        for _, stored in self._store.scan(f"clusterrolebindings.{_GROUP}"):
            yield from self._granted(stored.body, caller, "")
        if namespace:
            for _, stored in self._store.scan(f"rolebindings.{_GROUP}", namespace):
                yield from self._granted(stored.body, caller, namespace)

    def _granted(self, binding: Body, caller: Caller, namespace: str) -> list[Body]:
        if not any(_is_subject(one, caller, namespace) for one in items(binding, "subjects")):
            return []
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._store.get(f"clusterroles.{_GROUP}", ("", reference["name"]))
        else:
            role = self._store.get(f"roles.{_GROUP}", (namespace, reference["name"]))
        return items(role.body, "rules") if role is not None else []


def _is_subject(subject: Body, caller: Caller, namespace: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "User":
        return bool(name == caller.name)
    if kind == "Group":
        return name in caller.groups
    account = f"{_SERVICE_ACCOUNT}{subject.get('namespace') or namespace}:{name}"
    return kind == "ServiceAccount" and account == caller.name


def _covers(rule: Body, access: Access) -> bool:
    if not _has(rule, "verbs", access.verb):
        return False
    if access.path:
        return any(_is_path(pattern, access.path) for pattern in items(rule, "nonResourceURLs"))
    if not _has(rule, "apiGroups", access.group) or not _has_resource(rule, access.resource):
        return False
    names = items(rule, "resourceNames")
    return not names or access.name in names


def _has(rule: Body, field: str, value: str) -> bool:
    listed = items(rule, field)
    return "*" in listed or value in listed


def _has_resource(rule: Body, resource: str) -> bool:
    listed = items(rule, "resources")
    if "*" in listed or resource in listed:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in listed


def _is_path(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return pattern == path


def _denied(caller: Caller, access: Access, resource: Resource | None) -> ApiError:
    if access.path:
        return failure(
            403,
            "Forbidden",
            f'forbidden: User "{caller.name}" cannot {access.verb} path "{access.path}"',
        )
    key = (
        f"{access.resource.partition('/')[0]}.{access.group}"
        if access.group
        else access.resource.partition("/")[0]
    )
    subject = f'{key} "{access.name}"' if access.name else key
    where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: User "{caller.name}" cannot {access.verb} resource '
        f'"{access.resource}" in API group "{access.group}" {where}'
    )
    details: Body = {"name": access.name} if access.name else {}
    if access.group:
        details["group"] = access.group
    details["kind"] = access.resource.partition("/")[0] if resource is None else resource.plural
    return failure(403, "Forbidden", message, details)
