"""Push delivery: messages that are due go to their endpoint, and the answer settles them."""

import base64
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from google.pubsub_v1 import types

from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.pubsub.backlogs import NO_DEADLINE, Lease
from sandbox.pubsub.broker import Broker
from sandbox.pubsub.messages import Delivery, make_push_body
from sandbox.pubsub.subscriptions import Subscription

PARALLEL_PUSHES = 8
"""How many pushes of one subscription are under way at once."""

_MAX_THREADS = 64
_TOKEN_LIFETIME_S = 3600


@dataclass(frozen=True, slots=True)
class _Push:
    """What one delivery needs, read once so that no lock is held while it is under way."""

    subscription: Subscription
    config: types.PushConfig
    lease: Lease
    timeout_s: float
    body: bytes


class PushDispatcher:
    """
    Pushes what is due, up to a bound per subscription, on threads of its own.

    A fault of service ``pubsub`` whose call is ``Push projects/…/subscriptions/…`` loses a
    delivery before it is sent or, if it is to be applied, loses the endpoint's answer.
    """

    def __init__(self, broker: Broker, clock: Clock, faults: Faults) -> None:
        self._broker = broker
        self._clock = clock
        self._faults = faults
        self._connections = _Connections()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="pubsub-push")
        self._thread = threading.Thread(target=self._run, name="pubsub-dispatch", daemon=True)

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def stop(self) -> None:
        """End all pushes, also those that wait for an answer; the broker is closed already."""
        self._stopped.set()
        self._thread.join()
        self._connections.close()
        self._pool.shutdown(wait=True)

    def _run(self) -> None:
        changed = self._broker.changed
        with changed:
            while not self._broker.is_closed:
                self._broker.expire()
                for push in self._due():
                    self._pool.submit(self._deliver, push)
                if not changed.wait(self._broker.seconds_to_next_change()):
                    # Something has just fallen due: pulls that wait look again.
                    changed.notify_all()

    def _due(self) -> list[_Push]:
        pushes: list[_Push] = []
        for subscription in self._broker.subscriptions.values():
            if not subscription.is_push:
                continue
            room = PARALLEL_PUSHES - subscription.backlog.leased
            # The timeout of the HTTP request ends a push, never the lease that stands for it.
            for lease in subscription.backlog.take(room, time.monotonic(), NO_DEADLINE):
                body = make_push_body(
                    lease.message,
                    subscription.name,
                    subscription.delivery_attempt(lease.attempt),
                )
                pushes.append(
                    _Push(
                        subscription=subscription,
                        config=types.PushConfig(subscription.config.push_config),
                        lease=lease,
                        timeout_s=subscription.ack_deadline_s,
                        body=json.dumps(body).encode(),
                    )
                )
        return pushes

    def _deliver(self, push: _Push) -> None:
        status: int | None = None
        error: str | None = None
        try:
            status, error = self._send(push)
        except (OSError, http.client.HTTPException) as exc:
            error = f"{type(exc).__name__}: {exc}"
        delivery = Delivery(
            push.subscription.name, push.lease.message.message_id, push.lease.attempt, status, error
        )
        with self._broker.changed:
            self._broker.deliveries.append(delivery)
            settle = self._broker.ack if delivery.acknowledged else self._broker.nack
            settle(push.subscription, [push.lease.ack_id])

    def _send(self, push: _Push) -> tuple[int | None, str | None]:
        fault = self._faults.hit("pubsub", f"Push {push.subscription.name}")
        if fault is None:
            return self._post(push), None
        self._stopped.wait(fault.stall_s)
        if fault.takes_effect:
            return self._post(push), "the answer was lost by a fault"
        return fault.status or None, "lost by a fault"

    def _post(self, push: _Push) -> int:
        headers = {"Content-Type": "application/json", "User-Agent": "CloudPubSub-Google"}
        if push.config.oidc_token.service_account_email:
            headers["Authorization"] = f"Bearer {self._make_token(push.config)}"
        return self._connections.post(push.config.push_endpoint, push.body, headers, push.timeout_s)

    def _make_token(self, config: types.PushConfig) -> str:
        issued = int(self._clock.now().timestamp())
        email = config.oidc_token.service_account_email
        claims = {
            "aud": config.oidc_token.audience or config.push_endpoint,
            "azp": email,
            "email": email,
            "email_verified": True,
            "exp": issued + _TOKEN_LIFETIME_S,
            "iat": issued,
            "iss": "https://accounts.google.com",
            "sub": email,
        }
        # Unsigned: there is nobody here who could vouch for it, and it must not look as if.
        return f"{_segment({'alg': 'none', 'typ': 'JWT'})}.{_segment(claims)}."


class _Connections:
    """The sockets of the pushes under way, so that they can be ended from outside."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> int:
        """
        Post a body, and return the status of the answer; redirects are not followed.

        Raises:
            OSError, http.client.HTTPException: There was no answer within ``timeout_s``.
        """
        parts = urlsplit(url)
        factory = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with contextlib.closing(factory(parts.netloc, timeout=timeout_s)) as connection:
            connection.connect()
            with self._registered(connection.sock):
                connection.request("POST", path, body, {**headers, "Connection": "close"})
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


def _segment(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
