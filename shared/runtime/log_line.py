"""
JSON lines in Cloud Logging's structured form, on standard output.

https://docs.cloud.google.com/logging/docs/structured-logging

Importing google-cloud-logging more than doubles a detector's cold start. This small formatter
writes the same lines as its StructuredLogHandler; a contract test compares the two.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import flask

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_CLOUD_TRACE = re.compile(r"([0-9a-fA-F]{32})(?:/(\d{1,20}))?(?:;o=(\d))?")
_SAMPLED = 0x01

_MAX_SPAN = 2**64

_MAX_MESSAGE = 50_000
"""Characters, of a traceback for instance: Cloud Run splits lines above 256 KB, JSON or not."""

_OUR_OWN = frozenset({"message"})
_SPECIAL = frozenset(
    {"severity", "httpRequest", "time", "timestamp", "timestampSeconds", "timestampNanos"}
)
"""Fields that Cloud Logging removes from a line, as it does with every field of this prefix:"""
_SPECIAL_PREFIX = "logging.googleapis.com/"


class StructuredFormatter(logging.Formatter):
    """Formats a record as one JSON object, with the trace of its request."""

    def __init__(self, project: str | None) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; ``extra={"json_fields": …}`` is merged into the object."""
        fields: Mapping[str, Any] = getattr(record, "json_fields", {})
        line = {
            "severity": record.levelname,
            "message": super().format(record)[:_MAX_MESSAGE],
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            **{name: value for name, value in fields.items() if not _is_reserved(name)},
            **_trace_fields(self._project),
        }
        text = json.dumps(line, ensure_ascii=False, default=str)
        # JSON may hold half a surrogate pair, which cannot be encoded: replace it, keep the line.
        return text.encode("utf-8", "replace").decode("utf-8")


class _StandardOutput(logging.StreamHandler[TextIO]):
    """Writes to the standard output of the moment, which tests replace."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Ignore the stream that the base class sets; each line looks it up."""


def configure_logs(environ: Mapping[str, str]) -> None:
    """Send our own log lines to standard output; a repeated call changes nothing."""
    logger = logging.getLogger("shared")
    handler = _StandardOutput()
    handler.setFormatter(StructuredFormatter(environ.get("GOOGLE_CLOUD_PROJECT")))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _is_reserved(name: str) -> bool:
    return name in _OUR_OWN or name in _SPECIAL or name.startswith(_SPECIAL_PREFIX)


def _trace_fields(project: str | None) -> dict[str, Any]:
    """
    Return the fields that link a line to its request.

    Google's front end sends two headers, and both are read:
    https://docs.cloud.google.com/trace/docs/trace-context
    """
    if not flask.has_request_context() or not project:
        return {}
    headers = flask.request.headers
    if found := _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip()):
        trace, span, sampled = found[1], found[2], bool(int(found[3], 16) & _SAMPLED)
    elif found := _CLOUD_TRACE.fullmatch(headers.get("X-Cloud-Trace-Context", "")):
        trace, span, sampled = found[1], _parse_span(found[2]), found[3] == "1"
    else:
        return {}
    fields = {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{trace}",
        "logging.googleapis.com/trace_sampled": sampled,
    }
    return fields | ({"logging.googleapis.com/spanId": span} if span else {})


def _parse_span(text: str | None) -> str | None:
    """Return a decimal span id as 16 hexadecimal digits; ``None`` for zero."""
    number = int(text or 0)
    return f"{number:016x}" if 0 < number < _MAX_SPAN else None
