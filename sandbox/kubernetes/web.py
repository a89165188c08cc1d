"""The API over HTTP: who calls, may they, what do they want, and the answer as JSON."""

from collections.abc import Iterable

import flask

from sandbox.fault import Fault
from sandbox.kubernetes import discovery, openapi
from sandbox.kubernetes.authentication import ANONYMOUS, MASTERS, Tokens
from sandbox.kubernetes.authorization import Access
from sandbox.kubernetes.bodies import Body, encode
from sandbox.kubernetes.calls import Caller
from sandbox.kubernetes.cluster import present_raw
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.http_requests import (
    call_of,
    query_of,
    verb_of,
    wants_table,
    watching_of,
)
from sandbox.kubernetes.paths import Target, parse_target
from sandbox.kubernetes.queries import list_page, list_text
from sandbox.kubernetes.statuses import ApiError, failure, method_not_allowed, unknown_path
from sandbox.kubernetes.streams import Streams
from sandbox.kubernetes.tables import table_of
from sandbox.kubernetes.views import VIEWS, read_view

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_READS = ("get", "list", "watch")
_HEALTH = ("healthz", "livez", "readyz")
_PUBLIC = (*_HEALTH, "version")
_JSON = "application/json"


def answer_fault(fault: Fault) -> flask.Response:
    """Answer as the API server does when it cannot serve a request."""
    if fault.body is not None:
        return _json(dict(fault.body), fault.status)
    messages = {
        401: ("Unauthorized", "Unauthorized"),
        403: ("Forbidden", "forbidden: the sandbox refuses"),
        429: ("TooManyRequests", "too many requests, please try again later"),
        500: ("InternalError", "Internal error occurred: the sandbox fails"),
        503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504: ("Timeout", "the server was unable to return a response in the time allotted"),
    }
    reason, message = messages.get(fault.status, ("", "the sandbox answers so"))
    response = _json(failure(fault.status, reason, message).status, fault.status)
    if fault.status == 429:  # noqa: PLR2004
        response.headers["Retry-After"] = "1"
    return response


def _json(body: Body, code: int = 200, warnings: Iterable[str] = ()) -> flask.Response:
    response = flask.Response(encode(body), code, content_type=_JSON)
    for warning in warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    return response


class Web:
    """Answers requests."""

    def __init__(self, engine: Engine, tokens: Tokens, streams: Streams, version: str) -> None:
        self._engine = engine
        self._cluster = engine.cluster
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
            return _json(error.status, error.code)

    def _answer(self, path: str) -> flask.Response:
        caller = self._caller(path)
        target = parse_target(path, self._cluster.resources)
        if target is None:
            return self._answer_path(path, caller)
        verb = verb_of(target)
        if verb in _READS:
            self._authorize(caller, target, verb)
            return self._read(target, verb)
        self._check_method(target, verb)
        call = call_of(target, verb, caller)
        try:
            self._authorize(caller, target, verb)
        except ApiError as error:
            self._engine.refuse(call, error)
            raise
        answer = self._engine.execute(call)
        return _json(answer.body, answer.code, answer.warnings)

    def _caller(self, path: str) -> Caller:
        headers = flask.request.headers
        if path in _PUBLIC and "Authorization" not in headers:
            return ANONYMOUS
        caller = self._tokens.caller(
            headers.get("Authorization", ""),
            headers.get("User-Agent", ""),
            flask.request.remote_addr or "",
        )
        other = headers.get("Impersonate-User")
        if not other:
            return caller
        if MASTERS not in caller.groups:
            access = Access("impersonate", "", "users", name=other)
            self._authorizer.check(caller, access, None)
        groups = (*headers.getlist("Impersonate-Group"), "system:authenticated")
        return Caller(other, groups, caller.user_agent, caller.source_ip)

    def _authorize(self, caller: Caller, target: Target, verb: str) -> None:
        resource = target.resource
        name = f"{resource.plural}/{target.subresource}" if target.subresource else resource.plural
        namespace = target.namespace
        if resource.key == "namespaces":
            namespace = target.name  # A namespace lies in itself, for roles.
        access = Access(verb, resource.group, name, namespace, target.name)
        self._authorizer.check(caller, access, resource)

    def _check_method(self, target: Target, verb: str) -> None:
        resource = target.resource
        named = bool(target.name)
        if resource.namespaced and not target.namespace:
            raise method_not_allowed()
        if not resource.stored and verb != "create":
            raise method_not_allowed()
        if verb == "create" and named and not target.subresource:
            raise method_not_allowed()
        if verb in ("update", "patch") and not named:
            raise method_not_allowed()
        if target.subresource and target.subresource not in resource.subresources:
            raise unknown_path()
        if verb == "delete" and target.subresource:
            raise method_not_allowed()

    def _read(self, target: Target, verb: str) -> flask.Response:
        resource = target.resource
        if not resource.stored:
            raise method_not_allowed()
        if verb != "watch" and not target.subresource and wants_table():
            return _json(self._table(target, verb))
        if verb == "list":
            text = list_text(self._cluster, query_of(target))
            return flask.Response(text, content_type=_JSON)
        if verb == "watch":
            events = self._streams.open(watching_of(target))
            return flask.Response(events, content_type=_JSON)
        stored = self._cluster.fetch(resource, target.namespace, target.name)
        if not target.subresource:
            return flask.Response(present_raw(resource, stored), content_type=_JSON)
        if target.subresource not in VIEWS:
            raise method_not_allowed()
        return _json(read_view(resource, target.subresource, stored.copy()))

    def _table(self, target: Target, verb: str) -> Body:
        resource, now = target.resource, self._cluster.clock.now()
        if verb == "get":
            stored = self._cluster.fetch(resource, target.namespace, target.name)
            version = {"resourceVersion": str(stored.revision)}
            return table_of(resource, [stored.body], version, now)
        page = list_page(self._cluster, query_of(target))
        return table_of(resource, (one.body for one in page.listed), page.metadata(), now)

    def _answer_path(self, path: str, caller: Caller) -> flask.Response:
        """Answer what is no resource: health, the version, discovery."""
        access = Access("get", path=f"/{path}")
        self._authorizer.check(caller, access, None)
        if flask.request.method not in ("GET", "HEAD"):
            raise method_not_allowed() if path in ("api", "apis", "version") else unknown_path()
        parts = [part for part in path.split("/") if part]
        if parts and parts[0] in _HEALTH:
            return flask.Response("ok", content_type="text/plain; charset=utf-8")
        if parts[:1] == ["openapi"]:
            return self._openapi(parts[1:])
        body = self._discover(parts)
        if body is None:
            raise unknown_path()
        return _json(body)

    def _discover(self, parts: list[str]) -> Body | None:
        resources = self._cluster.resources
        found: Body | None = None
        match parts:
            case ["version"]:
                found = discovery.version(self._version)
            case ["api"]:
                found = discovery.api_versions(flask.request.host)
            case ["apis"]:
                found = discovery.group_list(resources)
            case ["api", version]:
                found = discovery.resource_list(resources, "", version)
            case ["apis", group]:
                found = discovery.group(resources, group)
            case ["apis", group, version]:
                found = discovery.resource_list(resources, group, version)
        return found

    def _openapi(self, parts: list[str]) -> flask.Response:
        text = openapi.document(self._cluster.resources, parts)
        if text is None:
            raise unknown_path()
        return flask.Response(text, content_type=_JSON)
