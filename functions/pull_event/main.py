"""What nodes and Jobs report: write it down as facts."""

import functools
import os
from datetime import UTC, datetime, timedelta

from cloudevents.http import CloudEvent

from shared.clients.endpoints import Endpoints
from shared.domain.ages import TOO_OLD, is_too_old
from shared.domain.clusters import UnknownClusterError
from shared.domain.outcomes import Outcome, ignored
from shared.domain.reports import Irrelevant
from shared.events.node_events import parse_log_entry
from shared.events.pubsub import PubsubMessage
from shared.runtime.handlers import event_handler
from shared.runtime.logs import configure_logs
from shared.settings import Settings, load_settings
from shared.workflows.observing import Observing

configure_logs(os.environ)


@event_handler
def handle_pull_event(event: CloudEvent) -> Outcome:
    """Write the fact that an entry of GKE's logs tells of, if it tells of one."""
    message = PubsubMessage.from_cloud_event(event)
    reported = parse_log_entry(message.data)
    if isinstance(reported, Irrelevant):
        return ignored(reported.reason)
    max_age = timedelta(hours=_settings().max_event_age_hours)
    if is_too_old(message.publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD)
    try:
        return _observing().observe(reported)
    except UnknownClusterError as exc:
        return ignored(str(exc))


@functools.cache
def _settings() -> Settings:
    return load_settings(os.environ)


@functools.cache
def _observing() -> Observing:
    """Wire the clients, once per instance; each connects when it is first used."""
    from shared.clients.cloud_logging import FactLog
    from shared.clients.clusters import ClusterDirectory
    from shared.workflows.reporting import Reporting

    settings, endpoints = _settings(), Endpoints.from_environ(os.environ)
    facts = FactLog(settings.deployment_project, emulator_host=endpoints.logging)
    return Observing(
        settings,
        connect=ClusterDirectory(endpoints, namespace=settings.namespace).connect,
        facts=facts,
        reporting=Reporting(facts, marks=not settings.dry_run),
    )
