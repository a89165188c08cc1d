"""The objects of a cluster, their revisions, and the history that watches read."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandbox.clock import Clock
from sandbox.kubernetes.bodies import Body, decode, encode, items
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.statuses import expired, not_found

Name = tuple[str, str]
"""Namespace (empty for a cluster-wide object) and name."""

_HISTORY = 20_000
_TOO_OLD = "The resourceVersion for the provided list is too old."


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object. Do not change its body: ``copy`` returns one that may change."""

    revision: int
    body: Body
    raw: bytes

    def copy(self) -> Body:
        """Return a body that the caller may change."""
        body: Body = decode(self.raw)
        return body

    def as_item(self) -> bytes:
        """Return the text of the object as an item of a list: without its type."""
        return b"{" + self.raw[self.raw.index(b'"metadata":') :]


@dataclass(frozen=True, slots=True)
class Change:
    """One write: ``before`` is None for a new object, ``after`` for a deleted one."""

    revision: int
    resource: str
    name: Name
    before: Stored | None
    after: Stored | None


class Store:
    """
    The objects of a cluster.

    A caller that reads, decides and writes holds ``lock`` meanwhile, which orders all writes.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
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

    def fetch(self, resource: Resource, namespace: str, name: str) -> Stored:
        """
        Return an object.

        Raises:
            ApiError: 404.
        """
        stored = self.get(resource.key, key_of(resource, namespace, name))
        if stored is None:
            raise not_found(resource, name)
        return stored

    def scan(self, resource: str, namespace: str = "") -> Iterator[tuple[Name, Stored]]:
        """Yield the objects of a namespace, or of all, without an order."""
        for name, stored in tuple(self._objects[resource].items()):
            if not namespace or name[0] == namespace:
                yield name, stored

    def at(self, resource: str, revision: int) -> dict[Name, Stored]:
        """
        Return all objects of a resource as they were at a revision.

        Raises:
            ApiError: 410, if the history no longer includes the revision.
        """
        with self.lock:
            objects = dict(self._objects[resource])
            self.check_reach(revision, _TOO_OLD)
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
        """Write an object with the next revision."""
        with self.lock:
            self.revision += 1
            body["metadata"]["resourceVersion"] = str(self.revision)
            stored = _store(self.revision, body)
            before = self._objects[resource].get(name)
            self._objects[resource][name] = stored
            self._index(resource, name, before, stored)
            self._publish(Change(self.revision, resource, name, before, stored))
            return stored

    def drop(self, resource: str, name: Name) -> Stored:
        """Remove an object; the returned one carries the revision of its deletion."""
        with self.lock:
            self.revision += 1
            before = self._objects[resource].pop(name)
            self._index(resource, name, before, None)
            body = before.copy()
            body["metadata"]["resourceVersion"] = str(self.revision)
            last = _store(self.revision, body)
            self._publish(Change(self.revision, resource, name, last, None))
            return last

    def dependents(self, uid: str) -> Iterator[tuple[str, Name, Stored]]:
        """Yield the objects that name this uid as an owner."""
        for resource, name in sorted(self._dependents.get(uid, ())):
            if stored := self.get(resource, name):
                yield resource, name, stored

    def has_uid(self, uid: str) -> bool:
        """Whether an object of this uid exists."""
        return uid in self._uids

    def changes_since(self, revision: int, resource: str) -> list[Change]:
        """
        Return the writes of a resource after a revision.

        Raises:
            ApiError: 410, if the history no longer includes the revision.
        """
        with self.lock:
            self.check_reach(revision, f"too old resource version: {revision} ({self._forgotten})")
            later = (change for change in self._history if change.revision > revision)
            return [change for change in later if change.resource == resource]

    def check_reach(self, revision: int, message: str) -> None:
        """Raise a 410 if the history no longer includes a revision."""
        if revision < self._forgotten:
            raise expired(message)

    def save(self) -> Callable[[], None]:
        """
        Return a function that restores the present state.

        The restored writes reach no listener, so no watch may be open across it.
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
        """Call a listener at every write, under the lock; the returned function ends that."""
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
        for stored, is_added in ((before, False), (after, True)):
            if stored is None:
                continue
            metadata = stored.body["metadata"]
            (self._uids.add if is_added else self._uids.discard)(metadata.get("uid", ""))
            for owner in items(metadata, "ownerReferences"):
                group = self._dependents[owner["uid"]]
                (group.add if is_added else group.discard)((resource, name))

    def _publish(self, change: Change) -> None:
        self._history.append(change)
        if len(self._history) > _HISTORY:
            self._forgotten = self._history.popleft().revision
        for listener in tuple(self._listeners):
            listener(change)


def key_of(resource: Resource, namespace: str, name: str) -> Name:
    """Return the key of an object in the store."""
    return (namespace if resource.namespaced else "", name)


def _store(revision: int, body: Body) -> Stored:
    # The type comes first, then the metadata: ``as_item`` cuts there.
    ordered = {key: body[key] for key in ("apiVersion", "kind", "metadata")} | body
    raw = encode(ordered)
    return Stored(revision, decode(raw), raw)
