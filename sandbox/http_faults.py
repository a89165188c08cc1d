"""Faults of the services that speak HTTP: what is answered, or becomes of the answer."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import flask

from sandbox.clock import Clock
from sandbox.faults import Damage, Fault, Faults
from sandbox.http_server import shut

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def apply_faults(
    app: flask.Flask,
    faults: Faults,
    service: str | Callable[[], str],
    error: Callable[[Fault], flask.Response],
    clock: Clock,
) -> None:
    """
    Ask ``faults`` at each request, and answer with ``error(fault)`` where one hits.

    ``service`` is its name, or tells it from the current request. ``error`` writes the
    service's own form of an error. A fault whose call takes effect lets the request pass, and
    replaces or damages its answer. Every answer is dated by the service's ``clock``.
    """

    @app.before_request
    def _before() -> flask.Response | None:
        query = flask.request.query_string.decode()
        path = flask.request.path + (f"?{query}" if query else "")
        name = service if isinstance(service, str) else service()
        fault = faults.hit(name, f"{flask.request.method} {path}")
        if fault is None:
            return None
        if fault.stall_s:
            time.sleep(fault.stall_s)
        if fault.takes_effect:
            flask.g.fault = fault
            return None
        # An unread body would be taken for the connection's next request.
        flask.request.get_data()
        return _answer(fault, error)

    @app.after_request
    def _after(response: flask.Response) -> flask.Response:
        response.date = clock.now()
        fault: Fault | None = flask.g.pop("fault", None)
        if fault is None:
            return response
        if fault.damage is not None:
            return _damaged(response, fault.damage)
        return _answer(fault, error)


def _answer(fault: Fault, error: Callable[[Fault], flask.Response]) -> flask.Response:
    if fault.status == 0:
        return _NoAnswer(status=0)
    if fault.content is not None:
        response = flask.Response(fault.content, fault.status, content_type="text/html")
    else:
        response = error(fault)
    response.headers.update(fault.headers)
    return response


def _damaged(response: flask.Response, damage: Damage) -> flask.Response:
    if damage == "mistyped":
        response.content_type = "text/html; charset=utf-8"
        return response
    if damage == "emptied":
        response.set_data(b"")
        return response
    if response.is_streamed:
        return _NoAnswer(status=0)
    whole = response.get_data()
    half = whole[: len(whole) // 2]
    if damage == "truncated":
        response.set_data(half)
        return response
    cut = _CutAnswer(half, response.status_code, response.headers)
    cut.headers["Content-Length"] = str(len(whole))
    return cut


class _NoAnswer(flask.Response):
    """Ends the connection when it would be written, after all that an application does."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Shut the connection; what follows cannot be written any more."""
        shut(environ["werkzeug.socket"])
        return super().__call__(environ, start_response)


class _CutAnswer(flask.Response):
    """Ends the connection after what it has of its body, though its headers promise more."""

    automatically_set_content_length = False

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Write headers and body, then shut the connection."""
        written = super().__call__(environ, start_response)

        def write() -> Iterator[bytes]:
            yield from written
            shut(environ["werkzeug.socket"])

        return write()
