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
    from shared.pipeline.fan_out import Spreading
    from shared.pipeline.prewarm_artifact import Prewarming
    from shared.pipeline.warm import Warming

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
        return _warming().warm(delivery, ClusterName.parse(request.cluster))
    except UnknownClusterError as exc:
        return ignored(str(exc), image=request.image)


@functools.cache
def _settings() -> Settings:
    return load_settings(os.environ)


@functools.cache
def _endpoints() -> Endpoints:
    return Endpoints.from_environ(os.environ)


@functools.cache
def _warming() -> "Warming":
    """Wire the clients, once per instance; each connects when it is first used."""
    from shared.clients.artifact_registry import ArtifactRegistry
    from shared.clients.container_api import ClusterDirectory
    from shared.clients.registry import RegistryClient
    from shared.domain.ladder import PREWARM_RUNG
    from shared.pipeline.mirror_lookup import Mirrors
    from shared.pipeline.plan_warmup import Launcher
    from shared.pipeline.warm import Warming

    settings, endpoints = _settings(), _endpoints()
    repositories = ArtifactRegistry(emulator_host=endpoints.artifact_registry)
    mirrors = Mirrors(
        settings,
        registry=RegistryClient(emulator_host=endpoints.artifact_registry),
        repositories=lambda: repositories,
    )
    return Warming(
        settings,
        mirrors=mirrors,
        launcher=Launcher(
            settings,
            mirrors=mirrors,
            report=_report_job,
            prewarming=_prewarming() if PREWARM_RUNG in settings.ladder else None,
        ),
        connect=ClusterDirectory(endpoints, namespace=settings.namespace).connect,
        facts=_facts(),
    )


@functools.cache
def _facts() -> "FactLog":
    from shared.clients.fact_log import FactLog, leave_out_grpc

    leave_out_grpc(os.environ)
    return FactLog(_settings().deployment_project, emulator_host=_endpoints().logging)


def _report_job(cluster: Any, body: Mapping[str, Any]) -> object:
    """Write the fact of a Job that ended, before another takes its place."""
    from shared.pipeline.report_warmup import Reporting

    return Reporting(_facts()).report_job(cluster, body)


def _prewarming() -> "Prewarming":
    from shared.clients.prewarm_api import PrewarmingClient
    from shared.pipeline.prewarm_artifact import Prewarming

    api = PrewarmingClient(emulator_host=_endpoints().artifact_registry)
    return Prewarming(_settings(), api=api, write=_facts().write)


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
