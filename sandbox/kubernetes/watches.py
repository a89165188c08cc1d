"""Watches, in process and over HTTP."""

import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from sandbox.kubernetes.bodies import Body, encode
from sandbox.kubernetes.queries import Query, list_page, matching
from sandbox.kubernetes.selectors import Predicate
from sandbox.kubernetes.statuses import ApiError, failure
from sandbox.kubernetes.store import Change, Store, Stored
from sandbox.kubernetes.tables import table_of

Event = tuple[str, Body]
StoredEvent = tuple[str, Stored]

_POLL_S = 5.0
"""The longest wait of a stream for a change."""
_BOOKMARK_S = 60.0
_DEFAULT_TIMEOUT_S = 1800.0


def _everything(_body: Body) -> bool:
    return True


def event_of(change: Change, matches: Predicate = _everything) -> StoredEvent | None:
    """
    Return the event of a change in a watch that selects with ``matches``.

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
    """Return the last state with the revision of the change."""
    if stored.revision == revision:
        return stored
    raw = stored.raw.replace(
        b'"resourceVersion":"%d"' % stored.revision, b'"resourceVersion":"%d"' % revision, 1
    )
    return Stored(revision, stored.body, raw)


class ChangeQueue:
    """The changes of a store from now on, in order, until it is closed."""

    def __init__(self, store: Store, wanted: Callable[[Change], bool]) -> None:
        self._queue: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._wanted = wanted
        self._end = store.subscribe(self.put)

    def put(self, change: Change) -> None:
        """Add a change, if it is wanted."""
        if self._wanted(change):
            self._queue.put(change)

    def get(self, timeout_s: float | None) -> Change | None:
        """Return the next change, or None after the timeout or when it is closed."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """End, and wake the waiting reader."""
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
        """Return the next event, or None after the timeout or when it is closed."""
        if self._closed:
            return None
        change = self._changes.get(timeout_s)
        event = None if change is None else event_of(change)
        return None if event is None else (event[0], event[1].copy())

    def close(self) -> None:
        """End the watch, and every iteration over it."""
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


@dataclass(frozen=True, slots=True)
class Watching:
    """The parameters of a watch."""

    query: Query
    timeout_s: float = _DEFAULT_TIMEOUT_S
    bookmarks: bool = False
    initial_events: bool = False
    """Whether the present state comes first, followed by a bookmark."""
    as_tables: bool = False
    """Whether each object comes as a table of one row."""


class Streams:
    """The open watches of a server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopped = False
        self._open: set[ChangeQueue] = set()

    def stop(self) -> None:
        """End all watches, also those that begin later."""
        self._stopped = True
        self.end_all()

    def end_all(self) -> None:
        """End the open watches."""
        for changes in tuple(self._open):
            self._open.discard(changes)
            changes.close()

    def open(self, watching: Watching) -> Iterator[bytes]:
        """
        Begin a watch; an outdated version yields an ERROR event.

        Raises:
            ApiError: 400 or 500, for an invalid selector or version.
        """
        query, store = watching.query, self._store
        matches = matching(query)
        version = query.resource_version or "0"
        if not version.isdigit():
            why = f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: invalid syntax'
            raise failure(500, "", why)
        asked = int(version)
        fresh = watching.initial_events or not asked
        with store.lock:
            try:
                past = [] if fresh else store.changes_since(asked)
            except ApiError as error:
                return iter([_joined("ERROR", encode(error.status))])
            page = list_page(store, replace(query, resource_version="", limit=0)) if fresh else None
            changes = ChangeQueue(store, lambda change: change.resource == query.resource.key)
            self._open.add(changes)
        first: list[bytes] = []
        if page is not None:
            first = [self._line(watching, ("ADDED", one)) for one in page.listed]
            if watching.initial_events:
                first.append(self._bookmark(query, page.revision, initial=True))
        for change in past:
            if change.resource == query.resource.key:
                event = event_of(change, matches)
                first += [self._line(watching, event)] if event is not None else []
        return self._run(watching, first, changes)

    def _run(self, watching: Watching, first: list[bytes], changes: ChangeQueue) -> Iterator[bytes]:
        query, matches = watching.query, matching(watching.query)
        end = time.monotonic() + watching.timeout_s
        marked = time.monotonic()
        try:
            yield b""  # The headers go out even while nothing happens.
            yield from first
            while (
                changes in self._open and not self._stopped and (left := end - time.monotonic()) > 0
            ):
                change = changes.get(min(left, _POLL_S))
                event = None if change is None else event_of(change, matches)
                if event is not None:
                    yield self._line(watching, event)
                elif watching.bookmarks and time.monotonic() - marked > _BOOKMARK_S:
                    marked = time.monotonic()
                    yield self._bookmark(query, self._store.revision)
        finally:
            self._open.discard(changes)
            changes.close()

    def _line(self, watching: Watching, event: StoredEvent) -> bytes:
        resource, (kind, stored) = watching.query.resource, event
        if not watching.as_tables:
            return _joined(kind, stored.raw)
        version = {"resourceVersion": str(stored.revision)}
        table = table_of(resource, [stored.body], version, self._store.clock.now())
        return _joined(kind, encode(table))

    def _bookmark(self, query: Query, revision: int, *, initial: bool = False) -> bytes:
        metadata: Body = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        resource = query.resource
        body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return _joined("BOOKMARK", encode(body))


def _joined(kind: str, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), raw)
