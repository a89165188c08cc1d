"""Cloud Logging: ``entries:write`` and ``entries:list`` of the API v2."""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import flask

from sandbox.clock import Clock, format_time
from sandbox.fault import Faults
from sandbox.http_service import (
    GoogleApiError,
    HttpServer,
    answer_api_errors,
    api_fault,
    apply_faults,
    read_json,
)
from sandbox.log_filter import parse_filter

RETENTION = timedelta(days=30)
"""An older entry is refused, as its bucket would not keep it."""
MAX_AHEAD = timedelta(hours=24)
MAX_ENTRY_BYTES = 256 * 1024

_LOG_NAME = re.compile(r"(?P<parent>projects/[^/]+)/logs/[A-Za-z0-9_.%-]{1,511}")
_PAYLOADS = ("textPayload", "jsonPayload", "protoPayload")
_DEFAULT_PAGE = 50
_MAX_PAGE = 1000


class CloudLogging(HttpServer):
    """A server of ``CLOUD_LOGGING_EMULATOR_HOST``; its faults are those of service ``logging``."""

    def __init__(self, clock: Clock, faults: Faults, *, simulated_log: str | None = None) -> None:
        """
        Create the server.

        Args:
            clock: The time of the service.
            faults: The faults that it has.
            simulated_log: The full name of a log about simulated nodes. Its entries get the
                field ``simulated``, because their durations are not measurements.
        """
        self._simulated_log = simulated_log
        self.entries: list[dict[str, Any]] = []
        """All entries in the order of writing, duplicates too."""
        self._clock = clock
        self._lock = threading.Condition()
        app = flask.Flask(__name__)
        apply_faults(app, faults, "logging", api_fault, clock)
        answer_api_errors(app)
        app.post("/v2/entries:write")(self._serve_write)
        app.post("/v2/entries:list")(self._serve_list)
        super().__init__(app)

    def write(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """
        Write entries, all or none.

        Raises:
            GoogleApiError: The API refuses one of them.
        """
        self._append([self._complete(entry, {}) for entry in entries])

    def save(self) -> Callable[[], None]:
        """Return a function that removes all later entries."""
        entries = list(self.entries)

        def restore() -> None:
            with self._lock:
                self.entries[:] = entries

        return restore

    def wait_for(
        self, matches: Callable[[Mapping[str, Any]], bool], timeout_s: float
    ) -> dict[str, Any] | None:
        """Wait until an entry matches, and return it; None if none did in so many real seconds."""

        def find() -> dict[str, Any] | None:
            return next((entry for entry in self.entries if matches(entry)), None)

        with self._lock:
            return self._lock.wait_for(find, timeout_s)

    def query(self, text: str = "", projects: Iterable[str] = ()) -> list[dict[str, Any]]:
        """
        Return the entries that a filter matches, oldest first.

        Only one of several entries with the same log name, timestamp and insert id is returned:
        https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry

        Raises:
            GoogleApiError: The filter cannot be read.
        """
        try:
            matches = parse_filter(text)
        except ValueError as exc:
            raise GoogleApiError(400, f"Unparseable filter: {exc}") from exc
        wanted = frozenset(projects)
        with self._lock:
            entries = list(self.entries)
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for entry in entries:
            parent = entry["logName"].partition("/logs/")[0]
            if (not wanted or parent in wanted) and matches(entry):
                key = (entry["logName"], _moment(entry["timestamp"]), entry["insertId"])
                found.setdefault(key, entry)
        return sorted(found.values(), key=lambda entry: _moment(entry["timestamp"]))

    def _serve_write(self) -> dict[str, Any]:
        request = read_json()
        self._append([self._complete(entry, request) for entry in request.get("entries", ())])
        return {}

    def _serve_list(self) -> dict[str, Any]:
        request = read_json()
        names = request.get("resourceNames")
        if not names:
            raise GoogleApiError(
                400, "At least one resource name must be specified in resource_names"
            )
        found = self.query(request.get("filter", ""), names)
        if str(request.get("orderBy")).endswith("desc"):
            found.reverse()
        size = min(int(request.get("pageSize") or _DEFAULT_PAGE), _MAX_PAGE)
        start = int(request.get("pageToken") or 0)
        answer: dict[str, Any] = {"entries": found[start : start + size]}
        if start + size < len(found):
            answer["nextPageToken"] = str(start + size)
        return answer

    def _append(self, entries: Iterable[dict[str, Any]]) -> None:
        with self._lock:
            self.entries.extend(entries)
            self._lock.notify_all()

    def _complete(self, entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        now = self._clock.now()
        complete = {"severity": "DEFAULT", **entry}
        for field in ("logName", "resource"):
            complete[field] = entry.get(field) or defaults.get(field) or ""
        labels = {**(defaults.get("labels") or {}), **(entry.get("labels") or {})}
        if labels:
            complete["labels"] = labels
        complete["timestamp"] = entry.get("timestamp") or format_time(now)
        complete["receiveTimestamp"] = format_time(now)
        complete["insertId"] = entry.get("insertId") or uuid.uuid4().hex[:16]
        if "jsonPayload" in complete and complete["logName"] == self._simulated_log:
            complete["jsonPayload"] = {"simulated": True, **complete["jsonPayload"]}
        _check(complete, now)
        return complete


def _check(entry: Mapping[str, Any], now: datetime) -> None:
    if not _LOG_NAME.fullmatch(entry["logName"]):
        raise GoogleApiError(400, f"Invalid log name: {entry['logName']!r}")
    resource = entry["resource"]
    if not isinstance(resource, Mapping) or not resource.get("type"):
        raise GoogleApiError(400, "A monitored resource with a type is required for each log entry")
    if sum(field in entry for field in _PAYLOADS) != 1:
        raise GoogleApiError(400, "A log entry needs exactly one payload")
    if (size := len(json.dumps(entry))) > MAX_ENTRY_BYTES:
        raise GoogleApiError(400, f"Log entry with size {size} exceeds maximum size of 256.0K")
    if not now - RETENTION <= _moment(entry["timestamp"]) <= now + MAX_AHEAD:
        raise GoogleApiError(
            400,
            f"Log entry timestamp {entry['timestamp']} is outside of the allowed range: no more "
            "than 30 days in the past or 24 hours in the future",
        )


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise GoogleApiError(400, f"Invalid value at 'entries.timestamp', {text!r}") from exc
