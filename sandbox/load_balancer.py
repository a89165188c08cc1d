"""One address in front of several instances of a function, as Cloud Run's front end has it."""

import itertools
import socket
import socketserver
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Self
from urllib.parse import urlsplit

_POLL_S = 0.05
_CHUNK = 64 * 1024


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


class LoadBalancer:
    """Gives each connection to the next instance; a push is a connection of its own."""

    def __init__(self, urls: Sequence[str]) -> None:
        addresses = itertools.cycle([_address(url) for url in urls])
        lock = threading.Lock()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with lock:
                    chosen = next(addresses)
                # An instance that is gone refuses; the push then has no answer, and comes again.
                with suppress(OSError), closing(socket.create_connection(chosen)) as instance:
                    _join(self.request, instance)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where messages are pushed to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def start(self) -> Self:
        """Begin to take connections."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


def _join(client: socket.socket, instance: socket.socket) -> None:
    """Pass bytes both ways until the instance has said all."""
    sender = threading.Thread(target=_copy, args=(client, instance), daemon=True)
    sender.start()
    _copy(instance, client)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
