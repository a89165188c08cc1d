"""
Values that an instance reuses for a while, and a lock per key.

They save calls in a burst of events about one image. A value that is missing is read again.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

_MAX_ENTRIES = 2_000

_WAIT_S = 10.0
"""
Longest wait of one delivery for another with the same key, in seconds.

It is a third of the time of a delivery, so that enough is left to do the work itself.
"""

_V = TypeVar("_V")


class TtlCache(Generic[_V]):
    """
    Values by key, each valid for some seconds.

    Args:
        ttl_s: How long a value is valid.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, ttl_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._now = now
        self._entries: dict[Hashable, tuple[float, _V]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> _V | None:
        """
        Return a valid value, or ``None``.

        >>> cache = TtlCache[str](60.0, now=lambda: 0.0)
        >>> cache.put("a", "b")
        >>> cache.get("a"), cache.get("b")
        ('b', None)
        """
        with self._lock:
            entry = self._entries.get(key)
        return entry[1] if entry is not None and self._now() - entry[0] < self._ttl_s else None

    def put(self, key: Hashable, value: _V) -> None:
        """Store a value; the oldest is dropped if there are too many."""
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (self._now(), value)
            if len(self._entries) > _MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]


class KeyedLock:
    """A lock per key: deliveries with the same key run one after another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[Hashable, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Hold the lock of a key; continue without it after ten seconds, as its holder may hang."""
        with self._lock:
            lock, number = self._holders.get(key, (threading.Lock(), 0))
            self._holders[key] = (lock, number + 1)
        is_acquired = lock.acquire(timeout=_WAIT_S)
        try:
            yield
        finally:
            if is_acquired:
                lock.release()
            with self._lock:
                lock, number = self._holders.pop(key)
                if number > 1:
                    self._holders[key] = (lock, number - 1)


@dataclass(frozen=True, slots=True)
class Reading(Generic[_V]):
    """A value that was read, and when, by a monotonic clock in seconds."""

    value: _V
    began: float
    ended: float


class SharedReads(Generic[_V]):
    """
    Reads that deliveries share: one at a time for each key, each kept for some seconds.

    Args:
        ttl_s: How long a reading is kept.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, ttl_s: float, now: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._now = now
        self._readings: dict[Hashable, Reading[_V]] = {}
        self._lock = threading.Lock()
        self._outstanding = KeyedLock()

    def get(
        self,
        key: Hashable,
        read: Callable[[], _V],
        is_current: Callable[[Reading[_V]], bool],
    ) -> Reading[_V]:
        """
        Return the kept reading if it is current; otherwise read.

        A delivery that waits for the read of another one uses it if it is current.
        """
        kept = self._find(key)
        if kept is not None and is_current(kept):
            return kept
        with self._outstanding.hold(key):
            kept = self._find(key)
            if kept is not None and is_current(kept):
                return kept
            began = self._now()
            reading = Reading(read(), began, self._now())
            self._keep(key, reading)
            return reading

    def _find(self, key: Hashable) -> Reading[_V] | None:
        with self._lock:
            reading = self._readings.get(key)
        return reading if reading is not None and self._is_fresh(reading) else None

    def _keep(self, key: Hashable, reading: Reading[_V]) -> None:
        with self._lock:
            fresh = {name: each for name, each in self._readings.items() if self._is_fresh(each)}
            self._readings = fresh | {key: reading}

    def _is_fresh(self, reading: Reading[_V]) -> bool:
        return self._now() - reading.began < self._ttl_s
