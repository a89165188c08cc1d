"""Locations of clusters and mirrors: zones, regions and multi-regions."""

import re

_ZONE = re.compile(r"([a-z]+-[a-z]+[0-9]+)-[a-z]")
_MULTI_REGIONS = {"us": "us", "europe": "europe", "asia": "asia"}


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
    Return where the mirrors for a cluster lie.

    Streaming needs the cluster's region, or the multi-region that contains it; where there is
    none, ``multi-region`` means the region.

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
