"""The API over HTTP."""

from collections.abc import Iterable

import flask

from sandbox.fault import Fault
from sandbox.kubernetes import discovery
from sandbox.kubernetes.access import AUTHENTICATED, MASTERS, Access, Tokens
from sandbox.kubernetes.bodies import Body, encode
from sandbox.kubernetes.calls import Caller
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.http_requests import (
    Target,
    call_of,
    name_of,
    parse_target,
    query_of,
    verb_of,
    wants_table,
    watching_of,
)
from sandbox.kubernetes.queries import list_page, list_text
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.server_fields import check_view
from sandbox.kubernetes.statuses import ApiError, failure, method_not_allowed, unknown_path
from sandbox.kubernetes.tables import table_of
from sandbox.kubernetes.watches import Streams

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_READS = ("get", "list", "watch")
_HEALTH = ("healthz", "livez", "readyz")
_JSON = "application/json"
_FAULTS = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden: the sandbox refuses"),
    429: ("TooManyRequests", "too many requests, please try again later"),
    500: ("InternalError", "Internal error occurred: the sandbox fails"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}


def answer_fault(fault: Fault) -> flask.Response:
    """Return the API server's answer to a request that it cannot serve."""
    if fault.body is not None:
        return _json(dict(fault.body), fault.status)
    reason, message = _FAULTS.get(fault.status, ("", "the sandbox answers so"))
    response = _json(failure(fault.status, reason, message).status, fault.status)
    if fault.status == 429:  # noqa: PLR2004
        response.headers["Retry-After"] = "1"
    return response


def _json(body: Body, code: int = 200, warnings: Iterable[str] = ()) -> flask.Response:
    response = flask.Response(encode(body), code, content_type=_JSON)
    for warning in warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    if retry := body.get("details", {}).get("retryAfterSeconds"):
        response.headers["Retry-After"] = str(retry)
    return response


class Web:
    """Answers requests."""

    def __init__(self, engine: Engine, tokens: Tokens, streams: Streams, version: str) -> None:
        self._engine = engine
        self._store = engine.store
        self._tokens = tokens
        self._authorizer = engine.authorizer
        self._streams = streams
        self._version = version

    def answer(self, path: str) -> flask.Response:
        """Answer any request; errors become Status objects."""
        flask.request.get_data()  # An unread body would be taken for the connection's next request.
        try:
            return self._answer(path)
        except ApiError as error:
            return _json(error.status, error.code, error.warnings)

    def _answer(self, path: str) -> flask.Response:
        target = parse_target(path)
        caller = self._caller()
        if target is None:
            return self._answer_path(path, caller)
        verb, resource = verb_of(target), target.resource
        if verb in _READS or resource is None:
            self._authorize(caller, target, verb)
            return self._read(target, _served(target), verb)
        self._check_method(target, resource, verb)
        call = call_of(target, resource, verb, caller)
        try:
            self._authorize(caller, target, verb)
        except ApiError as error:
            self._engine.refuse(call, error)
            raise
        answer = self._engine.execute(call)
        return _json(answer.body, answer.code, answer.warnings)

    def _caller(self) -> Caller:
        headers = flask.request.headers
        caller = self._tokens.caller(
            headers.get("Authorization", ""),
            headers.get("User-Agent", ""),
            flask.request.remote_addr or "",
        )
        other = headers.get("Impersonate-User")
        if not other:
            return caller
        if MASTERS not in caller.groups:
            self._authorizer.check(caller, Access("impersonate", "", "users", name=other))
        groups = (*headers.getlist("Impersonate-Group"), AUTHENTICATED)
        return Caller(other, tuple(dict.fromkeys(groups)), caller.user_agent, caller.source_ip)

    def _authorize(self, caller: Caller, target: Target, verb: str) -> None:
        name = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
        namespace = target.namespace
        if (target.group, target.plural) == ("", "namespaces"):
            namespace = target.name  # Roles in a namespace apply to the namespace itself.
        access = Access(verb, target.group, name, namespace, name_of(target, verb))
        self._authorizer.check(caller, access)

    def _check_method(self, target: Target, resource: Resource, verb: str) -> None:
        named, subresource = bool(target.name), target.subresource
        if resource.namespaced and not target.namespace:
            raise method_not_allowed()
        if not resource.stored and verb != "create":
            raise method_not_allowed()
        if verb == "create" and named and not subresource:
            raise method_not_allowed()
        if verb in ("update", "patch") and not named:
            raise method_not_allowed()
        if verb == "delete" and subresource:
            raise method_not_allowed()

    def _read(self, target: Target, resource: Resource, verb: str) -> flask.Response:
        if not resource.stored:
            raise method_not_allowed()
        if verb != "watch" and not target.subresource and wants_table():
            return _json(self._table(target, resource, verb))
        if verb == "list":
            text = list_text(self._store, query_of(target, resource))
            return flask.Response(text, content_type=_JSON)
        if verb == "watch":
            events = self._streams.open(watching_of(target, resource))
            return flask.Response(events, content_type=_JSON)
        check_view(resource, target.subresource)
        stored = self._store.fetch(resource, target.namespace, target.name)
        return flask.Response(stored.raw, content_type=_JSON)

    def _table(self, target: Target, resource: Resource, verb: str) -> Body:
        now = self._store.clock.now()
        if verb == "get":
            stored = self._store.fetch(resource, target.namespace, target.name)
            version = {"resourceVersion": str(stored.revision)}
            return table_of(resource, [stored.body], version, now)
        page = list_page(self._store, query_of(target, resource))
        return table_of(resource, (one.body for one in page.listed), page.metadata(), now)

    def _answer_path(self, path: str, caller: Caller) -> flask.Response:
        self._authorizer.check(caller, Access(flask.request.method.lower(), path=f"/{path}"))
        if flask.request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        parts = [part for part in path.split("/") if part]
        if parts and parts[0] in _HEALTH:
            return flask.Response("ok", content_type="text/plain; charset=utf-8")
        if parts == ["version"]:
            return _json(discovery.version(self._version))
        if parts[:1] == ["openapi"]:
            if (text := discovery.openapi(parts[1:])) is not None:
                return flask.Response(text, content_type=_JSON)
        elif (found := discovery.discover(parts, flask.request.host)) is not None:
            return _json(found)
        return _not_found()


def _served(target: Target) -> Resource:
    resource = target.resource
    if resource is None:
        if not discovery.has_group(target.group):
            flask.abort(_not_found())
        raise unknown_path()
    return resource


def _not_found() -> flask.Response:
    return flask.Response("404 page not found\n", 404, content_type="text/plain; charset=utf-8")
