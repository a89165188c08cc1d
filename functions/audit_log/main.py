"""GKE's audit log: publish a reference to each image that a workload asks for."""

import functools
import os
from datetime import UTC, datetime, timedelta

from cloudevents.http import CloudEvent

from shared.domain.ages import TOO_OLD, is_too_old
from shared.domain.outcomes import Outcome, ignored
from shared.domain.selection import Selection
from shared.domain.workloads import find_pod_specs
from shared.events.audit_logs import LogEntry, Scope
from shared.events.pubsub import PubsubMessage
from shared.runtime.handlers import event_handler
from shared.runtime.logs import configure_logs
from shared.settings import Settings, load_settings
from shared.workflows.announcing import Announcer, Publisher

configure_logs(os.environ)


@event_handler
def handle_audit_log(event: CloudEvent) -> Outcome:
    """Publish the images of a workload that was created or changed."""
    message = PubsubMessage.from_cloud_event(event)
    entry = LogEntry.from_message(message)
    details = {"cause": entry.cause.as_json()}
    settings = _settings()
    max_age = timedelta(hours=settings.max_event_age_hours)
    if is_too_old(message.publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD, **details)
    scope = Scope(settings.namespace, settings.system_namespaces, settings.clusters)
    if reason := entry.reason_to_ignore(scope):
        return ignored(reason, **details)
    pods = find_pod_specs(entry.body)
    wanted = [pod for pod in pods if _selection().wants(pod)]
    if not wanted:
        reason = "no pod asks for an accelerator" if pods else "the object names no image"
        return ignored(reason, **details)
    return Announcer(_publisher, _selection()).announce(
        entry.requests(wanted, settings.placement_keys),
        invalid_images=sum(pod.invalid_images for pod in wanted),
        cluster=entry.cluster,
        **details,
    )


@functools.cache
def _settings() -> Settings:
    return load_settings(os.environ)


@functools.cache
def _selection() -> Selection:
    settings = _settings()
    return Selection(settings.include, settings.exclude, settings.accelerators_only)


@functools.cache
def _publisher() -> Publisher:
    """Make the real client, once an instance, and only when there is something to publish."""
    from shared.clients.endpoints import Endpoints
    from shared.clients.pubsub import ReferencePublisher

    return ReferencePublisher(
        _settings().deployment_project, emulator_host=Endpoints.from_environ(os.environ).pubsub
    )
