"""Handle the notifications of Artifact Registry."""

import os

from cloudevents.http import CloudEvent

from shared.domain.disposition import Outcome
from shared.messages.pubsub_message import PubsubMessage
from shared.messages.registry_push import RegistryPush
from shared.pipeline.detect import detect_push
from shared.runtime.detector_wiring import DetectorWiring
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs

configure_logs(os.environ)
wiring = DetectorWiring(os.environ)


@event_handler
def handle_registry_push(event: CloudEvent) -> Outcome:
    """Publish the image that was pushed under a tag; ignore every other change."""
    message = PubsubMessage.from_cloud_event(event)
    return detect_push(RegistryPush.from_message(message), message.publish_time, wiring)
