"""Push delivery: it posts messages that are due to their endpoint, and settles them."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from sandbox.fault import Faults
from sandbox.pubsub.broker import Broker, Pending, Subscription
from sandbox.pubsub.message import Delivery, make_push_body

PARALLEL_PUSHES = 8
"""Pushes of one subscription at a time."""

_MAX_THREADS = 64
_HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "CloudPubSub-Google",
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class _Push:
    """Everything that one delivery needs, read under the lock."""

    subscription: Subscription
    pending: Pending
    url: str
    timeout_s: float
    body: bytes


class PushDispatcher:
    """
    Pushes messages on its own threads.

    A fault of service ``pubsub`` whose call is ``Push projects/…/subscriptions/…`` prevents a
    delivery or, if the fault takes effect after the call, loses the answer of the endpoint.
    """

    def __init__(self, broker: Broker, faults: Faults) -> None:
        self._broker = broker
        self._faults = faults
        self._connections = _Connections()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="pubsub-push")
        self._thread = threading.Thread(target=self._run, name="pubsub-dispatch", daemon=True)

    def start(self) -> None:
        """Start to push."""
        self._thread.start()

    def stop(self) -> None:
        """End all pushes, including those that wait for an answer; close the broker first."""
        self._stopped.set()
        self._thread.join()
        self._connections.close()
        self._pool.shutdown(wait=True)

    def _run(self) -> None:
        changed = self._broker.changed
        with changed:
            while not self._broker.is_closed:
                for push in self._due():
                    self._pool.submit(self._deliver, push)
                changed.wait(self._broker.seconds_to_next_due())

    def _due(self) -> Iterator[_Push]:
        for subscription in filter(lambda each: each.is_push, self._broker.subscriptions.values()):
            for pending in subscription.take(PARALLEL_PUSHES):
                attempt = pending.attempt if subscription.max_delivery_attempts else None
                body = make_push_body(pending.message, subscription.name, attempt)
                yield _Push(
                    subscription,
                    pending,
                    subscription.config.push_config.push_endpoint,
                    subscription.config.ack_deadline_seconds,
                    json.dumps(body).encode(),
                )

    def _deliver(self, push: _Push) -> None:
        status, error = None, None
        try:
            status, error = self._send(push)
        except (OSError, http.client.HTTPException) as exc:
            error = f"{type(exc).__name__}: {exc}"
        message_id, attempt = push.pending.message.message_id, push.pending.attempt
        delivery = Delivery(push.subscription.name, message_id, attempt, status, error)
        self._broker.settle(push.subscription, push.pending, delivery)

    def _send(self, push: _Push) -> tuple[int | None, str | None]:
        fault = self._faults.hit("pubsub", f"Push {push.subscription.name}")
        if fault is None:
            return self._connections.post(push), None
        self._stopped.wait(fault.stall_s)
        if fault.takes_effect:
            return self._connections.post(push), "a fault lost the answer"
        return fault.status or None, "a fault prevented the delivery"


class _Connections:
    """One connection per push; all of them can be ended from another thread."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False

    def post(self, push: _Push) -> int:
        """
        Post a message, and return the status of the answer; redirects are not followed.

        Raises:
            OSError, http.client.HTTPException: No answer arrived in time.
        """
        parts = urlsplit(push.url)
        is_tls = parts.scheme == "https"
        factory = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with contextlib.closing(factory(parts.netloc, timeout=push.timeout_s)) as connection:
            connection.connect()
            with self._registered(connection.sock):
                connection.request("POST", path, push.body, _HEADERS)
                response = connection.getresponse()
                response.read()
                return response.status

    def close(self) -> None:
        """End every connection, and refuse new ones."""
        with self._lock:
            self._closed = True
            for opened in self._open:
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _registered(self, opened: socket.socket) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise ConnectionAbortedError("the server is stopping")
            self._open.add(opened)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(opened)
