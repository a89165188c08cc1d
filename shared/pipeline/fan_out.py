"""
Take a message to its cluster; one that names no cluster is published again for those watched.

A reference is published for one cluster of each region, because the streaming cache is regional.
"""

import hashlib
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.domain.cluster import Cluster, ClusterName, UnknownClusterError, is_near
from shared.domain.disposition import NOT_WATCHED, TOO_OLD, Outcome, ignored, is_too_old
from shared.domain.mirror import location_of
from shared.domain.request import Delivery, ReferenceRequest
from shared.errors import ClusterRefusedError
from shared.pipeline.watched_clusters import find_watched, is_watched

if TYPE_CHECKING:
    from shared.messages.pubsub_message import PubsubMessage
    from shared.messages.tick import Tick
    from shared.pipeline.ports import Directory, SweepServices, WarmupServices
    from shared.settings.keys import Settings

_MAX_FALLBACKS = 2
"""A delivery does not have time for more clusters that do not answer."""


def route_request(
    request: ReferenceRequest, message: "PubsubMessage", services: "WarmupServices"
) -> Outcome:
    """
    Warm the image in the cluster that the request names, or publish it for each region.

    Raises:
        EventError: A service that is needed is unavailable, or refuses our identity.
    """
    settings = services.settings
    if _is_too_old(message, settings):
        return ignored(TOO_OLD, image=request.image)
    if request.cluster is None:
        return fan_out_request(request, services)
    cluster = ClusterName.parse(request.cluster)
    delivery = Delivery(request, message.message_id, message.publish_time)
    try:
        if not is_watched(cluster, settings, services.directory):
            return ignored(NOT_WATCHED, image=request.image, cluster=request.cluster)
        return services.warmer.warm(delivery, cluster)
    except UnknownClusterError as exc:
        return ignored(str(exc), image=request.image)
    except ClusterRefusedError as exc:
        return ignored(str(exc), image=request.image, cluster=request.cluster)


def route_tick(tick: "Tick", message: "PubsubMessage", services: "SweepServices") -> Outcome:
    """
    Sweep the cluster that the tick names, or publish a tick for each that is watched.

    Raises:
        EventError: A service that is needed is unavailable, or refuses our identity.
    """
    if _is_too_old(message, services.settings):
        return ignored(TOO_OLD)
    if tick.cluster is None:
        return fan_out_tick(services)
    name = ClusterName.parse(tick.cluster)
    try:
        if not is_watched(name, services.settings, services.directory):
            return ignored(NOT_WATCHED, cluster=tick.cluster)
        cluster = services.directory.connect(name)
        return services.sweeper.sweep(cluster, message.message_id, message.publish_time)
    except UnknownClusterError as exc:
        return ignored(str(exc), cluster=tick.cluster)
    except ClusterRefusedError as exc:
        return services.sweeper.report_refusal(name, message.message_id, message.publish_time, exc)


def fan_out_request(request: ReferenceRequest, services: "WarmupServices") -> Outcome:
    """
    Publish a request for one watched cluster of every region.

    Raises:
        TransientError: The Container API or Pub/Sub is unavailable.
        ConfigurationError: One of them refuses our identity.
    """
    settings = services.settings
    chosen = _choose(request, settings, services.directory)
    if not chosen:
        return ignored("no cluster is watched", image=request.image)
    if request.placement is not None:
        # Warmups use no other keys of the placement.
        reduced = request.placement.reduced_to(settings.placement_keys)
        request = replace(request, placement=reduced)
    services.publisher.publish(
        [replace(request, cluster=name, fallbacks=tuple(others)) for name, *others in chosen]
    )
    published = [name for name, *_ in chosen]
    return Outcome("handled", {"image": request.image, "published": published})


def fan_out_tick(services: "SweepServices") -> Outcome:
    """
    Publish one tick per watched cluster, so that a cluster that does not answer blocks no other.

    Raises:
        TransientError: The Container API or Pub/Sub is unavailable.
        ConfigurationError: One of them refuses our identity.
    """
    from shared.messages.tick import Tick

    clusters = find_watched(services.settings, services.directory)
    names = [str(each.name) for each in clusters]
    if not names:
        return ignored("no cluster is watched")
    services.tick_publisher.publish([Tick(name) for name in names])
    # Nodes of these pools do not stream, which the log line shows.
    cold = [f"{each.name}/nodePools/{pool}" for each in clusters for pool in each.cold_pools]
    return Outcome("handled", {"published": names, "without_streaming": cold})


def _is_too_old(message: "PubsubMessage", settings: "Settings") -> bool:
    max_age = timedelta(hours=settings.max_event_age_hours)
    return is_too_old(message.publish_time, datetime.now(UTC), max_age)


def _choose(
    request: ReferenceRequest, settings: "Settings", directory: "Directory"
) -> list[list[str]]:
    """Return the clusters to warm in, each followed by those that can take its place."""
    watched = sorted(find_watched(settings, directory), key=lambda each: str(each.name))
    clusters = _find_near(request, settings, watched)
    if settings.spread == "cluster":
        return [[str(each.name)] for each in clusters]
    regions: dict[str, list[Cluster]] = defaultdict(list)
    for each in clusters:
        regions[each.name.region].append(each)
    # By a hash of the reference, so that it is the same order each time.
    number = int(hashlib.sha256(str(request.reference).encode()).hexdigest(), 16)
    members = [_that_stream(each) for each in regions.values()]
    return [_rotate(each, number % len(each)) for each in members]


def _find_near(
    request: ReferenceRequest, settings: "Settings", clusters: list[Cluster]
) -> list[Cluster]:
    """
    Leave out clusters whose nodes cannot stream the image from where it is.

    All remain if no cluster can stream it, or if Artifact Registry may prewarm the image there.
    """
    location = location_of(request.reference)
    if location is None:
        return clusters
    # Most references are of upstreams.
    from shared.domain.ladder import PREWARM_RUNG
    from shared.domain.mirror_reference import trace_upstream

    if PREWARM_RUNG in settings.ladder:
        return clusters
    if trace_upstream(request.reference, settings.project, settings.mirror_hosts):
        # Each region has a mirror of the upstream.
        return clusters
    return [each for each in clusters if is_near(location, each.name.location)] or clusters


def _rotate(clusters: list[Cluster], start: int) -> list[str]:
    """Return the names of the cluster at an index and of those behind it, around the end."""
    ordered = [*clusters[start:], *clusters[:start]]
    return [str(each.name) for each in ordered[: 1 + _MAX_FALLBACKS]]


def _that_stream(clusters: list[Cluster]) -> list[Cluster]:
    """Leave out clusters whose nodes do not fill the region's cache, unless there are no others."""
    return [each for each in clusters if each.streams] or clusters
