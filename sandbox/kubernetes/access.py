"""Authentication by token, authorization by RBAC, and access reviews."""

import base64
import secrets
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sandbox.kubernetes.bodies import Body, items, mapping
from sandbox.kubernetes.calls import Answer, Call, Caller
from sandbox.kubernetes.schemas import decode_body
from sandbox.kubernetes.statuses import ApiError, failure
from sandbox.kubernetes.store import Store

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
ADMIN_TOKEN = secrets.token_hex(16)
"""Generated in each process; its user may do everything."""
_ANONYMOUS = ("system:anonymous", ("system:unauthenticated",))
_RBAC = "rbac.authorization.k8s.io"
_SERVICE_ACCOUNT = "system:serviceaccount:"


class Tokens:
    """The users of a cluster, by token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.add(ADMIN_TOKEN, "kubernetes-admin", (MASTERS,))

    def add(self, token: str, name: str, groups: Iterable[str] = ()) -> None:
        """Add a user."""
        with self._lock:
            self._users[token] = (name, (*groups, AUTHENTICATED))

    def caller(self, authorization: str, user_agent: str, source_ip: str) -> Caller:
        """
        Return the sender of an Authorization header; without credentials it is anonymous.

        Raises:
            ApiError: 401.
        """
        scheme, _, credentials = authorization.partition(" ")
        user = self._users.get(_token(scheme.lower(), credentials))
        if user is None:
            if scheme.lower() == "bearer" and credentials.strip():
                raise failure(401, "Unauthorized", "Unauthorized")
            user = _ANONYMOUS
        return Caller(user[0], user[1], user_agent, source_ip)


def _token(scheme: str, credentials: str) -> str:
    """
    Return the token of an Authorization header.

    It may be the password of basic authentication: without TLS, kubectl sends no bearer token,
    but it sends the credentials of the server's URL.
    """
    if scheme == "bearer":
        return credentials.strip()
    try:
        return base64.b64decode(credentials).decode().partition(":")[2]
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Access:
    """A verb on a resource, or on a path that is not a resource."""

    verb: str
    group: str = ""
    resource: str = ""
    """Plural; with a subresource as ``pods/log``."""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    """Evaluates the roles and bindings of a cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def reason(self, caller: Caller, access: Access) -> str | None:
        """Return the reason why a caller has an access, or None if it does not."""
        if MASTERS in caller.groups:
            return ""
        for text, rules in self._granted(caller, access.namespace):
            if any(_covers(rule, access) for rule in rules):
                return f"RBAC: allowed by {text}"
        return None

    def check(self, caller: Caller, access: Access) -> None:
        """
        Let an allowed request pass.

        Raises:
            ApiError: 403.
        """
        if self.reason(caller, access) is None:
            raise _denied(caller, access)

    def _granted(self, caller: Caller, namespace: str) -> Iterator[tuple[str, list[Body]]]:
        bindings = [*self._store.scan(f"clusterrolebindings.{_RBAC}")]
        if namespace:
            bindings += self._store.scan(f"rolebindings.{_RBAC}", namespace)
        for name, stored in bindings:
            for subject in items(stored.body, "subjects"):
                if _is_subject(subject, caller, name[0]):
                    yield self._rules(name, stored.body, subject)

    def _rules(self, name: tuple[str, str], binding: Body, subject: Body) -> tuple[str, list[Body]]:
        kind, reference = binding["kind"], binding["roleRef"]
        place = (name[0], reference["name"])
        if reference["kind"] == "ClusterRole":
            role = self._store.get(f"clusterroles.{_RBAC}", ("", reference["name"]))
        else:
            role = self._store.get(f"roles.{_RBAC}", place)
        who = subject["name"]
        if subject["kind"] == "ServiceAccount":
            who = f"{who}/{subject.get('namespace') or name[0]}"
        shown = f"{name[1]}/{name[0]}" if name[0] else name[1]
        text = (
            f'{kind} "{shown}" of {reference["kind"]} "{reference["name"]}" '
            f'to {subject["kind"]} "{who}"'
        )
        return text, items(role.body, "rules") if role is not None else []


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
    if not _has(rule, "apiGroups", access.group) or not _has(rule, "resources", access.resource):
        return False
    names = items(rule, "resourceNames")
    return not names or access.name in names


def _has(rule: Body, field: str, value: str) -> bool:
    listed = items(rule, field)
    return "*" in listed or value in listed


def _is_path(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return pattern == path


def _denied(caller: Caller, access: Access) -> ApiError:
    who = f'User "{caller.name}" cannot {access.verb}'
    if access.path:
        return failure(403, "Forbidden", f'forbidden: {who} path "{access.path}"')
    plural = access.resource.partition("/")[0]
    key = f"{plural}.{access.group}" if access.group else plural
    subject = f'{key} "{access.name}"' if access.name else key
    where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: {who} resource "{access.resource}" in API group '
        f'"{access.group}" {where}'
    )
    details = {"name": access.name, "group": access.group, "kind": plural}
    return failure(403, "Forbidden", message, {key: text for key, text in details.items() if text})


def answer_review(authorizer: Authorizer, call: Call) -> Answer:
    """
    Answer whether a user has an access.

    Raises:
        ApiError: 400, for a body that cannot be read.
    """
    decoded = decode_body(call.resource, call.body, call.options.field_validation)
    body, spec, caller = decoded.body, mapping(decoded.body, "spec"), call.caller
    if call.resource.kind == "SubjectAccessReview":
        caller = Caller(str(spec.get("user", "")), tuple(items(spec, "groups")))
    reason = authorizer.reason(caller, _access(spec))
    body["status"] = {"allowed": reason is not None} | ({"reason": reason} if reason else {})
    return Answer(body, 201, list(decoded.warnings))


def _access(spec: Body) -> Access:
    path, wanted = mapping(spec, "nonResourceAttributes"), mapping(spec, "resourceAttributes")
    if path:
        return Access(path.get("verb", ""), path=path.get("path", ""))
    resource = wanted.get("resource", "")
    if wanted.get("subresource"):
        resource = f"{resource}/{wanted['subresource']}"
    names = (wanted.get(key, "") for key in ("namespace", "name"))
    return Access(wanted.get("verb", ""), wanted.get("group", ""), resource, *names)
