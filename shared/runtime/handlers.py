"""Settle a delivery: acknowledge it or not, and write its one log line."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import flask
import functions_framework
from cloudevents.http import CloudEvent

from shared.clients.timeouts import DELIVERY_S, limited_to
from shared.domain.outcomes import Outcome
from shared.errors import EventError

_logger = logging.getLogger(__name__)

_MAX_TEXT = 2_000


Handle = Callable[[CloudEvent], Outcome]


def event_handler(handle: Handle) -> Callable[[CloudEvent], None]:
    """
    Register a handler, and settle every delivery by how its handling ends.

    To return is to acknowledge. Failures are answered with ``abort``: an exception that is let
    through would be logged a second time. After ``DELIVERY_S`` a delivery calls nobody any more,
    so that it ends, with its line, before Pub/Sub takes it for lost.
    """
    return timed_handler(DELIVERY_S)(handle)


def timed_handler(limit_s: float) -> Callable[[Handle], Callable[[CloudEvent], None]]:
    """Register a handler likewise, with a limit of its own."""
    return functools.partial(_register, limit_s=limit_s)


def _register(handle: Handle, *, limit_s: float) -> Callable[[CloudEvent], None]:

    @functools.wraps(handle)
    def settle(event: CloudEvent) -> None:
        fields: dict[str, Any] = {
            "event_id": event["id"],
            "event_type": event["type"],
            "function": handle.__name__,
        }
        try:
            with limited_to(limit_s):
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
