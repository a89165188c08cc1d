"""Watches over HTTP: lines of JSON, from a revision on, for as long as the client wants."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.kubernetes.bodies import Body, encode
from sandbox.kubernetes.cluster import Cluster, present_raw
from sandbox.kubernetes.queries import Query, check_version, list_page, matching
from sandbox.kubernetes.tables import table_of
from sandbox.kubernetes.watches import ChangeQueue, StoredEvent, event_of

_POLL_S = 5.0
"""How often a stream looks whether a bookmark is due."""
_BOOKMARK_S = 60.0
_DEFAULT_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Watching:
    """What a watch is asked for."""

    query: Query
    timeout_s: float = _DEFAULT_TIMEOUT_S
    bookmarks: bool = False
    initial_events: bool = False
    """Whether the present state is sent first, and a bookmark at its end."""
    as_tables: bool = False
    """Whether each object is to come as a table of one row."""


class Streams:
    """The open watches of a server, which end when it stops."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stopped = False
        self._open: set[ChangeQueue] = set()

    def stop(self) -> None:
        """End all of them, and each that is begun later."""
        self._stopped = True
        self.end_all()

    def end_all(self) -> None:
        """End those that are open."""
        for changes in tuple(self._open):
            self._open.discard(changes)
            changes.close()

    def open(self, watching: Watching) -> Iterator[bytes]:
        """
        Begin a watch.

        Raises:
            ApiError: 410 if its revision is too old, 400 if that or a selector cannot be read.
        """
        query, store = watching.query, self._cluster.store
        matches = matching(query)
        check_version(store.revision, query.resource_version)
        asked = int(query.resource_version or 0)
        fresh = watching.initial_events or not asked
        with store.lock:
            past = [] if fresh else store.changes_since(asked)
            page = list_page(self._cluster, _present(query)) if fresh else None
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
                    yield self._bookmark(query, self._cluster.store.revision)
        finally:
            self._open.discard(changes)
            changes.close()

    def _is_open(self, changes: ChangeQueue) -> bool:
        return changes in self._open and not self._stopped

    def _line(self, watching: Watching, event: StoredEvent) -> bytes:
        resource, (kind, stored) = watching.query.resource, event
        if not watching.as_tables:
            return _joined(kind, present_raw(resource, stored))
        version = {"resourceVersion": str(stored.revision)}
        table = table_of(resource, [stored.body], version, self._cluster.clock.now())
        return _joined(kind, encode(table))

    def _bookmark(self, query: Query, revision: int, *, initial: bool = False) -> bytes:
        metadata: Body = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        resource = query.resource
        body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return _joined("BOOKMARK", encode(body))


def _present(query: Query) -> Query:
    return Query(query.resource, query.namespace, query.label_selector, query.field_selector)


def _joined(kind: str, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), raw)
