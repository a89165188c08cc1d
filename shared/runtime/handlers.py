"""Settle a delivery: acknowledge it or not, and write its one log line."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import flask
import functions_framework
from cloudevents.http import CloudEvent

from shared.domain.outcomes import Outcome
from shared.errors import EventError

_logger = logging.getLogger(__name__)

_MAX_TEXT = 2_000


def event_handler(handle: Callable[[CloudEvent], Outcome]) -> Callable[[CloudEvent], None]:
    """
    Register a handler, and settle every delivery by how its handling ends.

    To return is to acknowledge. Failures are answered with ``abort``: an exception that is let
    through would be logged a second time.
    """

    @functools.wraps(handle)
    def settle(event: CloudEvent) -> None:
        fields: dict[str, Any] = {
            "event_id": event["id"],
            "event_type": event["type"],
            "function": handle.__name__,
        }
        try:
            outcome = handle(event)
        except EventError as exc:
            _log_failure(exc, fields)
            if exc.redeliver:
                flask.abort(503, description=exc.disposition)
        except Exception:
            fields["disposition"] = "failed"
            _logger.exception("event failed", extra={"json_fields": fields})
            flask.abort(500, description="failed")
        else:
            _log_outcome(outcome, fields)

    return functions_framework.cloud_event(settle)


def _log_failure(error: EventError, fields: dict[str, Any]) -> None:
    reason = _cut(str(error))
    fields |= {"disposition": error.disposition, "reason": reason}
    _logger.log(
        error.severity,
        "event %s: %s",
        error.disposition,
        reason,
        extra={"json_fields": fields},
    )


def _log_outcome(outcome: Outcome, fields: dict[str, Any]) -> None:
    details = {
        name: _cut(value) if isinstance(value, str) else value
        for name, value in outcome.details.items()
    }
    fields |= {**details, "disposition": outcome.disposition}
    story = _cut(outcome.story)
    text = f"event {outcome.disposition}" + (f": {story}" if story else "")
    _logger.info("%s", text, extra={"json_fields": fields})


def _cut(text: str) -> str:
    """Keep a line readable, and below the size at which Cloud Run would split it."""
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
