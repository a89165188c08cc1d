"""
A fact as it was saved or stored: a line of ``results.jsonl``, or an entry of Cloud Logging.

In a line, the fields of the fact are beside its insert ID and timestamp; in an entry, they are in
``jsonPayload``. Cloud Logging stores numbers as doubles; any other entry is not a fact.
"""

import hashlib
from typing import Final, get_args

import msgspec

from shared.domain.fact import EventName
from shared.domain.streaming_verdict import Streamed
from shared.domain.timestamp import parse_time

EVENTS: Final[frozenset[str]] = frozenset(get_args(EventName)) - {"cluster.not_onboarded"}
"""The events of images; the report does not show those of clusters."""
_MAX_NUMBER: Final = 2.0**53
"""Greater numbers are not exact as doubles, and are not from a real pull."""


class InvalidFactError(ValueError):
    """An entry claims to be a fact, but does not have its form."""


class EvidenceFields(msgspec.Struct, gc=False):
    """One piece of evidence, with the log entry that holds it."""

    kind: str
    text: str
    log: str | None = None
    insert_id: str | None = None


class FactFields(msgspec.Struct, gc=False):
    """The fields of all kinds of facts; a field that a kind lacks is None."""

    event: str | None = None
    simulated: bool | None = None
    """Whether the node is simulated, so that its durations are not measurements."""
    image: str | None = None
    mirror: str | None = None
    digest: str | None = None
    cluster: str | None = None
    outcome: str | None = None
    strategy: str | None = None
    job: str | None = None
    target: str | None = None
    node: str | None = None
    node_pool: str | None = None
    accelerator: str | None = None
    workload: str | None = None
    workloads: list[str] | None = None
    pull_seconds: float | None = None
    total_seconds: float | None = None
    image_bytes: float | None = None
    streamed: Streamed | None = None
    evidence: list[EvidenceFields] | None = None
    streamed_layers: float | None = None
    upstream: str | None = None
    reason: str | None = None
    hint: str | None = None


class _Line(FactFields, gc=False):
    insertId: str | None = None  # noqa: N815  # as Cloud Logging calls it
    timestamp: str | None = None
    logName: str | None = None  # noqa: N815
    jsonPayload: FactFields | None = None  # noqa: N815


class _Outline(msgspec.Struct):
    """The part of an entry that shows whether it is a fact."""

    event: object = None
    jsonPayload: object = None  # noqa: N815


class ReadFact(msgspec.Struct, gc=False):
    """A fact and its identity."""

    insert_id: str
    at: float
    """The time of the event, in seconds since 1970."""
    log: str | None
    fields: FactFields


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_outline = msgspec.json.Decoder(_Outline).decode


def parse_fact(data: bytes) -> ReadFact | None:
    """
    Parse a JSON object; return ``None`` if it is valid but not a fact.

    Raises:
        InvalidFactError: It is not JSON, or a fact with something missing or out of place.

    >>> parse_fact(b'{"severity": "INFO", "message": "event handled"}') is None
    True
    """
    try:
        line = _decode_line(data)
    except msgspec.ValidationError as exc:
        if _is_fact(data):
            raise InvalidFactError(f"no fact: {exc}") from exc
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidFactError(f"not JSON: {exc}") from exc
    fields = line.jsonPayload or line
    if fields.event not in EVENTS:
        return None
    _check(fields)
    try:
        at = parse_time(line.timestamp or "")
    except (ValueError, OverflowError) as exc:
        raise InvalidFactError(f"no fact: its timestamp is {line.timestamp!r}") from exc
    insert_id = line.insertId or f"unnamed-{hashlib.sha256(data.strip()).hexdigest()[:32]}"
    return ReadFact(insert_id, at.timestamp(), line.logName, fields)


def whole(number: float | None) -> int | None:
    """
    Return a count, which Cloud Logging stores as a double.

    >>> whole(12.0), whole(None)
    (12, None)
    """
    return None if number is None else round(number)


def _is_fact(data: bytes) -> bool:
    """Whether an entry with fields of other types claims to be a fact."""
    try:
        outline = _decode_outline(data)
    except msgspec.DecodeError:
        return True  # no object at all
    payload = outline.jsonPayload
    event = payload.get("event") if isinstance(payload, dict) else outline.event
    return isinstance(event, str) and event in EVENTS


def _check(fields: FactFields) -> None:
    if not fields.image:
        raise InvalidFactError("no fact: it names no image")
    for name in ("pull_seconds", "total_seconds", "image_bytes", "streamed_layers"):
        value = getattr(fields, name)
        if value is not None and not 0 <= value <= _MAX_NUMBER:
            raise InvalidFactError(f"no fact: {name} is {value}")
    if fields.event == "warmup.finished" and not fields.outcome:
        raise InvalidFactError("no fact: it has no outcome")
