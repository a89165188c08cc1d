"""
The timeouts and retries of all clients.

A delivery ends within seconds. Longer waits and later retries are left to Pub/Sub, whose back-off
and dead letters are set in ``infra/``. So clients never sleep, and a fact reports a ``Retry-After``
that no client waits for.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from shared.errors import TransientError

CONNECT_S: Final = 3.05
ANSWER_S: Final = 10.0

TIMEOUT: Final = (CONNECT_S, ANSWER_S)
"""Seconds to connect and to wait for an answer, for ``requests`` and Kubernetes' client."""

EXCHANGE_S: Final = CONNECT_S + ANSWER_S
"""Seconds for a whole exchange with a registry: redirects, headers and bodies."""

RPC_TIMEOUT_S: Final = ANSWER_S
"""Seconds for a whole call, for Google's client libraries."""

READ_RETRIES: Final = 1
"""Immediate retries of a read of a cluster after its connection broke."""

LONGEST_CALL_S: Final = (1 + READ_RETRIES) * (CONNECT_S + ANSWER_S)
"""Upper limit of the seconds that one call takes."""

DELIVERY_S: Final = 30.0
"""Seconds after which a delivery begins no more calls; its last call still ends in time."""

SWEEP_S: Final = 500.0
"""The same for a sweep, which reads the whole cluster."""

PATIENCE_S: Final = 300.0
"""
Seconds for which a command reads the log of facts.

Cloud Logging limits reads to 60 pages per minute and project, so a long log takes time.
"""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
"""Pauses between a command's tries; each is twice as long as the one before."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_exchange_deadline: ContextVar[float | None] = ContextVar("exchange_deadline", default=None)


@contextmanager
def limited_to(seconds: float) -> Iterator[None]:
    """Set the seconds after which no call begins; a command does not set them."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_time_left(action: str) -> None:
    """
    Check that the delivery has time left for a call.

    Raises:
        TransientError: The time is up; Pub/Sub would soon consider the delivery lost.
    """
    deadline = _deadline.get()
    if deadline is not None and time.monotonic() > deadline:
        raise TransientError(f"cannot {action}: the delivery has taken too long already")


@contextmanager
def exchange_limited_to(seconds: float) -> Iterator[None]:
    """Set the seconds after which an exchange waits for no connection and no bytes."""
    token = _exchange_deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _exchange_deadline.reset(token)


def limit_wait(seconds: float | None) -> float | None:
    """
    Return a timeout that ends with the exchange at the latest; outside of one, the same timeout.

    Raises:
        TimeoutError: The time of the exchange is up.
    """
    deadline = _exchange_deadline.get()
    if deadline is None:
        return seconds
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the exchange has taken too long")
    return left if seconds is None else min(seconds, left)
