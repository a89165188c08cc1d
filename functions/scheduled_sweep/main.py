"""Keep images in use warm, and repair what a lost event left behind."""

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
from shared.pipeline.sweep.sweep_cluster import Sweeper
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
        return _sweeper().sweep(cluster, message.message_id, message.publish_time)
    except UnknownClusterError as exc:
        return ignored(str(exc), cluster=tick.cluster)


def _spread() -> Outcome:
    """Publish one tick per cluster, so that a cluster that does not answer blocks no other."""
    from shared.clients.publisher import TickPublisher

    clusters = find_watched(_settings(), _directory())
    names = [str(each.name) for each in clusters]
    if not names:
        return ignored("no cluster is watched")
    publisher = TickPublisher(_settings().deployment_project, emulator_host=_endpoints().pubsub)
    publisher.publish([Tick(name) for name in names])
    # Nodes of these pools do not stream, which the log line shows.
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
def _sweeper() -> Sweeper:
    """Wire the clients, once per instance; each connects when it is first used."""
    from shared.clients.artifact_registry import ArtifactRegistry
    from shared.clients.fact_log import FactLog, leave_out_grpc
    from shared.clients.prewarm_api import PrewarmingClient
    from shared.clients.publisher import ReferencePublisher
    from shared.clients.registry import RegistryClient
    from shared.pipeline.execute import Executor
    from shared.pipeline.mirror_lookup import Mirrors
    from shared.pipeline.prewarm_artifact import PrewarmRung

    leave_out_grpc(os.environ)
    settings, endpoints = _settings(), _endpoints()
    repositories = ArtifactRegistry(emulator_host=endpoints.artifact_registry)
    prewarm_api = PrewarmingClient(emulator_host=endpoints.artifact_registry)
    execute = Executor(
        FactLog(settings.deployment_project, emulator_host=endpoints.logging),
        publisher=lambda: ReferencePublisher(
            settings.deployment_project, emulator_host=endpoints.pubsub
        ),
        prewarm_api=prewarm_api,
        dry_run=settings.dry_run,
    )
    mirrors = Mirrors(
        settings,
        registry=RegistryClient(emulator_host=endpoints.artifact_registry),
        repositories=lambda: repositories,
        # Only image_reference creates mirrors.
        execute=Executor(dry_run=True),
    )
    prewarm = PrewarmRung(prewarm_api, execute, settings.prewarm_days)
    return Sweeper(settings, mirrors=mirrors, execute=execute, prewarm=prewarm)
