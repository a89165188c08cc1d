"""GKE's audit log: publish a reference to each image that a workload asks for."""

import functools
import os
from typing import TYPE_CHECKING

from cloudevents.http import CloudEvent

from shared.domain.disposition import Outcome
from shared.messages.audit_entry import LogEntry
from shared.messages.pubsub_message import PubsubMessage
from shared.pipeline.detect import Detecting
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs

if TYPE_CHECKING:
    from shared.pipeline.announce import Publisher
    from shared.settings.keys import Settings

configure_logs(os.environ)


@event_handler
def handle_audit_log(event: CloudEvent) -> Outcome:
    """Publish the images of a workload that was created or changed."""
    message = PubsubMessage.from_cloud_event(event)
    entry = LogEntry.from_message(message)
    return Detecting(_settings, _publisher).detect_write(entry, message.publish_time)


@functools.cache
def _settings() -> "Settings":
    """Load the settings, once an instance; what asks for nothing in any case needs none."""
    from shared.settings.keys import load_settings

    return load_settings(os.environ)


@functools.cache
def _publisher() -> "Publisher":
    """Make the real client, once an instance, and only when there is something to publish."""
    from shared.clients.endpoint import Endpoints
    from shared.clients.publisher import ReferencePublisher

    return ReferencePublisher(
        _settings().deployment_project, emulator_host=Endpoints.from_environ(os.environ).pubsub
    )
