"""
How long we wait for others, and how often we ask again: every bound that the clients keep.

A delivery ends within seconds. Waiting for longer, and trying again later, is Pub/Sub's
business: its back-off and dead letters stand in ``infra/``. So nothing here sleeps, and a
``Retry-After`` is told to whoever reads the fact, not waited for.
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
"""Seconds to connect and to wait for an answer, as ``requests`` and Kubernetes' client take it."""

RPC_TIMEOUT_S: Final = ANSWER_S
"""Seconds for a whole call, as Google's client libraries take it."""

READ_RETRIES: Final = 1
"""How often a read of a cluster whose connection breaks off is sent again, at once."""

LONGEST_CALL_S: Final = (1 + READ_RETRIES) * (CONNECT_S + ANSWER_S)
"""What one call may take, whatever happens to it."""

DELIVERY_S: Final = 30.0
"""Seconds after which a delivery begins no more calls; the last one ends in time all the same."""

SWEEP_S: Final = 500.0
"""The same for a sweep, which looks at everything."""

PATIENCE_S: Final = 300.0
"""
How long a person's command goes on reading the log of facts.

Reading is limited to 60 pages a minute and project, so that a long log takes waiting.
"""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
"""Pauses between a command's tries, each twice as long as the one before."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def limited_to(seconds: float) -> Iterator[None]:
    """Let no call begin after so many seconds; a command, which sets no such limit, has none."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_time_left(action: str) -> None:
    """
    Begin no call for which a delivery has no time left.

    Raises:
        TransientError: It took too long already; Pub/Sub would take it for lost soon.
    """
    deadline = _deadline.get()
    if deadline is not None and time.monotonic() > deadline:
        raise TransientError(f"cannot {action}: the delivery has taken too long already")
