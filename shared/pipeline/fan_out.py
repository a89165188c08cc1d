"""Spread a reference that names no cluster over the watched ones: the cache is regional."""

import hashlib
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.domain.cluster import Cluster, ClusterName, is_watched
from shared.domain.disposition import Outcome, ignored
from shared.domain.request import ReferenceRequest
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import Directory, Publisher


class Spreading:
    """Publishes a reference again, once for each region or cluster."""

    def __init__(
        self, settings: Settings, *, directory: "Directory", publisher: "Publisher"
    ) -> None:
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
        if request.placement is not None:
            # Warmups follow no more of it, so no more of it is sent on.
            reduced = request.placement.reduced_to(self._settings.placement_keys)
            request = replace(request, placement=reduced)
        self._publisher.publish([replace(request, cluster=str(name)) for name in chosen])
        return Outcome(
            "handled", {"image": request.image, "published": [str(name) for name in chosen]}
        )

    def _choose(self, request: ReferenceRequest) -> list[ClusterName]:
        clusters = sorted(
            find_watched(self._settings, self._directory), key=lambda each: str(each.name)
        )
        if self._settings.spread == "cluster":
            return [each.name for each in clusters]
        regions: dict[str, list[Cluster]] = defaultdict(list)
        for each in clusters:
            regions[each.name.region].append(each)
        # By a hash of the reference, so that it is the same cluster each time.
        number = int(hashlib.sha256(str(request.reference).encode()).hexdigest(), 16)
        members = [_that_stream(each) for each in regions.values()]
        return [each[number % len(each)].name for each in members]


def _that_stream(clusters: list[Cluster]) -> list[Cluster]:
    """Leave out clusters whose nodes do not fill the region's cache, unless there are no others."""
    return [each for each in clusters if each.streams] or clusters


def find_watched(settings: Settings, directory: "Directory") -> list[Cluster]:
    """
    Return the clusters that the configuration watches; the Container API finds what it must.

    Of a cluster that is listed by its full name no more is known than that.

    Raises:
        TransientError: The Container API is unavailable.
        ConfigurationError: It refuses our identity.
    """
    listed = () if settings.clusters == "auto" else settings.clusters
    named = {ClusterName.parse(name) for name in listed if "/" in name}
    if listed and len(named) == len(listed):
        return [Cluster(name) for name in named]
    # The functions' own project first, each project once.
    projects = dict.fromkeys((settings.deployment_project, *settings.projects))
    found = [each for project in projects for each in directory.list_clusters(project)]
    if not listed:
        return [each for each in found if each.has_accelerators or each.is_autopilot]
    known = {each.name for each in found}
    watched = [each for each in found if is_watched(str(each.name), listed)]
    return [*watched, *(Cluster(name) for name in named - known)]
