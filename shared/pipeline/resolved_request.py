"""An image with a known digest, the targets where it is wanted, and the names of its warmups."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.cluster import ClusterName
from shared.domain.image_reference import ImageReference
from shared.domain.ladder import WantedImage, platform_of, with_platform
from shared.domain.manifest import Manifest
from shared.domain.mirror import Source
from shared.domain.placement import Placement
from shared.domain.request import ReferenceRequest
from shared.domain.warmup_job import JobName, WarmupKey, period_of
from shared.settings.keys import Settings

SECONDS_PER_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """A request for an image whose digest is known."""

    request: ReferenceRequest
    message_id: str
    publish_time: datetime
    source: Source
    manifest: Manifest

    @property
    def pulled(self) -> ImageReference:
        """The reference that nodes pull: the mirror's, by digest."""
        return self.source.mirror.at(self.manifest.digest)

    def describe(self, image_bytes: int | None) -> WantedImage:
        """Return what decides on the nodes that pull it; the size is None if it is unknown."""
        names = frozenset({self.source.image.name, self.source.mirror.name})
        return WantedImage(self.manifest.digest, image_bytes, names)


@dataclass(frozen=True, slots=True)
class Target:
    """A placement where an image is wanted, with the name of its label."""

    name: str
    placement: Placement


def wanted_platform(request: ReferenceRequest, target: Target) -> str | None:
    """Return the requested platform; None if the node decides."""
    return request.platform or platform_of(target.placement)


def given_targets(settings: Settings, request: ReferenceRequest) -> Sequence[Target] | None:
    """Return the targets of the message or the configuration; None if the nodes decide."""
    if request.placement is not None:
        # Anybody may publish a message, so its placement is reduced here as well.
        placement = request.placement.reduced_to(settings.placement_keys)
        return [Target(placement.name, placement)]
    if settings.targets != "auto":
        return [Target(name, placement) for name, placement in settings.targets.items()]
    return None


def name_aliases(settings: Settings) -> dict[str, str]:
    """
    Return the configured names of targets, by those that are derived from their placements.

    A message contains a placement without its name, but the Job's label has the name.
    """
    if settings.targets == "auto":
        return {}
    keys = settings.placement_keys
    return {str(each.reduced_to(keys).name): name for name, each in settings.targets.items()}


def job_name(
    settings: Settings, cluster: ClusterName, resolved: ResolvedRequest, target: Target
) -> JobName:
    """Return the name of the warmup of this period, whether its Job exists or not."""
    key = _key(settings, cluster, resolved, target)
    if resolved.request.force:
        key = replace(key, forced_by=resolved.request.forced_by or resolved.message_id)
    return key.job_name(resolved.source.image)


def earlier_names(
    settings: Settings, cluster: ClusterName, resolved: ResolvedRequest, target: Target
) -> list[JobName]:
    """Return the names of the latest earlier warmups, whether their Jobs exist or not."""
    key = _key(settings, cluster, resolved, target)
    keys = [replace(key, period=key.period - 1)]
    if resolved.request.force:
        keys.append(key)
    return [each.job_name(resolved.source.image) for each in keys]


def _key(
    settings: Settings, cluster: ClusterName, resolved: ResolvedRequest, target: Target
) -> WarmupKey:
    digest = resolved.manifest.digest
    return WarmupKey(
        digest=digest,
        cluster=str(cluster),
        target=with_platform(target.placement, resolved.request.platform),
        period=period_of(resolved.publish_time, digest, settings.period_hours * SECONDS_PER_HOUR),
    )
