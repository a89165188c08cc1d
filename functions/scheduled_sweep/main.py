"""Keep images in use warm, and repair what a lost event left behind."""

import os

from cloudevents.http import CloudEvent

from shared.clients.deadline import SWEEP_S
from shared.domain.disposition import Outcome
from shared.messages.pubsub_message import PubsubMessage
from shared.messages.tick import parse_tick
from shared.pipeline.fan_out import route_tick
from shared.runtime.handler import timed_handler
from shared.runtime.log_line import configure_logs
from shared.runtime.sweep_wiring import SweepWiring

configure_logs(os.environ)
wiring = SweepWiring(os.environ)


@timed_handler(SWEEP_S)
def handle_scheduled_sweep(event: CloudEvent) -> Outcome:
    """Sweep the cluster that the tick names, or publish a tick for each that is watched."""
    message = PubsubMessage.from_cloud_event(event)
    return route_tick(parse_tick(message), message, wiring)
