"""Publish image references, and ticks of the schedule."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shared.clients.deadline import RPC_TIMEOUT_S
from shared.clients.vendor_error import google_errors
from shared.clients.vendor_import import IMPORTING

REFERENCES_TOPIC = "prestream-image-references"
SCHEDULE_TOPIC = "prestream-schedule"
_MAX_BATCH = 1_000


class Message(Protocol):
    """A value that is published as a message."""

    def as_json(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def attributes(self) -> Mapping[str, str]: ...  # noqa: D102


class TopicPublisher:
    """
    Publishes to a topic, and returns once Pub/Sub has stored the messages.

    One request carries all messages, so all of them are published, or none. The client's
    background batching would outlive the delivery.
    """

    def __init__(self, project: str, topic: str, *, emulator_host: str | None = None) -> None:
        self._topic = f"projects/{project}/topics/{topic}"
        self._emulator_host = emulator_host

    def publish(self, requests: Sequence[Message]) -> None:
        """
        Publish a message for each request.

        Raises:
            TransientError: Pub/Sub is unavailable.
            ConfigurationError: The topic does not exist, or our identity may not publish.
        """
        self.send(requests)

    def send(self, requests: Sequence[Message]) -> list[str]:
        """
        Publish a message for each request, and return the messages' ids in the same order.

        Raises:
            TransientError: Pub/Sub is unavailable.
            ConfigurationError: The topic does not exist, or our identity may not publish.
        """
        ids: list[str] = []
        messages = [
            {"data": json.dumps(request.as_json()).encode(), "attributes": dict(request.attributes)}
            for request in requests
        ]
        with google_errors(f"publish to {self._topic}"):
            for start in range(0, len(messages), _MAX_BATCH):
                answer = self._client.publish(
                    topic=self._topic,
                    messages=messages[start : start + _MAX_BATCH],
                    timeout=RPC_TIMEOUT_S,
                    # By default the client repeats a refused call for ten minutes. Pub/Sub's
                    # redelivery does that.
                    retry=None,
                )
                ids.extend(answer.message_ids)
        return ids

    @functools.cached_property
    def _client(self) -> Any:
        with IMPORTING:
            from google.pubsub_v1.services.publisher import PublisherClient

        if self._emulator_host is None:
            return PublisherClient()
        with IMPORTING:
            import grpc
            from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        channel = grpc.insecure_channel(self._emulator_host)
        return PublisherClient(transport=PublisherGrpcTransport(channel=channel))


class ReferencePublisher(TopicPublisher):
    """Publishes to ``prestream-image-references``."""

    def __init__(self, project: str, *, emulator_host: str | None = None) -> None:
        super().__init__(project, REFERENCES_TOPIC, emulator_host=emulator_host)


class TickPublisher(TopicPublisher):
    """Publishes to ``prestream-schedule``: one tick for each cluster."""

    def __init__(self, project: str, *, emulator_host: str | None = None) -> None:
        super().__init__(project, SCHEDULE_TOPIC, emulator_host=emulator_host)
