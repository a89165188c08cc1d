"""What the API server keeps: objects, one counter of revisions, and the history for watches."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandbox.kubernetes.bodies import Body, decode, encode, items
from sandbox.kubernetes.statuses import expired

Name = tuple[str, str]
"""Namespace (empty for what has none) and name."""

_HISTORY = 20_000


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object. Its body is for reading: callers get ``copy()``."""

    revision: int
    body: Body
    raw: bytes

    def copy(self) -> Body:
        """Return a body that the caller may change."""
        body: Body = decode(self.raw)
        return body


@dataclass(frozen=True, slots=True)
class Change:
    """One write: from ``before`` to ``after``, of which one is None at its birth or death."""

    revision: int
    resource: str
    name: Name
    before: Stored | None
    after: Stored | None


class Store:
    """
    The objects of a cluster.

    ``lock`` is held by whoever reads, decides and writes, so that all writes are in one order.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.revision = 1
        self._objects: dict[str, dict[Name, Stored]] = defaultdict(dict)
        self._dependents: dict[str, set[tuple[str, Name]]] = defaultdict(set)
        self._uids: set[str] = set()
        self._history: deque[Change] = deque()
        self._forgotten = 0
        self._listeners: list[Callable[[Change], None]] = []

    def get(self, resource: str, name: Name) -> Stored | None:
        """Return an object, or None."""
        return self._objects[resource].get(name)

    def scan(self, resource: str, namespace: str = "") -> Iterator[tuple[Name, Stored]]:
        """Yield the objects of a namespace, or of all, in no order."""
        for name, stored in tuple(self._objects[resource].items()):
            if not namespace or name[0] == namespace:
                yield name, stored

    def at(self, resource: str, revision: int) -> dict[Name, Stored]:
        """
        Return all objects of a resource as they were at a revision.

        Raises:
            ApiError: 410, as the history no longer reaches back so far.
        """
        with self.lock:
            objects = dict(self._objects[resource])
            self.check_reach(revision)
            if revision == self.revision:
                return objects
            for change in reversed(self._history):
                if change.revision <= revision:
                    break
                if change.resource == resource:
                    objects.pop(change.name, None)
                    if change.before is not None:
                        objects[change.name] = change.before
            return objects

    def put(self, resource: str, name: Name, body: Body) -> Stored:
        """Write an object, giving it the next revision."""
        with self.lock:
            self.revision += 1
            body["metadata"]["resourceVersion"] = str(self.revision)
            raw = encode(body)
            stored = Stored(self.revision, decode(raw), raw)
            before = self._objects[resource].get(name)
            self._objects[resource][name] = stored
            self._index(resource, name, before, stored)
            self._publish(Change(self.revision, resource, name, before, stored))
            return stored

    def drop(self, resource: str, name: Name) -> Stored:
        """Remove an object; what is returned carries the revision of its deletion."""
        with self.lock:
            self.revision += 1
            before = self._objects[resource].pop(name)
            self._index(resource, name, before, None)
            body = before.copy()
            body["metadata"]["resourceVersion"] = str(self.revision)
            last = Stored(self.revision, body, encode(body))
            self._publish(Change(self.revision, resource, name, last, None))
            return last

    def dependents(self, uid: str) -> list[tuple[str, Name]]:
        """Return what names this uid as an owner."""
        return sorted(self._dependents.get(uid, ()))

    def has_uid(self, uid: str) -> bool:
        """Whether an object of this uid exists."""
        return uid in self._uids

    def changes_since(self, revision: int) -> list[Change]:
        """
        Return all that was written after a revision.

        Raises:
            ApiError: 410, as the history no longer reaches back so far.
        """
        with self.lock:
            self.check_reach(revision)
            return [change for change in self._history if change.revision > revision]

    def check_reach(self, revision: int) -> None:
        """Raise a 410 if the history no longer reaches back to a revision."""
        if revision < self._forgotten:
            raise expired(f"too old resource version: {revision} ({self._forgotten})")

    def save(self) -> Callable[[], None]:
        """
        Return what puts everything back as it is now.

        Nobody may watch across that: what is put back is told to no listener.
        """
        with self.lock:
            revision, uids = self.revision, set(self._uids)
            objects = {resource: dict(named) for resource, named in self._objects.items()}
            dependents = {uid: set(names) for uid, names in self._dependents.items()}

        def restore() -> None:
            with self.lock:
                self.revision, self._uids = revision, set(uids)
                self._objects.clear()
                self._objects.update({name: dict(named) for name, named in objects.items()})
                self._dependents.clear()
                self._dependents.update({uid: set(names) for uid, names in dependents.items()})
                self.compact()

        return restore

    def compact(self) -> None:
        """Forget the history, as etcd does every five minutes."""
        with self.lock:
            self._history.clear()
            self._forgotten = self.revision

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call a listener at every write, under the lock; returns what ends it."""
        with self.lock:
            self._listeners.append(listener)

        def end() -> None:
            with self.lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    def _index(
        self, resource: str, name: Name, before: Stored | None, after: Stored | None
    ) -> None:
        for stored, put in ((before, False), (after, True)):
            if stored is None:
                continue
            metadata = stored.body["metadata"]
            (self._uids.add if put else self._uids.discard)(metadata.get("uid", ""))
            for owner in items(metadata, "ownerReferences"):
                group = self._dependents[owner["uid"]]
                (group.add if put else group.discard)((resource, name))

    def _publish(self, change: Change) -> None:
        self._history.append(change)
        if len(self._history) > _HISTORY:
            self._forgotten = self._history.popleft().revision
        for listener in tuple(self._listeners):
            listener(change)
