"""HTTP requests as values."""

import re
from dataclasses import dataclass
from typing import Any

import flask

from sandbox.kubernetes.bodies import Body, decode, dig, mapping
from sandbox.kubernetes.calls import Call, Caller, Deletion, Options
from sandbox.kubernetes.field_errors import invalid as invalid_field
from sandbox.kubernetes.field_errors import not_supported
from sandbox.kubernetes.queries import Query
from sandbox.kubernetes.resources import Resource, find_resource
from sandbox.kubernetes.statuses import bad_request, failure, invalid, unsupported_media_type
from sandbox.kubernetes.tables import TABLE
from sandbox.kubernetes.watches import Watching

_JSON = ("", "application/json")
_ONE_NAME = re.compile(r"metadata\.name==?([^,]+)")
_MAX_BODY = 3 * 1024 * 1024
_KINDS = {"create": "Create", "update": "Update", "patch": "Patch"}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_NAMESPACES = "namespaces"
_NAMESPACE_SUBRESOURCES = ("finalize", "status")


@dataclass(frozen=True, slots=True)
class Target:
    """A resource, an object of it, or a subresource of an object."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> Resource | None:
        """The served resource, if there is one."""
        return find_resource(self.group, self.version, self.plural)


def parse_target(path: str) -> Target | None:
    """
    Return the target of a path, or None if it does not name a resource.

    >>> parse_target("api/v1/namespaces/ml/pods/a/log")
    Target(group='', version='v1', plural='pods', namespace='ml', name='a', subresource='log')
    """
    parts = [part for part in path.split("/") if part]
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:  # noqa: PLR2004 - apis, group, version
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if _is_in_namespace(group, rest):
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return None
    name, subresource = (*rest[1:3], "", "")[:2]
    return Target(group, version, rest[0], namespace, name, subresource)


def _is_in_namespace(group: str, rest: list[str]) -> bool:
    """Whether a path names something in a namespace, and not the namespace itself."""
    if len(rest) < 3 or rest[0] != _NAMESPACES:  # noqa: PLR2004
        return False
    return bool(group) or len(rest) > 3 or rest[2] not in _NAMESPACE_SUBRESOURCES  # noqa: PLR2004


def verb_of(target: Target) -> str:
    """Return the verb of a request, as roles and audit logs name it."""
    method = flask.request.method
    if method in ("GET", "HEAD"):
        if is_watch():
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return _VERBS.get(method, method.lower())


def name_of(target: Target, verb: str) -> str:
    """Return the name for authorization; a list or watch may select one object by its name."""
    found = _ONE_NAME.fullmatch(flask.request.args.get("fieldSelector", ""))
    return found[1] if found and verb in ("list", "watch") else target.name


def is_watch() -> bool:
    """Whether the request is a watch."""
    return flask.request.args.get("watch", "false") not in ("false", "0")


def wants_table() -> bool:
    """Whether a table is the preferred type of the answer."""
    return TABLE in flask.request.headers.get("Accept", "").partition(",")[0]


def call_of(target: Target, resource: Resource, verb: str, caller: Caller) -> Call:
    """
    Return a write.

    Raises:
        ApiError: 400, 413, 415 or 422, for an invalid body or option.
    """
    arguments = flask.request.args
    body = _body(verb)
    options = body if verb.startswith("delete") and isinstance(body, dict) else {}
    return Call(
        verb,
        resource,
        caller,
        target.namespace,
        target.name,
        target.subresource,
        body,
        _content_type() if verb == "patch" else "",
        _options(options, f"{_KINDS.get(verb, 'Delete')}Options"),
        _deletion(options),
        arguments.get("labelSelector", ""),
        arguments.get("fieldSelector", ""),
    )


def _content_type() -> str:
    return flask.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _body(verb: str) -> Any:
    content_type, data = _content_type(), flask.request.get_data()
    if verb != "patch" and content_type not in _JSON:
        raise unsupported_media_type(("application/json",))
    if len(data) > _MAX_BODY:
        message = f"Request entity too large: limit is {_MAX_BODY}"
        raise failure(413, "RequestEntityTooLarge", message)
    if not data:
        return None
    try:
        body = decode(data)
    except (ValueError, RecursionError) as exc:
        message = f"couldn't get version/kind; json parse error: {exc}"
        raise bad_request(message) from exc
    return {} if body is None and verb == "create" else body


def _options(body: Body, kind: str) -> Options:
    arguments = flask.request.args
    dry_run = arguments.get("dryRun") or (dig(body, "dryRun") or [""])[0]
    validation = arguments.get("fieldValidation", "")
    _check_choice(kind, "dryRun", dry_run, ("", "All"))
    _check_choice(kind, "fieldValidation", validation, ("", "Ignore", "Strict", "Warn"))
    return Options(bool(dry_run), validation or "Warn")


def _check_choice(kind: str, field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise invalid(f"{kind}.meta.k8s.io", "", [not_supported(field, value, allowed)])


def _deletion(body: Body) -> Deletion:
    arguments = flask.request.args
    if body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request(f'no kind "{body["kind"]}" is registered for version "v1"')
    propagation = body.get("propagationPolicy") or arguments.get("propagationPolicy")
    if propagation is not None:
        allowed = ("Foreground", "Background", "Orphan")
        _check_choice("DeleteOptions", "propagationPolicy", propagation, allowed)
        if body.get("orphanDependents") is not None:
            error = invalid_field("propagationPolicy", propagation, "excludes orphanDependents")
            raise invalid("DeleteOptions.meta.k8s.io", "", [error])
    grace = body.get("gracePeriodSeconds")
    if grace is None and (text := arguments.get("gracePeriodSeconds", "")).isdigit():
        grace = int(text)
    preconditions = mapping(body, "preconditions")
    version = preconditions.get("resourceVersion")
    return Deletion(propagation, grace, preconditions.get("uid"), version)


def query_of(target: Target, resource: Resource) -> Query:
    """Return the parameters of a list."""
    arguments = flask.request.args
    version = arguments.get("resourceVersion", "")
    field_selector = arguments.get("fieldSelector", "")
    if target.name:
        field_selector = f"metadata.name={target.name}"
    return Query(
        resource,
        target.namespace,
        arguments.get("labelSelector", ""),
        field_selector,
        # The API server serves version 0 from its cache, which knows no pages.
        0 if version == "0" else max(arguments.get("limit", 0, int), 0),
        arguments.get("continue", ""),
        version,
    )


def watching_of(target: Target, resource: Resource) -> Watching:
    """Return the parameters of a watch."""
    arguments = flask.request.args
    return Watching(
        query_of(target, resource),
        arguments.get("timeoutSeconds", 0.0, float) or 1800.0,
        initial_events=arguments.get("sendInitialEvents") == "true",
        as_tables=wants_table(),
    )
