"""Watches, in process and over HTTP."""

import queue
import time
from collections.abc import Iterator
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


class Watch:
    """The events of one resource, or of all, from now on, until it is closed."""

    def __init__(
        self, store: Store, resource: str | None, matches: Predicate = _everything
    ) -> None:
        self.closed = False
        self._resource = resource
        self._matches = matches
        self._queue: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._end = store.subscribe(self._put)

    def _put(self, change: Change) -> None:
        if self._resource in (None, change.resource):
            self._queue.put(change)

    def get_stored(self, timeout_s: float | None) -> StoredEvent | None:
        """Return the next event, or None after the timeout or when it is closed."""
        try:
            change = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        return None if change is None else event_of(change, self._matches)

    def get(self, timeout_s: float | None = None) -> Event | None:
        """Return the next event with a copy of the object, or None as ``get_stored`` does."""
        event = None if self.closed else self.get_stored(timeout_s)
        return None if event is None else (event[0], event[1].copy())

    def close(self) -> None:
        """End the watch, and every iteration over it."""
        self.closed = True
        self._end()
        self._queue.put(None)

    def __iter__(self) -> Iterator[Event]:
        while not self.closed:
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
    timeout_s: float
    initial_events: bool = False
    """Whether the present state comes first, followed by a bookmark."""
    as_tables: bool = False
    """Whether each object comes as a table of one row."""


class Streams:
    """The open watches of a server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopped = False
        self._open: set[Watch] = set()

    def stop(self) -> None:
        """End all watches, also those that begin later."""
        self._stopped = True
        self.end_all()

    def end_all(self) -> None:
        """End the open watches."""
        for watch in tuple(self._open):
            watch.close()

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
        with store.lock:
            if watching.initial_events or not asked:
                first = self._initial(watching)
            else:
                try:
                    past = [
                        event_of(each, matches)
                        for each in store.changes_since(asked, query.resource.key)
                    ]
                except ApiError as error:
                    return iter([_joined("ERROR", encode(error.status))])
                first = [self._line(watching, event) for event in past if event is not None]
            watch = Watch(store, query.resource.key, matches)
            self._open.add(watch)
        return self._run(watching, first, watch)

    def _initial(self, watching: Watching) -> list[bytes]:
        """Return the present state as events."""
        query = watching.query
        page = list_page(self._store, replace(query, resource_version="", limit=0))
        lines = [self._line(watching, ("ADDED", one)) for one in page.listed]
        return [*lines, _bookmark(query, page.revision)] if watching.initial_events else lines

    def _run(self, watching: Watching, first: list[bytes], watch: Watch) -> Iterator[bytes]:
        end = time.monotonic() + watching.timeout_s
        try:
            yield b""  # The headers go out even while nothing happens.
            yield from first
            while not (watch.closed or self._stopped) and (left := end - time.monotonic()) > 0:
                event = watch.get_stored(min(left, _POLL_S))
                if event is not None:
                    yield self._line(watching, event)
        finally:
            self._open.discard(watch)
            watch.close()

    def _line(self, watching: Watching, event: StoredEvent) -> bytes:
        resource, (kind, stored) = watching.query.resource, event
        if not watching.as_tables:
            return _joined(kind, stored.raw)
        version = {"resourceVersion": str(stored.revision)}
        table = table_of(resource, [stored.body], version, self._store.clock.now())
        return _joined(kind, encode(table))


def _bookmark(query: Query, revision: int) -> bytes:
    """Return the event that ends the initial events."""
    metadata: Body = {"resourceVersion": str(revision), "creationTimestamp": None}
    metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    head = {"kind": query.resource.kind, "apiVersion": query.resource.api_version}
    return _joined("BOOKMARK", encode(head | {"metadata": metadata}))


def _joined(kind: str, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), raw)
