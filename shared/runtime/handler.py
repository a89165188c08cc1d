"""Settle a delivery: acknowledge it or not, and write its one log line."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import flask
import functions_framework
from cloudevents.http import CloudEvent

from shared.clients.deadline import DELIVERY_S, limited_to
from shared.domain.disposition import Outcome
from shared.errors import EventError

_logger = logging.getLogger(__name__)

_MAX_TEXT = 2_000
_MAX_ITEMS = 50


Handle = Callable[[CloudEvent], Outcome]


def event_handler(handle: Handle) -> Callable[[CloudEvent], None]:
    """
    Register a handler, and settle every delivery by the outcome of the handler.

    A return acknowledges. Failures are answered with ``abort``, because the framework would log
    an exception a second time. After ``DELIVERY_S`` a delivery makes no more calls, so that it
    ends and writes its log line before Pub/Sub considers it lost.
    """
    return timed_handler(DELIVERY_S)(handle)


def timed_handler(limit_s: float) -> Callable[[Handle], Callable[[CloudEvent], None]]:
    """Register a handler as ``event_handler`` does, with another time limit."""
    return functools.partial(_register, limit_s=limit_s)


def _register(handle: Handle, *, limit_s: float) -> Callable[[CloudEvent], None]:

    @functools.wraps(handle)
    def settle(event: CloudEvent) -> None:
        fields: dict[str, Any] = {
            "event_id": _cut(event["id"]),
            "event_type": _cut(event["type"]),
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
    details = {name: _cut_within(value) for name, value in outcome.details.items()}
    fields |= {**details, "disposition": outcome.disposition}
    story = _cut(outcome.story)
    text = f"event {outcome.disposition}" + (f": {story}" if story else "")
    _logger.info("%s", text, extra={"json_fields": fields})


def _cut_within(value: Any) -> Any:
    """Cut texts and lists at every depth of a detail."""
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, Mapping):
        return {name: _cut_within(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        more = len(value) - _MAX_ITEMS
        told = [_cut_within(each) for each in value[:_MAX_ITEMS]]
        return [*told, f"… and {more} more"] if more > 0 else told
    return value


def _cut(text: str) -> str:
    """Cut a text, so that the line stays readable and Cloud Run does not split it."""
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
