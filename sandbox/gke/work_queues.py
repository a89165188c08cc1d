"""Work by key, now or later in the sandbox's time."""

import threading
from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from sandbox.clock import Clock

Key = TypeVar("Key", bound=Hashable)

_MOVED_CLOCK_S = 0.1
"""Real seconds after which a clock that was moved is noticed."""


class WorkQueue(Generic[Key]):
    """
    Keys that wait to be worked on, each at most once, the earliest first.

    It blocks until a key is due; nothing is polled while nothing is planned.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[Key, datetime] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add(self, key: Key, after_s: float = 0.0) -> None:
        """Plan a key; the earlier time counts if it is planned already."""
        due = self._clock.now() + timedelta(seconds=after_s)
        with self._changed:
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify()

    def get(self) -> Key | None:
        """Wait for the next key that is due; None when the queue is closed."""
        with self._changed:
            while not self._closed:
                timeout_s: float | None = None
                if self._due:
                    key, due = min(self._due.items(), key=lambda item: item[1])
                    left_s = (due - self._clock.now()).total_seconds()
                    if left_s <= 0:
                        del self._due[key]
                        return key
                    timeout_s = min(left_s / self._clock.scale, _MOVED_CLOCK_S)
                self._changed.wait(timeout_s)
        return None

    def close(self) -> None:
        """Let the one that waits, and all later ones, go home."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
