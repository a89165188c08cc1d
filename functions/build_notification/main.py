"""Handle the notifications of Cloud Build."""

import os

from cloudevents.http import CloudEvent

from shared.domain.disposition import Outcome
from shared.messages.build import BuildNotification
from shared.messages.pubsub_message import PubsubMessage
from shared.pipeline.detect import detect_build
from shared.runtime.detector_wiring import DetectorWiring
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs

configure_logs(os.environ)
wiring = DetectorWiring(os.environ)


@event_handler
def handle_build_notification(event: CloudEvent) -> Outcome:
    """Publish the images of a successful build; ignore every other status."""
    message = PubsubMessage.from_cloud_event(event)
    return detect_build(BuildNotification.from_message(message), message.publish_time, wiring)
