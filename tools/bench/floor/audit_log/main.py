"""The first hop of the floor: each new Deployment is one message, and nothing is looked at."""

import base64
import os

import functions_framework
import grpc
from cloudevents.http import CloudEvent
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.types import PubsubMessage

_TOPIC = f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/topics/prestream-image-references"

_publisher = PublisherClient(
    transport=PublisherGrpcTransport(
        channel=grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
    )
)


@functions_framework.cloud_event
def handle_audit_log(event: CloudEvent) -> None:
    """Pass a message on."""
    if b"deployments.create" in base64.b64decode(event.data["message"]["data"]):
        _publisher.publish(topic=_TOPIC, messages=[PubsubMessage(data=b"{}")])
