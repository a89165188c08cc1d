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
"""What has a text of its own; that of a list may be deeper than Python goes."""


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
    """A message of a topic, whichever of its two spellings the delivery used."""

    message_id: str
    publish_time: datetime
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_cloud_event(cls, event: CloudEvent) -> Self:
        """
        Read the message out of a CloudEvent of type ``messagePublished``.

        Raises:
            InvalidEventError: The event holds no message, or its data is not base64.
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
        raise InvalidEventError(f"the body of the event is no JSON object: {type(data).__name__}")
    return data


def _either(message: Mapping[str, Any], *names: str) -> Any:
    return next((message[name] for name in names if message.get(name)), None)


def _parse_id(message_id: Any) -> str:
    if not isinstance(message_id, str | int):
        raise InvalidEventError(f"the id of the message is no text: {type(message_id).__name__}")
    return str(message_id)


def _decode_data(data: Any) -> bytes:
    if data is None:
        return b""
    if not isinstance(data, str):
        raise InvalidEventError(f"the data of the message is no string: {type(data).__name__}")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidEventError(f"the data of the message is not base64: {exc}") from exc


def _parse_attributes(attributes: Any) -> Mapping[str, str]:
    if attributes is None:
        return {}
    if not isinstance(attributes, dict):
        kind = type(attributes).__name__
        raise InvalidEventError(f"the attributes of the message are no object: {kind}")
    if not all(isinstance(value, _PLAIN) for value in attributes.values()):
        raise InvalidEventError("an attribute of the message is no text")
    return {str(name): str(value) for name, value in attributes.items()}


def _parse_time(text: Any, event: CloudEvent) -> datetime:
    """Parse the publish time, with the time of the event in its stead where it is missing."""
    for candidate in (text, event.get("time")):
        if candidate:
            try:
                return parse_time(_text_of(candidate))
            except ValueError as exc:
                raise InvalidEventError(f"invalid publish time: {_quote(candidate)}") from exc
    raise InvalidEventError("the message has no publish time")


def _text_of(candidate: Any) -> str:
    if not isinstance(candidate, str):
        raise ValueError("no text")  # noqa: TRY004  # as for every other text that is no time
    return candidate


def _quote(candidate: Any) -> str:
    """Return a time as a message shows it; what is no text or number may have no end."""
    if isinstance(candidate, _PLAIN):
        return repr(candidate)[:_MAX_QUOTED]
    return type(candidate).__name__
