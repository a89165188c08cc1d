"""What shall be warm: an image whose digest is known, and where."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.image_reference import ImageReference
from shared.domain.ladder import platform_of
from shared.domain.manifest import Manifest
from shared.domain.placement import Placement
from shared.domain.request import ReferenceRequest
from shared.pipeline.mirror_lookup import Source


@dataclass(frozen=True, slots=True)
class Order:
    """An image whose digest is known, and who asked for it."""

    request: ReferenceRequest
    message_id: str
    publish_time: datetime
    source: Source
    manifest: Manifest

    @property
    def pulled(self) -> ImageReference:
        """What nodes pull: the mirror's reference by digest."""
        return self.source.mirror.at(self.manifest.digest)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an image shall be warm: a placement, under the name that its label carries."""

    name: str
    placement: Placement


def wanted_platform(request: ReferenceRequest, target: Target) -> str | None:
    """Return the platform that is asked for; None where the node decides."""
    return request.platform or platform_of(target.placement)
