"""A WSGI application on a loopback socket of its own, served by threads."""

import threading
import time
from collections.abc import Callable
from typing import Any, Self

import flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from sandbox.faults import Fault, Faults


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Keep the terminal quiet."""


class HttpServer:
    """Serves an application on 127.0.0.1, on a free port, until it is stopped."""

    def __init__(self, app: flask.Flask) -> None:
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", 0, app, threaded=True, request_handler=_Handler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """``host:port`` of the socket."""
        return f"127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering, and close the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def apply_faults(
    app: flask.Flask, faults: Faults, service: str, error: Callable[[Fault], flask.Response]
) -> None:
    """
    Ask ``faults`` at each request, and answer with ``error(fault)`` where one hits.

    ``error`` writes the service's own form of an error. A fault whose call is applied lets
    the request take effect, and replaces its answer.
    """

    @app.before_request
    def _before() -> flask.Response | None:
        query = flask.request.query_string.decode()
        path = flask.request.path + (f"?{query}" if query else "")
        fault = faults.hit(service, f"{flask.request.method} {path}")
        if fault is None:
            return None
        if fault.stall_s:
            time.sleep(fault.stall_s)
        if fault.applied:
            flask.g.fault = fault
            return None
        return _answer(fault, error)

    @app.after_request
    def _after(response: flask.Response) -> flask.Response:
        fault: Fault | None = flask.g.pop("fault", None)
        return response if fault is None else _answer(fault, error)


def _answer(fault: Fault, error: Callable[[Fault], flask.Response]) -> flask.Response:
    if fault.status == 0:
        raise ConnectionResetError("the sandbox closes the connection")
    response = error(fault)
    response.headers.update(fault.headers)
    return response
