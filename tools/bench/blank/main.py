"""The floor: the framework, and a function that does nothing with what it is sent."""

import functions_framework
from cloudevents.http import CloudEvent


@functions_framework.cloud_event
def handle_blank(_event: CloudEvent) -> None:
    """Acknowledge a delivery."""
