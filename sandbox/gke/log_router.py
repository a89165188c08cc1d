"""The log router: it delivers entries to the sinks whose filter they match."""

import json
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sandbox.clock import Clock
from sandbox.gke.log_entry import (
    LogLine,
    LogSource,
    make_audit_entry,
    make_event_entry,
    make_line_entry,
)
from sandbox.kubernetes.audit import AuditRecord
from sandbox.kubernetes.bodies import Body
from sandbox.log_filter import parse_filter

Entry = dict[str, Any]


@dataclass(slots=True)
class _Held:
    entry: Entry
    due: datetime
    count: int = 1


class HeldEntries:
    """Entries that are held back, and their due times."""

    def __init__(self) -> None:
        self._held: list[_Held] = []
        self._series: dict[tuple[str, str], _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def delay(self, entry: Entry, due: datetime) -> None:
        """Hold an entry until it is due."""
        self._held.append(_Held(entry, due))

    def fold(self, entry: Entry, due: datetime) -> bool:
        """
        Hold an Event; return False if it joined one that is held already.

        Events about the same object and for the same reason become a series, of which only the
        last is delivered; its count includes the others.
        """
        event: Mapping[str, Any] = entry.get("jsonPayload") or {}
        about: Mapping[str, Any] = event.get("involvedObject") or {}
        key = (str(about.get("uid") or about.get("name")), str(event.get("reason")))
        known = self._series.get(key)
        if known is None:
            held = self._series[key] = _Held(entry, due)
            self._held.append(held)
            return True
        known.count += 1
        series = {"count": known.count, "lastObservedTime": entry["timestamp"]}
        known.entry = {**entry, "jsonPayload": {**event, "series": series}}
        return False

    def release(self, now: datetime | None = None) -> list[Entry]:
        """Return and remove the entries that are due, or without a time all entries."""
        due = [each for each in self._held if now is None or each.due <= now]
        self._held = [each for each in self._held if each not in due]
        self._series = {key: each for key, each in self._series.items() if each not in due}
        return [each.entry for each in due]


Matches = Callable[[Mapping[str, Any]], bool]
Publish = Callable[[str, bytes, dict[str, str]], None]

_RETRY_FIRST_S = 0.05
_RETRY_MOST_S = 2.0
_HOLD_POLL_S = 0.02
"""The interval at which held entries are checked while no other entries arrive."""


@dataclass(frozen=True, slots=True)
class Sink:
    """Which entries go to which topic."""

    name: str
    filter_text: str
    topic: str


class LogRouter:
    """
    Makes LogEntries and publishes each to every sink whose filter matches.

    One thread publishes, so that all entries that are not held back keep their order. A failed
    publication is repeated until it succeeds or the router stops. ``store`` gets every entry.
    """

    def __init__(
        self,
        project: str,
        location: str,
        cluster: str,
        clock: Clock,
        publish: Publish,
        sinks: Sequence[Sink],
        store: Callable[[Entry], None] | None = None,
    ) -> None:
        self.lose: Matches | None = None
        """Entries that are stored, and lost on their way to every sink."""
        self.duplicate: Matches | None = None
        """Entries that every sink publishes twice."""
        self.delay: Matches | None = None
        """Entries that are held back for ``hold_s``, so that later ones overtake them."""
        self.fold: Matches | None = None
        """Events that are held likewise; similar ones become one Event with a series."""
        self.hold_s = 60.0
        """Seconds of the sandbox's clock."""
        self._held = HeldEntries()
        self._cluster = LogSource(project, location, cluster)
        self._clock = clock
        self._publish = publish
        self._sinks = [(sink, parse_filter(sink.filter_text)) for sink in sinks]
        self._store = store
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._open = 0
        self._settled = threading.Condition()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start to publish, earlier entries first."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-router", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop publishing; entries that are still waiting are lost."""
        self._stopped.set()
        self._entries.put(None)
        if self._thread is not None:
            self._thread.join()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all entries are published; False after ``timeout_s``."""
        with self._settled:
            return self._settled.wait_for(lambda: self._open == 0, timeout_s)

    def on_audit(self, record: AuditRecord) -> None:
        """Take a write to the API server."""
        entry = make_audit_entry(record, self._cluster, self._clock)
        if entry is not None:
            self.route(entry)

    def on_event(self, event: Body) -> None:
        """Take a Kubernetes Event that was added or updated."""
        self.route(make_event_entry(event, self._cluster, self._clock.now()))

    def on_line(self, line: LogLine) -> None:
        """Take a line of a node's journal."""
        self.route(make_line_entry(line, self._cluster, self._clock.now()))

    def route(self, entry: Entry) -> None:
        """Take an entry of any kind."""
        with self._settled:
            self._open += 1
        self._entries.put(entry)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                entry = self._entries.get(timeout=_HOLD_POLL_S if self._held else None)
            except queue.Empty:
                pass
            else:
                if entry is None:
                    return
                self._take(entry)
            for held in self._held.release(self._clock.now()):
                self._send(held)
                self._settle()

    def _take(self, entry: Entry) -> None:
        """Store an entry, and send it, hold it or lose it."""
        if self._store is not None:
            self._store(entry)
        due = self._clock.now() + timedelta(seconds=self.hold_s)
        if _matches(self.lose, entry):
            self._settle()
        elif _matches(self.delay, entry):
            self._held.delay(entry, due)
        elif "involvedObject" in (entry.get("jsonPayload") or ()) and _matches(self.fold, entry):
            if not self._held.fold(entry, due):
                self._settle()
        else:
            self._send(entry)
            self._settle()

    def _settle(self) -> None:
        with self._settled:
            self._open -= 1
            self._settled.notify_all()

    def _send(self, entry: Entry) -> None:
        times = 2 if _matches(self.duplicate, entry) else 1
        data = json.dumps(entry).encode()
        attributes = {"logging.googleapis.com/timestamp": entry["timestamp"]}
        for sink, wanted in self._sinks:
            if wanted(entry):
                for _ in range(times):
                    self._deliver(sink.topic, data, attributes)

    def _deliver(self, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        delay_s = _RETRY_FIRST_S
        while not self._stopped.is_set():
            try:
                self._publish(topic, data, dict(attributes))
            except Exception:  # noqa: BLE001 - no error of the publisher may lose an entry
                self._stopped.wait(delay_s)
                delay_s = min(delay_s * 2, _RETRY_MOST_S)
            else:
                return


def _matches(matches: Matches | None, entry: Entry) -> bool:
    return matches is not None and matches(entry)
