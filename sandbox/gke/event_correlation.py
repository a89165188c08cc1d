"""
Folding of similar Events, as client-go folds them before they are sent.

Follows ``tools/record/events_cache.go``: what one component says of one object is limited by a
token bucket; of the texts with the same reason, the tenth in ten minutes and all later ones share
one Event whose text is overwritten; an equal text only counts.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

COMBINED = "(combined from similar events): "
_SIMILAR = 10
_INTERVAL = timedelta(minutes=10)
_BURST = 25
_REFILL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What a component says of an object."""

    object_key: tuple[str, ...]
    """Kind, namespace, name and uid of the object."""
    field_path: str
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an occurrence: an Event of its own, or one more of an earlier Event's."""

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
    """What one component has said until now; safe for threads."""

    _similar: dict[tuple[object, ...], _Similar] = field(default_factory=dict)
    _seen: dict[tuple[object, ...], Verdict] = field(default_factory=dict)
    _buckets: dict[tuple[str, ...], _Bucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def correlate(self, occurrence: Occurrence, now: datetime) -> Verdict | None:
        """Return how to record an occurrence; None if there are too many about its object."""
        with self._lock:
            if not self._take_token(occurrence.object_key, now):
                return None
            message, key = self._aggregate(occurrence, now)
            known = self._seen.get(key)
            verdict = Verdict(
                message=message,
                name=known.name if known else self._name(occurrence, now),
                count=known.count + 1 if known else 1,
                first=known.first if known else now,
            )
            self._seen[key] = verdict
            return verdict

    def forget(self, verdict: Verdict) -> None:
        """Forget an Event that the API server no longer has, so that it is made anew."""
        with self._lock:
            self._seen = {
                key: known for key, known in self._seen.items() if known.name != verdict.name
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
        taken = {verdict.name for verdict in self._seen.values()}
        while (name := f"{occurrence.object_key[2]}.{stamp:x}") in taken:
            stamp += 1
        return name
