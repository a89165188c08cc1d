"""Messages of Pub/Sub, the names of topics and subscriptions, and errors of the API."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
from google.pubsub_v1 import types

from sandbox.clock import format_time

ACKNOWLEDGING_STATUSES = frozenset({102, 200, 201, 202, 204})
"""https://cloud.google.com/pubsub/docs/push#receive_push."""

# https://cloud.google.com/pubsub/quotas#resource_limits
MAX_REQUEST_BYTES = 10_000_000
MAX_REQUEST_MESSAGES = 1_000
_MAX_VALUE_BYTES = 1_024

_RESOURCE = re.compile(r"projects/[^/]+/(?P<kind>topics|subscriptions)/(?P<id>[^/]+)")
# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_RESOURCE_ID = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")


class PubsubError(Exception):
    """An error of the API; its text is the status message that the client gets."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid_argument(message: str) -> PubsubError:
    """Return the error of an invalid request."""
    return PubsubError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(name: str) -> PubsubError:
    """Return the error of a resource that does not exist."""
    return PubsubError(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name}).")


def already_exists(name: str) -> PubsubError:
    """Return the error of the creation of a resource that exists."""
    text = f"Resource already exists in the project (resource={name})."
    return PubsubError(grpc.StatusCode.ALREADY_EXISTS, text)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a topic accepted."""

    message_id: str
    publish_time: datetime
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One push of a message, with its answer or the reason for a missing answer."""

    subscription: str
    message_id: str
    attempt: int
    status: int | None
    """HTTP status of the answer; None without an answer."""
    error: str | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether the answer acknowledges the message."""
        return self.status in ACKNOWLEDGING_STATUSES and self.error is None


def check_name(name: str, kind: str) -> str:
    """Return the name of a resource; raise PubsubError unless it is valid for its kind."""
    match = _RESOURCE.fullmatch(name)
    if match is None or match["kind"] != kind or not _RESOURCE_ID.fullmatch(match["id"]):
        raise invalid_argument(f"Invalid [{kind}] name: (name={name}).")
    return name


def check_message(message: types.PubsubMessage) -> None:
    """Raise PubsubError if a message is empty or an attribute is too long."""
    if not message.data and not message.attributes:
        raise invalid_argument(
            "One or more messages in the publish request is empty. Each message must contain "
            "either non-empty data, or at least one attribute."
        )
    for key, value in message.attributes.items():
        if len(value.encode()) > _MAX_VALUE_BYTES:
            raise invalid_argument(f"Value of attribute {key!r} exceeds {_MAX_VALUE_BYTES} bytes.")


def make_push_body(
    message: Message, subscription: str, delivery_attempt: int | None
) -> dict[str, Any]:
    """
    Return the body of a wrapped push.

    As in the service, ``messageId`` and ``publishTime`` appear in both spellings, and empty
    fields are left out: https://cloud.google.com/pubsub/docs/push#receive_push. Only pushes
    under a dead-letter policy have a delivery attempt.
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
    body: dict[str, Any] = {"message": wrapped, "subscription": subscription}
    if delivery_attempt is not None:
        body["deliveryAttempt"] = delivery_attempt
    return body


def dead_letter_attributes(message: Message, subscription: str, attempts: int) -> dict[str, str]:
    """
    Return the attributes of the dead letter that replaces a message.

    https://cloud.google.com/pubsub/docs/dead-letter-topics#how_dead_letter_topics_work
    """
    _, project, _, name = subscription.split("/")
    published = message.publish_time.astimezone(UTC).isoformat(timespec="milliseconds")
    return {
        **message.attributes,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
        "CloudPubSubDeadLetterSourceSubscription": name,
        "CloudPubSubDeadLetterSourceSubscriptionProject": project,
        "CloudPubSubDeadLetterSourceTopicPublishTime": published,
    }
