"""Artifact Registry's messages: publish a reference to the image that was pushed."""

import functools
import os
from typing import TYPE_CHECKING

from cloudevents.http import CloudEvent

from shared.domain.outcomes import Outcome
from shared.events.pubsub import PubsubMessage
from shared.events.pushes import RegistryPush
from shared.runtime.handlers import event_handler
from shared.runtime.logs import configure_logs
from shared.workflows.detecting import Detecting

if TYPE_CHECKING:
    from shared.settings import Settings
    from shared.workflows.announcing import Publisher

configure_logs(os.environ)


@event_handler
def handle_registry_push(event: CloudEvent) -> Outcome:
    """Publish the image that was pushed under a tag; ignore every other change."""
    message = PubsubMessage.from_cloud_event(event)
    push = RegistryPush.from_message(message)
    return Detecting(_settings, _publisher).detect_push(push, message.publish_time)


@functools.cache
def _settings() -> "Settings":
    """Load the settings, once an instance; what asks for nothing in any case needs none."""
    from shared.settings import load_settings

    return load_settings(os.environ)


@functools.cache
def _publisher() -> "Publisher":
    """Make the real client, once an instance, and only when there is something to publish."""
    from shared.clients.endpoints import Endpoints
    from shared.clients.pubsub import ReferencePublisher

    return ReferencePublisher(
        _settings().deployment_project, emulator_host=Endpoints.from_environ(os.environ).pubsub
    )
