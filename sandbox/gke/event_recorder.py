"""Kubernetes Events, recorded and folded as client-go does."""

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.clock import Clock
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body, format_seconds
from sandbox.kubernetes.statuses import ApiError

COMBINED = "(combined from similar events): "
_SIMILAR = 10
_INTERVAL = timedelta(minutes=10)
_BURST = 25
_REFILL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A message of a component about an object."""

    object_key: tuple[str, ...]
    """Kind, namespace, name and uid of the object."""
    field_path: str
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class FoldedEvent:
    """The Event that records an occurrence: a new one, or an earlier one with a higher count."""

    message: str
    name: str
    count: int
    first: datetime


@dataclass(slots=True)
class _Similar:
    last: datetime
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Bucket:
    filled: datetime
    tokens: float = _BURST


@dataclass(slots=True)
class Correlator:
    """All occurrences of one component; safe for threads."""

    _similar: dict[tuple[object, ...], _Similar] = field(default_factory=dict)
    _seen: dict[tuple[object, ...], FoldedEvent] = field(default_factory=dict)
    _buckets: dict[tuple[str, ...], _Bucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def correlate(self, occurrence: Occurrence, now: datetime) -> FoldedEvent | None:
        """Return how to record an occurrence; None if there are too many about its object."""
        with self._lock:
            if not self._take_token(occurrence.object_key, now):
                return None
            message, key = self._aggregate(occurrence, now)
            known = self._seen.get(key)
            folded = FoldedEvent(
                message=message,
                name=known.name if known else self._name(occurrence, now),
                count=known.count + 1 if known else 1,
                first=known.first if known else now,
            )
            self._seen[key] = folded
            return folded

    def forget(self, folded: FoldedEvent) -> None:
        """Forget an Event that the API server no longer has, so that it is made anew."""
        with self._lock:
            self._seen = {
                key: known for key, known in self._seen.items() if known.name != folded.name
            }

    def _aggregate(self, occurrence: Occurrence, now: datetime) -> tuple[str, tuple[object, ...]]:
        kind = (occurrence.object_key, occurrence.type, occurrence.reason)
        similar = self._similar.get(kind)
        if similar is None or now - similar.last > _INTERVAL:
            similar = self._similar[kind] = _Similar(now)
        similar.last = now
        similar.messages.add(occurrence.message)
        if len(similar.messages) < _SIMILAR:
            return occurrence.message, (*kind, occurrence.field_path, occurrence.message)
        similar.messages.pop()
        return COMBINED + occurrence.message, kind

    def _take_token(self, object_key: tuple[str, ...], now: datetime) -> bool:
        bucket = self._buckets.setdefault(object_key, _Bucket(now))
        bucket.tokens = min(bucket.tokens + (now - bucket.filled) / _REFILL, _BURST)
        bucket.filled = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _name(self, occurrence: Occurrence, now: datetime) -> str:
        """Name an Event as client-go does: by its object and the time, which must be unique."""
        stamp = int(now.timestamp() * 1e6) * 1000
        taken = {folded.name for folded in self._seen.values()}
        while (name := f"{occurrence.object_key[2]}.{stamp:x}") in taken:
            stamp += 1
        return name


class EventRecorder:
    """
    Records core/v1 Events of one component.

    An Event that the API server refuses is lost, as it is for client-go.
    """

    def __init__(
        self,
        api: Api,
        clock: Clock,
        *,
        component: str,
        user: str,
        host: str = "",
        reports: bool = True,
    ) -> None:
        self._api = api
        self._clock = clock
        self._user = user
        self._source = {"component": component} | ({"host": host} if host else {})
        self._reporting = {"reportingComponent": component, "reportingInstance": host}
        if not reports:
            self._reporting = {"reportingComponent": "", "reportingInstance": ""}
        self._correlator = Correlator()
        self._lock = threading.Lock()

    def normal(self, about: Body, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that something happened as it should."""
        self._record(about, "Normal", reason, message, field_path)

    def warning(self, about: Body, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that something went wrong."""
        self._record(about, "Warning", reason, message, field_path)

    def _record(self, about: Body, kind: str, reason: str, message: str, field_path: str) -> None:
        reference = make_reference(about, field_path)
        namespace = reference.get("namespace") or "default"
        occurrence = Occurrence(
            (reference["kind"], namespace, reference["name"], reference.get("uid", "")),
            field_path,
            kind,
            reason,
            message,
        )
        now = self._clock.now()
        with self._lock:
            folded = self._correlator.correlate(occurrence, now)
            if folded is None:
                return
            body = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": folded.name, "namespace": namespace},
                "involvedObject": reference,
                "reason": reason,
                "message": folded.message,
                "source": self._source,
                "firstTimestamp": format_seconds(folded.first),
                "lastTimestamp": format_seconds(now),
                "count": folded.count,
                "type": kind,
                **self._reporting,
            }
            self._send(body, namespace, folded)

    def _send(self, body: Body, namespace: str, folded: FoldedEvent) -> None:
        try:
            if folded.count > 1 and self._patch(body, namespace, folded.name):
                return
            self._api.create("events", body, namespace, user=self._user)
        except ApiError:
            self._correlator.forget(folded)

    def _patch(self, body: Body, namespace: str, name: str) -> bool:
        """Count a repeat in its Event; False if that Event is gone."""
        changed = {key: body[key] for key in ("count", "lastTimestamp", "message")}
        try:
            self._api.patch("events", name, changed, namespace, user=self._user)
        except ApiError as error:
            if error.reason == "NotFound":
                return False
            raise
        return True


def make_reference(about: Body, field_path: str = "") -> Body:
    """Return an ObjectReference to an object."""
    metadata = about["metadata"]
    reference = {
        "kind": about["kind"],
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": metadata.get("uid"),
        "apiVersion": about["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion"),
        "fieldPath": field_path,
    }
    return {key: value for key, value in reference.items() if value}
