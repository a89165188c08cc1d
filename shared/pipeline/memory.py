"""
What an instance remembers for a while, so that a burst about one image costs one look.

Nothing depends on it: what is forgotten, or was never known here, is looked up again.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

_MAX_KEPT = 2_000
"""Entries of a memory; of more the oldest are forgotten."""

_PATIENCE_S = 10.0
"""
Seconds after which one delivery no longer waits for what another finds out.

A third of what a delivery has in all, so that there is time left to look for itself.
"""

_V = TypeVar("_V")


class Memory(Generic[_V]):
    """
    Values by their keys, each for so many seconds.

    Args:
        seconds: How long a value holds.
        now: A clock in seconds that never goes back.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._kept: dict[Hashable, tuple[float, _V]] = {}
        self._lock = threading.Lock()

    def recall(self, key: Hashable) -> _V | None:
        """
        Return a value that still holds; None if there is none.

        >>> memory = Memory[str](60.0, now=lambda: 0.0)
        >>> memory.keep("a", "b")
        >>> memory.recall("a"), memory.recall("b")
        ('b', None)
        """
        with self._lock:
            kept = self._kept.get(key)
        return kept[1] if kept is not None and self._now() - kept[0] < self._seconds else None

    def keep(self, key: Hashable, value: _V) -> None:
        """Remember a value from now on."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._now(), value)
            if len(self._kept) > _MAX_KEPT:
                del self._kept[next(iter(self._kept))]


class Turnstile:
    """Lets deliveries about one thing through one after the other, those about others at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, tuple[threading.Lock, int]] = {}

    @contextmanager
    def passing(self, key: Hashable) -> Iterator[None]:
        """Wait for whoever is at the same thing, but not for ever: it may hang."""
        with self._lock:
            gate, number = self._waiting.get(key, (threading.Lock(), 0))
            self._waiting[key] = (gate, number + 1)
        is_mine = gate.acquire(timeout=_PATIENCE_S)
        try:
            yield
        finally:
            if is_mine:
                gate.release()
            with self._lock:
                gate, number = self._waiting.pop(key)
                if number > 1:
                    self._waiting[key] = (gate, number - 1)
