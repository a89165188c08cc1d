"""Spread a reference that names no cluster over the watched ones: the cache is regional."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from shared.domain.clusters import Cluster, ClusterName, is_watched
from shared.domain.outcomes import Outcome, ignored
from shared.domain.requests import ReferenceRequest
from shared.settings import Settings


class Directory(Protocol):
    """Knows the clusters of a project."""

    def list_clusters(self, project: str) -> Iterable[Cluster]: ...  # noqa: D102


class Publisher(Protocol):
    """Publishes references."""

    def publish(self, requests: Sequence[ReferenceRequest]) -> None: ...  # noqa: D102


class Spreading:
    """Publishes a reference again, once for each region or cluster."""

    def __init__(self, settings: Settings, *, directory: Directory, publisher: Publisher) -> None:
        self._settings = settings
        self._directory = directory
        self._publisher = publisher

    def spread(self, request: ReferenceRequest) -> Outcome:
        """
        Publish one message for one watched cluster of every region.

        Raises:
            TransientError: The Container API or Pub/Sub is unavailable.
            ConfigurationError: One of them refuses our identity.
        """
        chosen = self._choose(request)
        if not chosen:
            return ignored("no cluster is watched", image=request.image)
        self._publisher.publish([replace(request, cluster=str(name)) for name in chosen])
        return Outcome(
            "handled", {"image": request.image, "published": [str(name) for name in chosen]}
        )

    def _choose(self, request: ReferenceRequest) -> list[ClusterName]:
        names = sorted(find_watched(self._settings, self._directory), key=str)
        if self._settings.spread == "cluster":
            return names
        regions: dict[str, list[ClusterName]] = defaultdict(list)
        for name in names:
            regions[name.region].append(name)
        # By a hash of the reference, so that it is the same cluster each time.
        number = int(hashlib.sha256(str(request.reference).encode()).hexdigest(), 16)
        return [members[number % len(members)] for members in regions.values()]


def find_watched(settings: Settings, directory: Directory) -> list[ClusterName]:
    """
    Return the clusters that the configuration watches; the Container API finds what it must.

    Raises:
        TransientError: The Container API is unavailable.
        ConfigurationError: It refuses our identity.
    """
    if settings.clusters != "auto" and all("/" in name for name in settings.clusters):
        return [ClusterName.parse(name) for name in settings.clusters]
    found = directory.list_clusters(settings.deployment_project)
    if settings.clusters == "auto":
        return [each.name for each in found if each.has_accelerators or each.is_autopilot]
    named = [ClusterName.parse(name) for name in settings.clusters if "/" in name]
    listed = [each.name for each in found if is_watched(str(each.name), settings.clusters)]
    return [*{*named, *listed}]
