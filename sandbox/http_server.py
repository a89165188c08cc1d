"""A WSGI application on a loopback socket of its own, served by threads."""

import contextlib
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from sandbox.faults import Fault

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
"""Google's words for HTTP statuses: https://cloud.google.com/apis/design/errors."""

_POLL_S = 0.05
"""How soon a server notices that it shall stop; the default of half a second adds up in tests."""


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
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering, also what is under way, and close the socket."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self.drop_connections()

    def drop_connections(self) -> None:
        """End all connections, with what is under way on them."""
        for connection in tuple(self._server.open_connections):
            shut(connection)


class ApiError(Exception):
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
        ApiError: The body is something else.
    """
    body = flask.request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise ApiError(400, "Invalid JSON payload received. The root must be an object.")
    return body


def answer_api_errors(app: flask.Flask) -> None:
    """Answer ``ApiError``, and what the framework itself refuses, in Google's form."""

    @app.errorhandler(ApiError)
    def _refused(error: ApiError) -> flask.Response:
        return error.response()

    @app.errorhandler(HTTPException)
    def _unserved(error: HTTPException) -> flask.Response:
        return ApiError(error.code or 500, error.description or error.name).response()


def api_fault(fault: Fault) -> flask.Response:
    """Answer a fault in Google's form, or with the body that it brings."""
    if fault.body is not None:
        return _json(fault.body, fault.status)
    return ApiError(fault.status, "a fault that the sandbox was told to have").response()


def shut(connection: socket.socket) -> None:
    """End a connection, also one that somebody reads from."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _json(body: Mapping[str, Any], status: int) -> flask.Response:
    response = flask.jsonify(body)
    response.status_code = status
    return response
