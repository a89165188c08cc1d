"""Image references: ensure the mirror, resolve the digest, and launch the warmup."""

import functools
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cloudevents.http import CloudEvent

from shared.clients.endpoint import Endpoints
from shared.domain.cluster import ClusterName, UnknownClusterError, is_watched
from shared.domain.disposition import TOO_OLD, Outcome, ignored, is_too_old
from shared.messages.image_request import parse_reference_request
from shared.messages.pubsub_message import PubsubMessage
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs
from shared.settings.keys import Settings, load_settings

if TYPE_CHECKING:
    from shared.clients.fact_log import FactLog
    from shared.pipeline.execute import Executor
    from shared.pipeline.fan_out import Spreading
    from shared.pipeline.prewarm_artifact import PrewarmRung
    from shared.pipeline.warm import Warmer

configure_logs(os.environ)


@event_handler
def handle_image_reference(event: CloudEvent) -> Outcome:
    """Warm the image in the cluster that the message names, or spread the reference."""
    message = PubsubMessage.from_cloud_event(event)
    request = parse_reference_request(message)
    settings = _settings()
    max_age = timedelta(hours=settings.max_event_age_hours)
    if is_too_old(message.publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD, image=request.image)
    if request.cluster is None:
        return _spreading().spread(request)
    if not is_watched(request.cluster, settings.clusters):
        return ignored("the cluster is not watched", image=request.image, cluster=request.cluster)
    from shared.pipeline.warm import Delivery

    delivery = Delivery(request, message.message_id, message.publish_time)
    try:
        return _warmer().warm(delivery, ClusterName.parse(request.cluster))
    except UnknownClusterError as exc:
        return ignored(str(exc), image=request.image)


@functools.cache
def _settings() -> Settings:
    return load_settings(os.environ)


@functools.cache
def _endpoints() -> Endpoints:
    return Endpoints.from_environ(os.environ)


@functools.cache
def _warmer() -> "Warmer":
    """Wire the clients, once per instance; each connects when it is first used."""
    from shared.clients.artifact_registry import ArtifactRegistry
    from shared.clients.container_api import ClusterDirectory
    from shared.clients.fact_log import FactLog, leave_out_grpc
    from shared.clients.registry import RegistryClient
    from shared.domain.ladder import PREWARM_RUNG
    from shared.pipeline.execute import Executor
    from shared.pipeline.mirror_lookup import Mirrors
    from shared.pipeline.warm import Warmer
    from shared.pipeline.warmup_lookup import WarmupLookup

    leave_out_grpc(os.environ)
    settings, endpoints = _settings(), _endpoints()
    facts = FactLog(settings.deployment_project, emulator_host=endpoints.logging)
    repositories = ArtifactRegistry(emulator_host=endpoints.artifact_registry)
    execute = Executor(facts, dry_run=settings.dry_run)
    mirrors = Mirrors(
        settings,
        registry=RegistryClient(emulator_host=endpoints.artifact_registry),
        repositories=lambda: repositories,
        execute=execute,
    )
    prewarm = _prewarm_rung(facts) if PREWARM_RUNG in settings.ladder else None
    return Warmer(
        settings,
        lookup=WarmupLookup(settings, mirrors, prewarm),
        connect=ClusterDirectory(endpoints, namespace=settings.namespace).connect,
        execute=execute,
        report=_report_job,
    )


def _report_job(cluster: Any, body: Mapping[str, Any], execute: "Executor") -> object:
    """Write the fact of a Job that ended, before another Job replaces it."""
    from shared.pipeline.report_warmup import report_job

    return report_job(cluster, body, execute)


def _prewarm_rung(facts: "FactLog") -> "PrewarmRung":
    from shared.clients.prewarm_api import PrewarmingClient
    from shared.pipeline.execute import Executor
    from shared.pipeline.prewarm_artifact import PrewarmRung

    settings = _settings()
    api = PrewarmingClient(emulator_host=_endpoints().artifact_registry)
    execute = Executor(facts, prewarm_api=api, dry_run=settings.dry_run)
    return PrewarmRung(api, execute, settings.prewarm_days)


@functools.cache
def _spreading() -> "Spreading":
    from shared.clients.container_api import ClusterDirectory
    from shared.clients.publisher import ReferencePublisher
    from shared.pipeline.fan_out import Spreading

    settings, endpoints = _settings(), _endpoints()
    return Spreading(
        settings,
        directory=ClusterDirectory(endpoints, namespace=settings.namespace),
        publisher=ReferencePublisher(settings.deployment_project, emulator_host=endpoints.pubsub),
    )
