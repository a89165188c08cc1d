"""The Pub/Sub services under test, and an endpoint that receives pushes."""

import base64
import json
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Traits:
    """The behaviour of the service that a server has."""

    filters: bool = True
    """Subscriptions drop what their filter does not accept, and refuse an invalid one."""
    delivery_attempt: bool = True
    """Pushes under a dead-letter policy count their attempts."""
    ack_deadline_minimum: bool = True
    """Ack deadlines of less than ten seconds are refused."""
    acknowledging: frozenset[int] = frozenset({102, 200, 201, 202, 204})
    """Statuses of an endpoint's answer that acknowledge a push."""


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    address: str
    traits: Traits


# As of version 0.8.20 of google-cloud-cli's pubsub-emulator.
OFFICIAL = Traits(
    filters=False,
    delivery_attempt=False,
    ack_deadline_minimum=False,
    acknowledging=frozenset({102, 200, 201, 204}),
)
OFFICIAL_ADDRESS = os.environ.get("PUBSUB_EMULATOR_HOST")
SERVICES = ["embedded", *(["official"] if OFFICIAL_ADDRESS else [])]


@dataclass(frozen=True, slots=True)
class Push:
    """A request that the receiver got."""

    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.body["message"]["data"])


@dataclass(slots=True)
class Receiver:
    """An endpoint that keeps its requests, and answers 200 unless a test sets another status."""

    pushes: "queue.Queue[Push]" = field(default_factory=queue.Queue)
    answers: "queue.Queue[int]" = field(default_factory=queue.Queue)
    gate: Callable[[], object] = lambda: None
    """Passed before each answer."""
    url: str = ""

    def next(self) -> Push:
        return self.pushes.get(timeout=TIMEOUT_S)

    def answer(self) -> int:
        try:
            return self.answers.get_nowait()
        except queue.Empty:
            return 200


@contextmanager
def receive() -> Iterator[Receiver]:
    """Serve an endpoint on the loopback."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = received.answer()
            received.pushes.put(Push({k.lower(): v for k, v in self.headers.items()}, body))
            received.gate()
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    received.url = f"http://127.0.0.1:{server.server_port}/push?from=pubsub"
    yield received
    server.shutdown()
    thread.join()
    server.server_close()
