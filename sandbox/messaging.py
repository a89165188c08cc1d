"""Topics and push subscriptions, as the infrastructure declares them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

DEAD_LETTERS = "prestream-dead-letters"
REFERENCES = "prestream-image-references"
AUDIT = "prestream-audit"
GKE_EVENTS = "prestream-gke-events"
BUILDS = "cloud-builds"
PUSHES = "gcr"
SCHEDULE = "prestream-schedule"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A topic and the function that its messages trigger."""

    topic: str
    function: str


TRIGGERS = (
    Trigger(BUILDS, "build_notification"),
    Trigger(PUSHES, "registry_push"),
    Trigger(AUDIT, "audit_log"),
    Trigger(REFERENCES, "image_reference"),
    Trigger(GKE_EVENTS, "pull_event"),
    Trigger(SCHEDULE, "scheduled_sweep"),
)

_ACK_DEADLINE_S = 60
_MAX_ATTEMPTS = 10


class Messaging:
    """Declares topics and subscriptions with the real clients, and publishes."""

    def __init__(self, project: str, address: str) -> None:
        import grpc
        from google.pubsub_v1.services.publisher import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
        from google.pubsub_v1.services.subscriber import SubscriberClient
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        self._project = project
        self._channel = grpc.insecure_channel(address)
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self._subscriber = SubscriberClient(
            transport=SubscriberGrpcTransport(channel=self._channel)
        )

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def declare_topics(self) -> None:
        """Create all topics, and the subscription that keeps dead letters."""
        from google.api_core.exceptions import AlreadyExists

        for topic in (*(trigger.topic for trigger in TRIGGERS), DEAD_LETTERS):
            try:
                self._publisher.create_topic(name=self._topic(topic))
            except AlreadyExists:
                continue
        self._subscribe(DEAD_LETTERS, DEAD_LETTERS, {})

    def declare_push(self, trigger: Trigger, url: str, back_off: timedelta) -> None:
        """Push a topic's messages to a function."""
        self._subscribe(
            f"prestream-{trigger.function.replace('_', '-')}",
            trigger.topic,
            {
                "push_config": {"push_endpoint": url},
                "ack_deadline_seconds": _ACK_DEADLINE_S,
                "retry_policy": {"minimum_backoff": back_off, "maximum_backoff": back_off * 60},
                "dead_letter_policy": {
                    "dead_letter_topic": self._topic(DEAD_LETTERS),
                    "max_delivery_attempts": _MAX_ATTEMPTS,
                },
            },
        )

    def publish(
        self,
        topic: str,
        data: bytes | Mapping[str, Any],
        attributes: Mapping[str, str] | None = None,
    ) -> str:
        """Publish a message, and return its id."""
        from google.pubsub_v1.types import PubsubMessage

        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        message = PubsubMessage(data=body, attributes=dict(attributes or {}))
        answer = self._publisher.publish(topic=self._topic(topic), messages=[message])
        message_id: str = answer.message_ids[0]
        return message_id

    def _subscribe(self, name: str, topic: str, fields: Mapping[str, Any]) -> None:
        from google.api_core.exceptions import AlreadyExists

        request = {
            "name": f"projects/{self._project}/subscriptions/{name}",
            "topic": self._topic(topic),
            **fields,
        }
        try:
            self._subscriber.create_subscription(request=request)
        except AlreadyExists:
            return

    def _topic(self, name: str) -> str:
        return f"projects/{self._project}/topics/{name}"
