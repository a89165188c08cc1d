"""A WSGI application on its own loopback socket, with Google's errors and with faults."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from sandbox.clock import Clock
from sandbox.fault import Damage, Fault, Faults

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The status codes of Google for HTTP statuses: https://cloud.google.com/apis/design/errors."""

_POLL_S = 0.05
"""The interval at which a server checks for its end; the default of 0.5 s adds up in tests."""


class _Server(ThreadedWSGIServer):
    def __init__(self, app: flask.Flask) -> None:
        self.open_connections: set[socket.socket] = set()
        super().__init__("127.0.0.1", 0, app, handler=_Handler)


class _Handler(WSGIRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; with Nagle's algorithm the second waits 40 ms for an ACK.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Remember the connection, so that stopping the server ends a request under way."""
        super().setup()
        self.server.open_connections.add(self.connection)

    def finish(self) -> None:
        """Forget the connection; one that was shut on purpose cannot be flushed."""
        with contextlib.suppress(OSError):
            super().finish()
        self.server.open_connections.discard(self.connection)

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin an answer, without a date: the service writes its own, which may be wrong."""
        self.send_response_only(code, message)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Keep the terminal quiet."""


class HttpServer:
    """Serves an application on 127.0.0.1, on a free port, until it is stopped."""

    def __init__(self, app: flask.Flask) -> None:
        self._server = _Server(app)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), daemon=True
        )

    @property
    def address(self) -> str:
        """``host:port`` of the socket."""
        return f"127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering, end all requests, and close the socket."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self.drop_connections()

    def drop_connections(self) -> None:
        """End all connections and their requests."""
        for connection in tuple(self._server.open_connections):
            shut(connection)


class GoogleApiError(Exception):
    """An error that one of Google's REST APIs answers with."""

    def __init__(
        self,
        code: int,
        message: str,
        status: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUSES.get(code, "UNKNOWN")
        self.details = details

    def response(self) -> flask.Response:
        """Return the answer in the form that all of Google's APIs share."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "status": self.status,
        }
        if self.details:
            error["details"] = list(self.details)
        return _json({"error": error}, self.code)


def read_json() -> dict[str, Any]:
    """
    Return the JSON object in the body of the current request.

    Raises:
        GoogleApiError: The body is something else.
    """
    body = flask.request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise GoogleApiError(400, "Invalid JSON payload received. The root must be an object.")
    return body


def answer_api_errors(app: flask.Flask) -> None:
    """Answer ``GoogleApiError`` and the errors of the framework in Google's form."""

    @app.errorhandler(GoogleApiError)
    def _refused(error: GoogleApiError) -> flask.Response:
        return error.response()

    @app.errorhandler(HTTPException)
    def _unserved(error: HTTPException) -> flask.Response:
        return GoogleApiError(error.code or 500, error.description or error.name).response()


def api_fault(fault: Fault) -> flask.Response:
    """Answer a fault in Google's form, or with the body that it brings."""
    if fault.body is not None:
        return _json(fault.body, fault.status)
    return GoogleApiError(fault.status, "a fault of the sandbox").response()


def shut(connection: socket.socket) -> None:
    """Shut a connection down, even if a thread reads from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _json(body: Mapping[str, Any], status: int) -> flask.Response:
    response = flask.jsonify(body)
    response.status_code = status
    return response


def apply_faults(
    app: flask.Flask,
    faults: Faults,
    service: str | Callable[[], str],
    error: Callable[[Fault], flask.Response],
    clock: Clock,
) -> None:
    """
    Check each request for faults, and answer with ``error(fault)`` if one hits.

    ``service`` is its name, or returns it for the current request. ``error`` writes the
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
        """Shut the connection, so that nothing can be written."""
        shut(environ["werkzeug.socket"])
        return super().__call__(environ, start_response)


class _CutAnswer(flask.Response):
    """Ends the connection after a part of the body that its headers promise."""

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
