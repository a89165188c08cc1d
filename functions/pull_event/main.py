"""Write the reports of nodes and Jobs as facts."""

import functools
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cloudevents.http import CloudEvent

from shared.domain.disposition import TOO_OLD, Irrelevant, Outcome, ignored, is_too_old
from shared.messages.node_event import parse_log_entry
from shared.messages.pubsub_message import PubsubMessage
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs

if TYPE_CHECKING:
    from shared.pipeline.observe import Observer
    from shared.settings.keys import Settings

configure_logs(os.environ)


@event_handler
def handle_pull_event(event: CloudEvent) -> Outcome:
    """Write the fact of an entry of GKE's logs, if it is relevant."""
    message = PubsubMessage.from_cloud_event(event)
    reported = parse_log_entry(message.data)
    if isinstance(reported, Irrelevant):
        return ignored(reported.reason)
    from shared.domain.cluster import UnknownClusterError

    max_age = timedelta(hours=_settings().max_event_age_hours)
    if is_too_old(message.publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD)
    try:
        return _observer().observe(reported)
    except UnknownClusterError as exc:
        return ignored(str(exc))


@functools.cache
def _settings() -> "Settings":
    """Load the settings once per instance; an irrelevant entry needs none."""
    from shared.settings.keys import load_settings

    return load_settings(os.environ)


@functools.cache
def _observer() -> "Observer":
    """Wire the clients, once per instance; each connects when it is first used."""
    from shared.clients.container_api import ClusterDirectory
    from shared.clients.endpoint import Endpoints
    from shared.clients.fact_log import FactLog, leave_out_grpc
    from shared.pipeline.execute import Executor
    from shared.pipeline.observe import Observer

    leave_out_grpc(os.environ)
    settings, endpoints = _settings(), Endpoints.from_environ(os.environ)
    facts = FactLog(settings.deployment_project, emulator_host=endpoints.logging)
    return Observer(
        settings,
        connect=ClusterDirectory(endpoints, namespace=settings.namespace).connect,
        execute=Executor(facts, dry_run=settings.dry_run),
    )
