"""
The Pub/Sub message that a push delivery carries.

https://docs.cloud.google.com/pubsub/docs/push#receive_push
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, Self

import msgspec

from shared.domain.timestamp import parse_time
from shared.errors import InvalidEventError

_MAX_QUOTED = 64

_PLAIN = (str, int, float)
"""Types that are shown as text; a list may be nested deeper than Python's recursion limit."""


class CloudEvent(Protocol):
    """The parts of a CloudEvent that are read; the framework's class has them."""

    data: Any

    def __getitem__(self, name: str, /) -> Any:
        """Return a required attribute of the event."""
        ...

    def get(self, name: str, /) -> Any:
        """Return an attribute of the event, or ``None``."""
        ...


@dataclass(frozen=True, slots=True)
class PubsubMessage:
    """A message of a topic; a delivery spells its fields in one of two ways."""

    message_id: str
    publish_time: datetime
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_cloud_event(cls, event: CloudEvent) -> Self:
        """
        Read the message from a CloudEvent of type ``messagePublished``.

        Raises:
            InvalidEventError: The event does not hold a message, or its data is not base64.
        """
        body = _decode_body(event.data)
        message = body.get("message")
        if not isinstance(message, dict):
            raise InvalidEventError("the event holds no Pub/Sub message")
        return cls(
            message_id=_parse_id(_either(message, "messageId", "message_id") or event["id"]),
            publish_time=_parse_time(_either(message, "publishTime", "publish_time"), event),
            data=_decode_data(message.get("data")),
            attributes=_parse_attributes(message.get("attributes")),
        )


def _decode_body(data: Any) -> Mapping[str, Any]:
    """Return the body of a delivery; the framework leaves it as bytes for some content types."""
    if isinstance(data, bytes | str):
        try:
            data = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            raise InvalidEventError(f"the body of the event is not JSON: {exc}") from exc
    if not isinstance(data, dict):
        raise InvalidEventError(
            f"the body of the event is not a JSON object: {type(data).__name__}"
        )
    return data


def _either(message: Mapping[str, Any], *names: str) -> Any:
    return next((message[name] for name in names if message.get(name)), None)


def _parse_id(message_id: Any) -> str:
    if not isinstance(message_id, str | int):
        raise InvalidEventError(f"the id of the message is not a text: {type(message_id).__name__}")
    return str(message_id)


def _decode_data(data: Any) -> bytes:
    if data is None:
        return b""
    if not isinstance(data, str):
        raise InvalidEventError(f"the data of the message is not a string: {type(data).__name__}")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidEventError(f"the data of the message is not base64: {exc}") from exc


def _parse_attributes(attributes: Any) -> Mapping[str, str]:
    if attributes is None:
        return {}
    if not isinstance(attributes, dict):
        kind = type(attributes).__name__
        raise InvalidEventError(f"the attributes of the message are not an object: {kind}")
    if not all(isinstance(value, _PLAIN) for value in attributes.values()):
        raise InvalidEventError("an attribute of the message is not a text")
    return {str(name): str(value) for name, value in attributes.items()}


def _parse_time(text: Any, event: CloudEvent) -> datetime:
    """Parse the publish time; if it is missing, the time of the event."""
    for candidate in (text, event.get("time")):
        if candidate:
            try:
                return parse_time(_text_of(candidate))
            except ValueError as exc:
                raise InvalidEventError(f"invalid publish time: {_quote(candidate)}") from exc
    raise InvalidEventError("the message has no publish time")


def _text_of(candidate: Any) -> str:
    if not isinstance(candidate, str):
        raise ValueError("not a text")  # noqa: TRY004  # like every other text that is not a time
    return candidate


def _quote(candidate: Any) -> str:
    """Return a time for an error message; other types are named only, because they may be long."""
    if isinstance(candidate, _PLAIN):
        return repr(candidate)[:_MAX_QUOTED]
    return type(candidate).__name__
