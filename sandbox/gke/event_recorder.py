"""Kubernetes Events, recorded and combined as client-go does."""

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
class Correlator:
    """
    The Events of one component.

    Equal occurrences count in one Event. From the tenth similar one on, all share one Event.
    """

    _similar: dict[tuple[str, ...], _Similar] = field(default_factory=dict)
    _seen: dict[tuple[str, ...], FoldedEvent] = field(default_factory=dict)
    _names: int = 0

    def correlate(
        self, about: tuple[str, ...], reason: str, message: str, now: datetime
    ) -> FoldedEvent:
        """Return how to record an occurrence; ``about`` begins with the name of the object."""
        message, key = self._aggregate((*about, reason), message, now)
        known = self._seen.get(key)
        if known is None:
            self._names += 1
            stamp = int(now.timestamp() * 1e6) * 1000 + self._names % 1000
            folded = FoldedEvent(message, f"{about[0]}.{stamp:x}", 1, now)
        else:
            folded = FoldedEvent(message, known.name, known.count + 1, known.first)
        self._seen[key] = folded
        return folded

    def forget(self, folded: FoldedEvent) -> None:
        """Forget an Event that the API server does not have, so that a new one replaces it."""
        self._seen = {key: known for key, known in self._seen.items() if known.name != folded.name}

    def _aggregate(
        self, kind: tuple[str, ...], message: str, now: datetime
    ) -> tuple[str, tuple[str, ...]]:
        similar = self._similar.get(kind)
        if similar is None or now - similar.last > _INTERVAL:
            similar = self._similar[kind] = _Similar(now)
        similar.last = now
        similar.messages.add(message)
        if len(similar.messages) < _SIMILAR:
            return message, (*kind, message)
        similar.messages.pop()
        return COMBINED + message, kind


class EventRecorder:
    """
    Records core/v1 Events of one component.

    As with client-go, an Event that the API server refuses is lost.
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
        """Record an Event of type Normal."""
        self._record(about, "Normal", reason, message, field_path)

    def warning(self, about: Body, reason: str, message: str, *, field_path: str = "") -> None:
        """Record an Event of type Warning."""
        self._record(about, "Warning", reason, message, field_path)

    def _record(self, about: Body, kind: str, reason: str, message: str, field_path: str) -> None:
        reference = make_reference(about, field_path)
        namespace = reference.get("namespace") or "default"
        key = (reference["name"], reference.get("uid", ""), field_path)
        now = self._clock.now()
        with self._lock:
            folded = self._correlator.correlate(key, reason, message, now)
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
