"""From an HTTP request to the values that the server works with."""

from typing import Any

import flask
import yaml

from sandbox.kubernetes.bodies import Body, decode, dig, mapping
from sandbox.kubernetes.calls import APPLY_PATCH, Call, Caller, Deletion, Options
from sandbox.kubernetes.paths import Target
from sandbox.kubernetes.queries import Query
from sandbox.kubernetes.statuses import bad_request, unsupported_media_type
from sandbox.kubernetes.streams import Watching
from sandbox.kubernetes.tables import TABLE

_YAML = ("application/yaml", "application/x-yaml", "text/yaml")
_JSON = ("", "application/json", *_YAML)
_MAX_MANAGER = 128


def verb_of(target: Target) -> str:
    """Return the verb of a request, as roles and audit logs name it."""
    method = flask.request.method
    if method in ("GET", "HEAD"):
        if is_watch():
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())


def is_watch() -> bool:
    """Whether changes are asked for rather than a state."""
    return flask.request.args.get("watch") in ("true", "1")


def wants_table() -> bool:
    """Whether a table is the first of the types that the client would like."""
    return TABLE in flask.request.headers.get("Accept", "").partition(",")[0]


def call_of(target: Target, verb: str, caller: Caller) -> Call:
    """
    Read a write.

    Raises:
        ApiError: 400 or 415, for a body or an option that cannot be read.
    """
    arguments = flask.request.args
    deletes = verb in ("delete", "deletecollection")
    body = _body(verb)
    options = body if deletes and isinstance(body, dict) else {}
    return Call(
        verb,
        target.resource,
        caller,
        target.namespace,
        target.name,
        target.subresource,
        body,
        _content_type() if verb == "patch" else "",
        _options(options),
        _deletion(options),
        arguments.get("labelSelector", ""),
        arguments.get("fieldSelector", ""),
    )


def _content_type() -> str:
    return flask.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _body(verb: str) -> Any:
    content_type = _content_type()
    data = flask.request.get_data()
    if verb != "patch" and content_type not in _JSON:
        raise unsupported_media_type(("application/json", "application/yaml"))
    if not data:
        return None
    if content_type == APPLY_PATCH or content_type in _YAML:
        try:
            return _as_json(yaml.safe_load(data))
        except yaml.YAMLError as exc:
            raise bad_request(f"error decoding YAML: {exc}") from exc
    try:
        return decode(data)
    except ValueError as exc:
        raise bad_request(f"couldn't get version/kind; json parse error: {exc}") from exc


def _as_json(value: Any) -> Any:
    """Bring what YAML reads into the types of JSON: its times are texts, its keys too."""
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return value.isoformat().replace("+00:00", "Z")


def _options(body: Body) -> Options:
    arguments = flask.request.args
    dry_run = arguments.getlist("dryRun") or dig(body, "dryRun") or []
    if any(one != "All" for one in dry_run):
        raise bad_request(f'invalid dryRun: Unsupported value: {dry_run}: supported values: "All"')
    validation = arguments.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        raise bad_request(
            f'fieldValidation: Unsupported value: "{validation}": supported values: "Ignore", '
            '"Strict", "Warn"'
        )
    manager = arguments.get("fieldManager", "")[:_MAX_MANAGER]
    return Options(bool(dry_run), validation, manager, arguments.get("force") == "true")


def _deletion(body: Body) -> Deletion:
    arguments = flask.request.args
    propagation = body.get("propagationPolicy") or arguments.get("propagationPolicy")
    orphan = body.get("orphanDependents")
    if propagation is None and orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    if propagation not in (None, "Background", "Foreground", "Orphan"):
        raise bad_request(
            f'propagationPolicy: Unsupported value: "{propagation}": supported values: '
            '"Foreground", "Background", "Orphan"'
        )
    grace = body.get("gracePeriodSeconds")
    if grace is None and (text := arguments.get("gracePeriodSeconds")):
        grace = int(text) if text.isdigit() else None
    preconditions = mapping(body, "preconditions")
    return Deletion(
        propagation, grace, preconditions.get("uid"), preconditions.get("resourceVersion")
    )


def query_of(target: Target) -> Query:
    """
    Read a list.

    Raises:
        ApiError: 400, for a limit that is no number.
    """
    arguments = flask.request.args
    limit = arguments.get("limit", "") or "0"
    if not limit.isdigit():
        raise bad_request(f'strconv.ParseInt: parsing "{limit}": invalid syntax')
    field_selector = arguments.get("fieldSelector", "")
    if target.name:
        field_selector = f"metadata.name={target.name}"
    return Query(
        target.resource,
        target.namespace,
        arguments.get("labelSelector", ""),
        field_selector,
        int(limit),
        arguments.get("continue", ""),
        arguments.get("resourceVersion", ""),
        arguments.get("resourceVersionMatch") == "Exact",
    )


def watching_of(target: Target) -> Watching:
    """
    Read a watch.

    Raises:
        ApiError: 400, for a number that is none.
    """
    arguments = flask.request.args
    query = query_of(target)
    timeout = arguments.get("timeoutSeconds", "")
    flags = {
        "bookmarks": arguments.get("allowWatchBookmarks") in ("true", "1"),
        "initial_events": arguments.get("sendInitialEvents") == "true",
        "as_tables": wants_table(),
    }
    if timeout.isdigit() and int(timeout):
        return Watching(query, float(timeout), **flags)
    return Watching(query, **flags)
