"""Image references: ensure the mirror, resolve the digest, and launch the warmup."""

import functools
import os
from datetime import UTC, datetime, timedelta

from cloudevents.http import CloudEvent

from shared.clients.endpoints import Endpoints
from shared.domain.ages import TOO_OLD, is_too_old
from shared.domain.clusters import ClusterName, UnknownClusterError, is_watched
from shared.domain.outcomes import Outcome, ignored
from shared.events.pubsub import PubsubMessage
from shared.events.references import parse_reference_request
from shared.runtime.handlers import event_handler
from shared.runtime.logs import configure_logs
from shared.settings import Settings, load_settings
from shared.workflows.spreading import Spreading
from shared.workflows.warming import Delivery, Warming

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
def _warming() -> Warming:
    """Wire the clients, once per instance; each connects when it is first used."""
    from shared.clients.artifact_registry import ArtifactRegistry
    from shared.clients.cloud_logging import FactLog
    from shared.clients.clusters import ClusterDirectory
    from shared.clients.prewarming import PrewarmingClient
    from shared.clients.registries import RegistryClient
    from shared.workflows.launching import Launcher
    from shared.workflows.mirroring import Mirrors
    from shared.workflows.prewarming import Prewarming
    from shared.workflows.reporting import Reporting

    settings, endpoints = _settings(), _endpoints()
    facts = FactLog(settings.deployment_project, emulator_host=endpoints.logging)
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
            report=Reporting(facts).report_job,
            prewarming=Prewarming(
                settings,
                api=PrewarmingClient(emulator_host=endpoints.artifact_registry),
                write=facts.write,
            ),
        ),
        connect=ClusterDirectory(endpoints, namespace=settings.namespace).connect,
        facts=facts,
    )


@functools.cache
def _spreading() -> Spreading:
    from shared.clients.clusters import ClusterDirectory
    from shared.clients.pubsub import ReferencePublisher

    settings, endpoints = _settings(), _endpoints()
    return Spreading(
        settings,
        directory=ClusterDirectory(endpoints, namespace=settings.namespace),
        publisher=ReferencePublisher(settings.deployment_project, emulator_host=endpoints.pubsub),
    )
