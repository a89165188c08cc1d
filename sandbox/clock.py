"""The clock of the local cloud: it runs faster than the world's, and can be moved."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """
    A clock that starts now and runs ``scale`` times as fast as the world's.

    All times that the sandbox writes come from it, so that a pull of minutes takes a second and
    all timestamps still agree. Waits for real sockets do not use it.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self._origin = datetime.now(UTC)
        self._started = time.monotonic()
        self._moved = timedelta()
        self._changed = threading.Condition()

    def now(self) -> datetime:
        """Return the sandbox's time, in UTC."""
        elapsed = (time.monotonic() - self._started) * self.scale
        return self._origin + timedelta(seconds=elapsed) + self._moved

    def advance(self, by: timedelta) -> None:
        """Move the clock forwards, and wake the threads whose time has come."""
        with self._changed:
            self._moved += by
            self._changed.notify_all()

    def freeze(self) -> None:
        """Stop the clock; only ``advance`` moves it."""
        with self._changed:
            self._moved = self.now() - self._origin
            self.scale = 0.0

    def save(self) -> Callable[[], None]:
        """Return a function that moves a frozen clock back to this moment."""
        moved = self._moved

        def restore() -> None:
            with self._changed:
                self._moved = moved

        return restore

    def wait_until(self, due: datetime, stop: threading.Event | None = None) -> bool:
        """Wait until the sandbox's time is ``due``; return False if ``stop`` was set before."""
        with self._changed:
            while (left := (due - self.now()).total_seconds()) > 0:
                if stop is not None and stop.is_set():
                    return False
                self._changed.wait(min(left / self.scale, 0.1) if self.scale else 0.1)
        return stop is None or not stop.is_set()

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait for ``seconds`` of the sandbox's time; return False if ``stop`` was set before."""
        return self.wait_until(self.now() + timedelta(seconds=seconds), stop)


class SkewedClock(Clock):
    """The clock of a service, which may be ahead of another clock or behind it."""

    def __init__(self, right: Clock) -> None:
        super().__init__(right.scale)
        self.skew = timedelta()
        """How far it is ahead; negative where it is behind."""
        self._right = right

    def now(self) -> datetime:
        """Return the time of the service."""
        return self._right.now() + self.skew

    def advance(self, by: timedelta) -> None:
        """Move the clock that this one follows."""
        self._right.advance(by)

    def wait_until(self, due: datetime, stop: threading.Event | None = None) -> bool:
        """Wait until the clock of the service shows ``due``."""
        return self._right.wait_until(due - self.skew, stop)


def format_time(moment: datetime) -> str:
    """
    Format a time as Google's APIs do, with microseconds.

    >>> format_time(datetime(2024, 1, 1, tzinfo=UTC))
    '2024-01-01T00:00:00.000000Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
