"""Cloud Build's messages: publish a reference to each image that a build pushed."""

import functools
import os
from datetime import UTC, datetime, timedelta

from cloudevents.http import CloudEvent

from shared.domain.ages import TOO_OLD, is_too_old
from shared.domain.outcomes import Outcome, ignored
from shared.domain.selection import Selection
from shared.events.builds import SUCCESS, BuildNotification
from shared.events.pubsub import PubsubMessage
from shared.runtime.handlers import event_handler
from shared.runtime.logs import configure_logs
from shared.settings import Settings, load_settings
from shared.workflows.announcing import Announcer, Publisher

configure_logs(os.environ)


@event_handler
def handle_build_notification(event: CloudEvent) -> Outcome:
    """Publish the images of a successful build; ignore every other state."""
    message = PubsubMessage.from_cloud_event(event)
    build = BuildNotification.from_message(message)
    details = {"cause": build.cause.as_json(), "status": build.status}
    if build.status != SUCCESS:
        return ignored("the build has not succeeded", **details)
    if not build.pushed and not build.invalid_images:
        return ignored("the build pushed no image", **details)
    max_age = timedelta(hours=_settings().max_event_age_hours)
    if is_too_old(message.publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD, **details)
    return _announcer().announce(build.requests, invalid_images=build.invalid_images, **details)


@functools.cache
def _settings() -> Settings:
    return load_settings(os.environ)


@functools.cache
def _announcer() -> Announcer:
    settings = _settings()
    return Announcer(_publisher, Selection(settings.include, settings.exclude))


@functools.cache
def _publisher() -> Publisher:
    """Make the real client, once an instance, and only when there is something to publish."""
    from shared.clients.endpoints import Endpoints
    from shared.clients.pubsub import ReferencePublisher

    return ReferencePublisher(
        _settings().deployment_project, emulator_host=Endpoints.from_environ(os.environ).pubsub
    )
