"""Artifact Registry's messages: publish a reference to the image that was pushed."""

import functools
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from cloudevents.http import CloudEvent

from shared.domain.ages import TOO_OLD, is_too_old
from shared.domain.outcomes import Outcome, ignored
from shared.domain.rewriting import trace_upstream
from shared.domain.selection import Selection
from shared.events.pubsub import PubsubMessage
from shared.events.pushes import INSERT, RegistryPush
from shared.runtime.handlers import event_handler
from shared.runtime.logs import configure_logs
from shared.settings import Settings, load_settings
from shared.workflows.announcing import Announcer, Publisher

configure_logs(os.environ)


@event_handler
def handle_registry_push(event: CloudEvent) -> Outcome:
    """Publish the image that was pushed under a tag; ignore every other change."""
    message = PubsubMessage.from_cloud_event(event)
    push = RegistryPush.from_message(message)
    request = push.request
    if request is None:
        reason = "nothing was pushed" if push.action != INSERT else "what was pushed has no tag"
        return ignored(reason, action=push.action)
    details: dict[str, Any] = {"cause": push.cause.as_json()}
    if push.is_attachment:
        return ignored("what was pushed is a signature or the like", **details)
    settings = _settings()
    if trace_upstream(request.reference, settings.project, settings.mirror_hosts) is not None:
        return ignored("our own mirror fetched it, because somebody pulls it", **details)
    max_age = timedelta(hours=settings.max_event_age_hours)
    if is_too_old(message.publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD, **details)
    return Announcer(_publisher, Selection(settings.include, settings.exclude)).announce(
        [request], **details
    )


@functools.cache
def _settings() -> Settings:
    return load_settings(os.environ)


@functools.cache
def _publisher() -> Publisher:
    """Make the real client, once an instance, and only when there is something to publish."""
    from shared.clients.endpoints import Endpoints
    from shared.clients.pubsub import ReferencePublisher

    return ReferencePublisher(
        _settings().deployment_project, emulator_host=Endpoints.from_environ(os.environ).pubsub
    )
