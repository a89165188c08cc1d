"""Messages as they are kept, and what is recorded of their deliveries."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.pubsub_v1 import types

from sandbox.clock import format_time
from sandbox.pubsub.errors import invalid_argument

# https://cloud.google.com/pubsub/quotas#resource_limits
MAX_REQUEST_BYTES = 10_000_000
MAX_REQUEST_MESSAGES = 1_000
_MAX_ATTRIBUTES = 100
_MAX_KEY_BYTES = 256
_MAX_VALUE_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a topic accepted."""

    message_id: str
    publish_time: datetime
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    ordering_key: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One push of a message: what was answered, or why there was no answer."""

    subscription: str
    message_id: str
    attempt: int
    status: int | None
    """HTTP status of the answer; None if there was none."""
    error: str | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether the answer counts as an acknowledgement."""
        return self.status in ACKNOWLEDGING_STATUSES and self.error is None


# https://cloud.google.com/pubsub/docs/push#receive_push
ACKNOWLEDGING_STATUSES = frozenset({102, 200, 201, 202, 204})


def check_published(message: types.PubsubMessage) -> None:
    """Refuse a message that is empty, or whose attributes are out of bounds."""
    attributes = dict(message.attributes)
    if not message.data and not attributes:
        raise invalid_argument(
            "One or more messages in the publish request is empty. Each message must contain "
            "either non-empty data, or at least one attribute."
        )
    if len(attributes) > _MAX_ATTRIBUTES:
        raise invalid_argument(f"A message has more than {_MAX_ATTRIBUTES} attributes.")
    for key, value in attributes.items():
        if not key or key.startswith("goog") or len(key.encode()) > _MAX_KEY_BYTES:
            raise invalid_argument(f"Attribute key is invalid: {key[:_MAX_KEY_BYTES]!r}.")
        if len(value.encode()) > _MAX_VALUE_BYTES:
            raise invalid_argument(f"Value of attribute {key!r} exceeds {_MAX_VALUE_BYTES} bytes.")


def to_wire(message: Message) -> types.PubsubMessage:
    """Return a message as pull answers carry it."""
    return types.PubsubMessage(
        data=message.data,
        attributes=dict(message.attributes),
        message_id=message.message_id,
        publish_time=message.publish_time,
        ordering_key=message.ordering_key,
    )


def make_push_body(
    message: Message, subscription: str, delivery_attempt: int | None
) -> dict[str, Any]:
    """
    Return the body of a wrapped push.

    ``messageId`` and ``publishTime`` come in both spellings, and what is empty is left out, as
    the service does: https://cloud.google.com/pubsub/docs/push#receive_push. The attempt is
    there only under a dead-letter policy, hence None.
    """
    published = format_time(message.publish_time)
    wrapped: dict[str, Any] = {
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": published,
        "publish_time": published,
    }
    if message.data:
        wrapped["data"] = base64.b64encode(message.data).decode()
    if message.attributes:
        wrapped["attributes"] = dict(message.attributes)
    if message.ordering_key:
        wrapped["orderingKey"] = message.ordering_key
    body: dict[str, Any] = {"message": wrapped, "subscription": subscription}
    if delivery_attempt is not None:
        body["deliveryAttempt"] = delivery_attempt
    return body


def dead_letter_attributes(
    message: Message, *, project: str, subscription: str, attempts: int
) -> dict[str, str]:
    """
    Return the attributes under which a message is forwarded as a dead letter.

    https://cloud.google.com/pubsub/docs/dead-letter-topics#how_dead_letter_topics_work
    """
    published = message.publish_time.astimezone(UTC).isoformat(timespec="milliseconds")
    return {
        **message.attributes,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
        "CloudPubSubDeadLetterSourceSubscription": subscription,
        "CloudPubSubDeadLetterSourceSubscriptionProject": project,
        "CloudPubSubDeadLetterSourceTopicPublishTime": published,
    }
