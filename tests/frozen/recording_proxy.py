"""Proxies that record every call on its way to a service, independent of who makes or serves it."""

import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

_TIMEOUT_S = 30.0
Replaced = Sequence[tuple[bytes, bytes]]
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it left the client."""

    service: str
    method: str
    """The HTTP method, or ``GRPC``."""
    path: str
    body: bytes
    status: int | None = None
    """The HTTP status of the answer."""


class Recording:
    """The calls in the order in which they were answered; safe for threads."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        """Append a call."""
        with self._lock:
            self._calls.append(call)

    def take(self) -> list[Call]:
        """Return the calls since the last time, and forget them."""
        with self._lock:
            calls, self._calls = self._calls, []
        return calls


@contextmanager
def record_http(
    service: str, address: str, recording: Recording, *, replaced: Replaced = ()
) -> Iterator[str]:
    """
    Forward HTTP to an address, and yield the address of the proxy.

    Each pair of ``replaced`` is a text of the service and the one that the client sees instead;
    both have the same length.
    """
    handler = _make_handler(service, address, recording, replaced)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _make_handler(
    service: str, address: str, recording: Recording, replaced: Replaced
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body are two writes; with Nagle's algorithm the second waits for an ACK.
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
            del format, args

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kept = [(k, v) for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP]
            upstream = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
            sent = body
            for real, seen in replaced:
                sent = sent.replace(seen, real)
            upstream.request(self.command, self.path, sent, dict(kept))
            answer = upstream.getresponse()
            content = answer.read()
            for real, seen in replaced:
                content = content.replace(real, seen)
            upstream.close()
            recording.add(Call(service, self.command, self.path, body, answer.status))
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.forward)
    return Handler


@contextmanager
def record_grpc(service: str, address: str, recording: Recording) -> Iterator[str]:
    """Forward unary gRPC calls to an address, and yield the address of the proxy."""
    with grpc.insecure_channel(address) as channel:
        server = grpc.server(ThreadPoolExecutor(max_workers=4))
        server.add_generic_rpc_handlers((_Forwarding(service, channel, recording),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


class _Forwarding(grpc.GenericRpcHandler):
    def __init__(self, service: str, channel: grpc.Channel, recording: Recording) -> None:
        self._service = service
        self._channel = channel
        self._recording = recording

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path: str = handler_call_details.method
        forward: Callable[..., bytes] = self._channel.unary_unary(path)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._recording.add(Call(self._service, "GRPC", path, request))
            try:
                return forward(request, timeout=_TIMEOUT_S)
            except grpc.RpcError as exc:
                context.abort(exc.code(), exc.details() or "")
                raise

        return grpc.unary_unary_rpc_method_handler(answer)
