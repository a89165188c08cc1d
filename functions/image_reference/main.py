"""Handle image references: create the mirror, resolve the digest, and create the warmup Job."""

import os

from cloudevents.http import CloudEvent

from shared.domain.disposition import Outcome
from shared.messages.image_request import parse_reference_request
from shared.messages.pubsub_message import PubsubMessage
from shared.pipeline.fan_out import route_request
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs
from shared.runtime.warmup_wiring import WarmupWiring

configure_logs(os.environ)
wiring = WarmupWiring(os.environ)


@event_handler
def handle_image_reference(event: CloudEvent) -> Outcome:
    """Warm the image in the cluster that the message names, or publish it for each region."""
    message = PubsubMessage.from_cloud_event(event)
    return route_request(parse_reference_request(message), message, wiring)
