"""The schedule: keep warm what is in use, and heal what a lost event left behind."""

import functools
import os
from datetime import UTC, datetime, timedelta

from cloudevents.http import CloudEvent

from shared.clients.container_api import ClusterDirectory
from shared.clients.deadline import SWEEP_S
from shared.clients.endpoint import Endpoints
from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.domain.disposition import TOO_OLD, Outcome, ignored, is_too_old
from shared.messages.pubsub_message import PubsubMessage
from shared.messages.tick import Tick, parse_tick
from shared.pipeline.fan_out import find_watched
from shared.pipeline.sweep.due import Sweeping
from shared.runtime.handler import timed_handler
from shared.runtime.log_line import configure_logs
from shared.settings.keys import Settings, load_settings

configure_logs(os.environ)


@timed_handler(SWEEP_S)
def handle_scheduled_sweep(event: CloudEvent) -> Outcome:
    """Sweep the cluster that the tick names, or send a tick for each that is watched."""
    message = PubsubMessage.from_cloud_event(event)
    tick = parse_tick(message)
    settings = _settings()
    max_age = timedelta(hours=settings.max_event_age_hours)
    if is_too_old(message.publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD)
    if tick.cluster is None:
        return _spread()
    try:
        cluster = _directory().connect(ClusterName.parse(tick.cluster))
        return _sweeping().sweep(cluster, message.message_id, message.publish_time)
    except UnknownClusterError as exc:
        return ignored(str(exc), cluster=tick.cluster)


def _spread() -> Outcome:
    """Send one tick for each cluster, so that one that does not answer blocks no other."""
    from shared.clients.publisher import TickPublisher

    clusters = find_watched(_settings(), _directory())
    names = [str(each.name) for each in clusters]
    if not names:
        return ignored("no cluster is watched")
    publisher = TickPublisher(_settings().deployment_project, emulator_host=_endpoints().pubsub)
    publisher.publish([Tick(name) for name in names])
    # Nodes there pull as ever: whoever looks for the reason finds it here.
    cold = [f"{each.name}/nodePools/{pool}" for each in clusters for pool in each.cold_pools]
    return Outcome("handled", {"published": names, "without_streaming": cold})


@functools.cache
def _settings() -> Settings:
    return load_settings(os.environ)


@functools.cache
def _endpoints() -> Endpoints:
    return Endpoints.from_environ(os.environ)


@functools.cache
def _directory() -> ClusterDirectory:
    return ClusterDirectory(_endpoints(), namespace=_settings().namespace)


@functools.cache
def _sweeping() -> Sweeping:
    """Wire the clients, once per instance; each connects when it is first used."""
    from shared.clients.artifact_registry import ArtifactRegistry
    from shared.clients.fact_log import FactLog, leave_out_grpc
    from shared.clients.prewarm_api import PrewarmingClient
    from shared.clients.publisher import ReferencePublisher
    from shared.clients.registry import RegistryClient
    from shared.pipeline.mirror_lookup import Mirrors
    from shared.pipeline.plan_warmup import Launcher
    from shared.pipeline.prewarm_artifact import Prewarming
    from shared.pipeline.report_warmup import Reporting

    leave_out_grpc(os.environ)
    settings, endpoints = _settings(), _endpoints()
    reporting = Reporting(
        FactLog(settings.deployment_project, emulator_host=endpoints.logging),
        marks=not settings.dry_run,
    )
    repositories = ArtifactRegistry(emulator_host=endpoints.artifact_registry)
    mirrors = Mirrors(
        # Making them is for image_reference alone.
        settings.without_changes(),
        registry=RegistryClient(emulator_host=endpoints.artifact_registry),
        repositories=lambda: repositories,
    )
    return Sweeping(
        settings,
        mirrors=mirrors,
        launcher=Launcher(
            settings,
            mirrors=mirrors,
            report=reporting.report_job,
            prewarming=Prewarming(
                settings,
                api=PrewarmingClient(emulator_host=endpoints.artifact_registry),
                write=reporting.write,
            ),
        ),
        reporting=reporting,
        publisher=lambda: ReferencePublisher(
            settings.deployment_project, emulator_host=endpoints.pubsub
        ),
    )
