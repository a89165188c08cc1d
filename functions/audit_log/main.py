"""GKE's audit log: publish a reference to each image that a workload asks for."""

import functools
import os
from typing import TYPE_CHECKING

from cloudevents.http import CloudEvent

from shared.domain.outcomes import Outcome
from shared.events.audit_logs import LogEntry
from shared.events.pubsub import PubsubMessage
from shared.runtime.handlers import event_handler
from shared.runtime.logs import configure_logs
from shared.workflows.detecting import Detecting

if TYPE_CHECKING:
    from shared.settings import Settings
    from shared.workflows.announcing import Publisher

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
