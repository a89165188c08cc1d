"""Cloud Logging: ``entries:write`` and ``entries:list`` of the API v2."""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

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

Matcher = Callable[[Mapping[str, Any]], bool]

RETENTION = timedelta(days=30)
"""Age above which an entry is refused, as it would be past the retention of its bucket."""
MAX_AHEAD = timedelta(hours=24)
MAX_ENTRY_BYTES = 256 * 1024

_LOG_NAME = re.compile(
    r"(?P<parent>(projects|organizations|billingAccounts|folders)/[^/]+)/logs/[A-Za-z0-9_.%-]{1,511}"
)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.IGNORECASE
)
_PAYLOADS = ("textPayload", "jsonPayload", "protoPayload")
_SEVERITIES = {
    0: "DEFAULT",
    100: "DEBUG",
    200: "INFO",
    300: "NOTICE",
    400: "WARNING",
    500: "ERROR",
    600: "CRITICAL",
    700: "ALERT",
    800: "EMERGENCY",
}
_DEFAULT_PAGE = 50
_MAX_PAGE = 1000
_PARTIAL_ERRORS = "type.googleapis.com/google.logging.v2.WriteLogEntriesPartialErrors"


class CloudLogging:
    """
    A server of ``CLOUD_LOGGING_EMULATOR_HOST``; its faults are those of service ``logging``.

    ``matches`` makes a predicate of a filter's text, and raises ValueError for one that it
    cannot read.
    """

    def __init__(
        self,
        clock: Clock,
        faults: Faults,
        matches: Callable[[str], Matcher] = lambda text: parse_filter(text).matches,
    ) -> None:
        self.entries: list[dict[str, Any]] = []
        """All entries in the order of writing, duplicates too."""
        self._clock = clock
        self._matches = matches
        self._lock = threading.Condition()
        app = flask.Flask(__name__)
        apply_faults(app, faults, "logging", api_fault, clock)
        answer_api_errors(app)
        app.post("/v2/entries:write")(self._serve_write)
        app.post("/v2/entries:list")(self._serve_list)
        self._server = HttpServer(app)

    @property
    def address(self) -> str:
        """``host:port`` of the API."""
        return self._server.address

    def start(self) -> Self:
        """Begin to answer."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop answering, and close the socket."""
        self._server.stop()

    def write(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """
        Write entries, all or none.

        Raises:
            GoogleApiError: One of them is not as the API wants it.
        """
        complete = [self._complete(entry, {}) for entry in entries]
        self._append(complete)

    def save(self) -> Callable[[], None]:
        """Return what leaves no entries but those that are there now."""
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

    def query(self, text: str = "", resource_names: Iterable[str] = ()) -> list[dict[str, Any]]:
        """
        Return what a filter matches, oldest first.

        Only one of several entries with the same log name, timestamp and insert id is returned:
        https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry

        Raises:
            GoogleApiError: The filter cannot be read.
        """
        try:
            matches = self._matches(text) if text.strip() else None
        except ValueError as exc:
            raise GoogleApiError(400, f"Unparseable filter: {exc}") from exc
        parents = frozenset(resource_names)
        with self._lock:
            entries = list(self.entries)
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for entry in entries:
            key = (entry["logName"], _moment(entry["timestamp"]), entry["insertId"])
            if key in found or (parents and _parent(entry["logName"]) not in parents):
                continue
            if matches is None or matches(entry):
                found[key] = entry
        return sorted(found.values(), key=lambda entry: _moment(entry["timestamp"]))

    def _serve_write(self) -> dict[str, Any]:
        request = read_json()
        complete, errors = [], {}
        for place, entry in enumerate(request.get("entries", ())):
            try:
                complete.append(self._complete(entry, request))
            except GoogleApiError as exc:
                if not request.get("partialSuccess"):
                    raise
                errors[str(place)] = {"code": 3, "message": exc.message}
        if not request.get("dryRun"):
            self._append(complete)
        if errors:
            details = [{"@type": _PARTIAL_ERRORS, "logEntryErrors": errors}]
            raise GoogleApiError(400, "Some log entries were not written", details=details)
        return {}

    def _serve_list(self) -> dict[str, Any]:
        request = read_json()
        names = request.get("resourceNames") or []
        if not names:
            raise GoogleApiError(
                400, "At least one resource name must be specified in resource_names"
            )
        order = request.get("orderBy") or "timestamp asc"
        if order not in {"timestamp", "timestamp asc", "timestamp desc"}:
            raise GoogleApiError(400, f"invalid order_by: {order!r}")
        found = self.query(request.get("filter", ""), [_resource(name) for name in names])
        if order.endswith("desc"):
            found.reverse()
        size, start = _page(request)
        answer: dict[str, Any] = {"entries": found[start : start + size]}
        if start + size < len(found):
            answer["nextPageToken"] = str(start + size)
        return answer

    def _append(self, entries: Iterable[dict[str, Any]]) -> None:
        with self._lock:
            self.entries.extend(entries)
            self._lock.notify_all()

    def _complete(self, entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(entry, Mapping):
            raise GoogleApiError(400, f"Invalid value at 'entries': {entry!r}")
        now = self._clock.now()
        complete = dict(entry)
        for field in ("logName", "resource"):
            complete[field] = entry.get(field) or defaults.get(field) or ""
        labels = {**(defaults.get("labels") or {}), **(entry.get("labels") or {})}
        if labels:
            complete["labels"] = labels
        complete["timestamp"] = entry.get("timestamp") or format_time(now)
        complete["receiveTimestamp"] = format_time(now)
        complete["insertId"] = entry.get("insertId") or uuid.uuid4().hex[:16]
        severity = entry.get("severity", "DEFAULT")
        complete["severity"] = _SEVERITIES.get(severity, severity)
        _check(complete, now)
        return complete


def _check(entry: Mapping[str, Any], now: datetime) -> None:
    if not _LOG_NAME.fullmatch(entry["logName"]):
        raise GoogleApiError(400, f"Invalid log name: {entry['logName']!r}")
    resource = entry["resource"]
    if not isinstance(resource, Mapping) or not resource.get("type"):
        raise GoogleApiError(400, "A monitored resource with a type is required for each log entry")
    payloads = [field for field in _PAYLOADS if field in entry]
    if len(payloads) != 1:
        raise GoogleApiError(
            400, f"A log entry needs exactly one payload, not {payloads or 'none'}"
        )
    if entry["severity"] not in _SEVERITIES.values():
        raise GoogleApiError(400, f"Invalid value at 'entries.severity': {entry['severity']!r}")
    if (size := len(json.dumps(entry))) > MAX_ENTRY_BYTES:
        raise GoogleApiError(400, f"Log entry with size {size} exceeds maximum size of 256.0K")
    moment, _ = _moment(entry["timestamp"])
    if not now - RETENTION <= moment <= now + MAX_AHEAD:
        raise GoogleApiError(
            400,
            f"Log entry timestamp {entry['timestamp']} is outside of the allowed range: no more "
            "than 30 days in the past or 24 hours in the future",
        )


def _moment(text: str) -> tuple[datetime, int]:
    """
    Return a timestamp's second and its nanoseconds.

    >>> _moment("2024-01-01T01:00:00.5+01:00")
    (datetime.datetime(2024, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), 500000000)
    """
    match = _TIMESTAMP.fullmatch(str(text))
    if match is None:
        raise GoogleApiError(
            400, f"Invalid value at 'entries.timestamp', {text!r}: not a timestamp"
        )
    second, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(second + zone.upper()).astimezone(UTC)
    except ValueError as exc:
        raise GoogleApiError(400, f"Invalid value at 'entries.timestamp', {text!r}: {exc}") from exc
    return moment, int((fraction or "").ljust(9, "0"))


def _parent(log_name: str) -> str:
    return "/".join(log_name.split("/")[:2])


def _resource(name: str) -> str:
    """Return the project of a resource name, which may be a log view's."""
    parts = name.split("/")
    if not all(parts[:2]) or not parts[1:]:
        raise GoogleApiError(400, f"Invalid resource name: {name!r}")
    return "/".join(parts[:2])


def _page(request: Mapping[str, Any]) -> tuple[int, int]:
    try:
        size, start = int(request.get("pageSize") or 0), int(request.get("pageToken") or 0)
    except ValueError as exc:
        raise GoogleApiError(400, f"invalid page size or token: {exc}") from exc
    if size < 0 or start < 0:
        raise GoogleApiError(400, "page_size and page_token cannot be negative")
    return min(size or _DEFAULT_PAGE, _MAX_PAGE), start
