"""Watches: the changes of one resource, or of all, as events."""

import queue
from collections.abc import Callable, Iterator
from typing import Self

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.selectors import Predicate
from sandbox.kubernetes.store import Change, Store, Stored

Event = tuple[str, Body]
StoredEvent = tuple[str, Stored]


def _everything(_body: Body) -> bool:
    return True


def event_of(change: Change, matches: Predicate = _everything) -> StoredEvent | None:
    """
    Return the event that a change is for those who select with ``matches``.

    An object that begins to match is ADDED, and DELETED when it no longer does.
    """
    was = change.before if change.before is not None and matches(change.before.body) else None
    now = change.after if change.after is not None and matches(change.after.body) else None
    if now is not None:
        return ("MODIFIED" if was is not None else "ADDED", now)
    if was is None:
        return None
    return ("DELETED", _with_revision(was, change.revision))


def _with_revision(stored: Stored, revision: int) -> Stored:
    """Return the last state with the revision at which it ceased to match."""
    if stored.revision == revision:
        return stored
    raw = stored.raw.replace(
        b'"resourceVersion":"%d"' % stored.revision, b'"resourceVersion":"%d"' % revision, 1
    )
    return Stored(revision, stored.body, raw)


class ChangeQueue:
    """The changes of a store from a moment on, in order, until it is closed."""

    def __init__(self, store: Store, wanted: Callable[[Change], bool]) -> None:
        self._queue: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._wanted = wanted
        self._end = store.subscribe(self.put)

    def put(self, change: Change) -> None:
        """Add a change, if it is wanted."""
        if self._wanted(change):
            self._queue.put(change)

    def get(self, timeout_s: float | None) -> Change | None:
        """Return the next change, or None when there was none in time, or it is closed."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """End, waking who waits."""
        self._end()
        self._queue.put(None)


class Watch:
    """The events of one resource, or of all, for a caller in the same process."""

    def __init__(self, store: Store, resource: str | None) -> None:
        self._changes = ChangeQueue(
            store, lambda change: resource is None or change.resource == resource
        )
        self._closed = False

    def get(self, timeout_s: float | None = None) -> Event | None:
        """Return the next event, or None when there was none in time, or it is closed."""
        if self._closed:
            return None
        change = self._changes.get(timeout_s)
        event = None if change is None else event_of(change)
        return None if event is None else (event[0], event[1].copy())

    def close(self) -> None:
        """End the watch; who iterates over it stops."""
        self._closed = True
        self._changes.close()

    def __iter__(self) -> Iterator[Event]:
        while not self._closed:
            event = self.get()
            if event is not None:
                yield event

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
