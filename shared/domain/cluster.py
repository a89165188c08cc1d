"""Clusters: their names, their regions, and the location of their mirrors."""

import re
from dataclasses import dataclass
from typing import Self

_NAME = re.compile(
    r"projects/((?:[a-z0-9][a-z0-9.-]*:)?[a-z0-9][a-z0-9-]*)"
    r"/locations/([a-z0-9][a-z0-9-]*)/clusters/([a-z0-9][a-z0-9-]*)"
)
"""The name becomes part of hosts and paths of Google's APIs, so only valid names match."""
_ZONE = re.compile(r"([a-z]+-[a-z]+[0-9]+)-[a-z]")
_MULTI_REGIONS = {"us": "us", "europe": "europe", "asia": "asia"}


class UnknownClusterError(Exception):
    """The cluster does not exist (any more)."""


@dataclass(frozen=True, slots=True)
class ClusterName:
    """``projects/P/locations/L/clusters/C``."""

    project: str
    location: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Parse a cluster's full resource name.

        Raises:
            ValueError: The text is not such a name.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            raise ValueError(f"not projects/P/locations/L/clusters/C: {text!r}")
        return cls(*found.groups())

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/clusters/{self.name}"

    @property
    def context(self) -> str:
        """The name that gcloud gives the cluster's context in a kubeconfig."""
        return f"gke_{self.project}_{self.location}_{self.name}"

    @property
    def region(self) -> str:
        """The region; its nodes use the streaming cache of this region."""
        return region_of(self.location)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that may be watched."""

    name: ClusterName
    is_autopilot: bool = False
    has_accelerators: bool = False
    cold_pools: tuple[str, ...] = ()
    """Pools with accelerators on which image streaming is off."""
    streams: bool = True
    """False if image streaming is off on every pool with accelerators: none uses the cache."""

    @property
    def runs_accelerators(self) -> bool:
        """Whether ``clusters: auto`` watches the cluster."""
        return self.has_accelerators or self.is_autopilot


def is_listed(name: str, clusters: str | tuple[str, ...]) -> bool:
    """
    Whether the configuration's ``clusters`` lists a cluster, in full or by its last part.

    ``auto`` lists none, and rules none out: ``is_watched`` of the pipeline decides then.

    >>> is_listed("projects/p/locations/l/clusters/gpu", ("gpu",))
    True
    """
    if clusters == "auto":
        return True
    return name in clusters or name.rpartition("/")[2] in clusters


def region_of(location: str) -> str:
    """
    Return the region of a cluster's location, which may be one of its zones.

    >>> region_of("us-central1-a"), region_of("europe-west4")
    ('us-central1', 'europe-west4')
    """
    zone = _ZONE.fullmatch(location)
    return zone[1] if zone else location


def mirror_location(setting: str, cluster_location: str) -> str:
    """
    Return the location of the mirrors for a cluster.

    Streaming needs the cluster's region, or the multi-region that contains it. For a region
    outside every multi-region, ``multi-region`` means the region.

    >>> mirror_location("multi-region", "us-central1-a")
    'us'
    >>> mirror_location("multi-region", "southamerica-east1")
    'southamerica-east1'
    """
    region = region_of(cluster_location)
    if setting == "region":
        return region
    if setting == "multi-region":
        return _MULTI_REGIONS.get(region.partition("-")[0], region)
    return setting


def is_near(location: str, cluster_location: str) -> bool:
    """
    Whether nodes stream from a location: it is their region, or a multi-region that contains it.

    https://docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming#requirements

    >>> is_near("us", "us-central1-a"), is_near("europe-west4", "us-central1")
    (True, False)
    """
    near = {mirror_location(each, cluster_location) for each in ("region", "multi-region")}
    return region_of(location) in near
