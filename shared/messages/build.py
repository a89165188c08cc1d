"""
Cloud Build's notifications: a build reached another status.

https://docs.cloud.google.com/build/docs/subscribe-build-notifications
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import msgspec

from shared.domain.json_access import mapping_of
from shared.domain.request import Cause
from shared.errors import InvalidEventError
from shared.messages.json_body import decode
from shared.messages.pubsub_message import PubsubMessage

if TYPE_CHECKING:
    from shared.domain.image_reference import WrittenImage
    from shared.domain.request import ReferenceRequest

SUCCESS = "SUCCESS"


@dataclass(frozen=True, slots=True)
class BuildNotification:
    """
    The status of a build, with the images that it pushed.

    A build declares the images that it will push, and a failed build declares them too. Only
    its results hold the pushed images, with their digests. They do not hold images that a step
    pushes by itself: Artifact Registry sends notifications of those.
    """

    build_id: str
    status: str
    name: str | None = None
    """``projects/NUMBER/locations/LOCATION/builds/ID``; ``None`` for older builds."""
    pushed: "tuple[WrittenImage, ...]" = ()
    """The pushed images; each repository and digest occurs once."""
    invalid_images: int = 0

    @classmethod
    def from_message(cls, message: PubsubMessage) -> Self:
        """
        Read the build from a message, or only its status if the status attribute is enough.

        Raises:
            InvalidEventError: The data is not a build.
        """
        status = message.attributes.get("status")
        if status and status != SUCCESS:
            return cls(message.attributes.get("buildId", ""), status)
        wire = decode(message.data, _WireBuild, "not a build")
        build_id = wire.id or message.attributes.get("buildId")
        if not build_id:
            raise InvalidEventError("not a build: it has no id")
        pushed, invalid_images = _read_pushed(wire.results.images or () if wire.results else ())
        return cls(build_id, wire.status, wire.name, pushed, invalid_images)

    @property
    def has_succeeded(self) -> bool:
        """Whether the build succeeded, so that its images can be used."""
        return self.status == SUCCESS

    @property
    def cause(self) -> Cause:
        """The cause that a request carries."""
        return Cause("build", self.build_id, self.name)

    @property
    def requests(self) -> "Iterator[ReferenceRequest]":
        """A request for each pushed image, without a cluster or a placement."""
        from shared.domain.request import ReferenceRequest

        for image in self.pushed:
            yield ReferenceRequest(image=image.text, reference=image.reference, cause=self.cause)


class _WireResults(msgspec.Struct):
    images: list[Any] | None = None


class _WireBuild(msgspec.Struct):
    status: str
    id: str | None = None
    name: str | None = None
    results: _WireResults | None = None


def _read_pushed(images: Sequence[Any]) -> "tuple[tuple[WrittenImage, ...], int]":
    """
    Return the pushed images, and the number of invalid entries.

    Several tags of one repository and digest are one image. The first entry with a tag is kept,
    because a tag is easier to read than a digest.
    """
    if not images:
        return (), 0
    from shared.domain.image_reference import InvalidReferenceError

    pushed: dict[tuple[str, str], tuple[bool, WrittenImage]] = {}
    invalid = 0
    for image in images:
        try:
            is_tagged, written = _read_image(mapping_of(image))
        except InvalidReferenceError:
            invalid += 1
            continue
        key = (written.reference.name, written.reference.version)
        if key not in pushed or (is_tagged and not pushed[key][0]):
            pushed[key] = (is_tagged, written)
    return tuple(written for _, written in pushed.values()), invalid


def _read_image(image: Mapping[str, Any]) -> "tuple[bool, WrittenImage]":
    """
    Return a pushed image at its digest, and whether its name has a tag.

    Raises:
        InvalidReferenceError: Name and digest do not form a reference.
    """
    from shared.domain.image_reference import InvalidReferenceError, WrittenImage

    name, digest = image.get("name"), image.get("digest")
    if not isinstance(name, str) or not isinstance(digest, str | None):
        raise InvalidReferenceError("a pushed image without name, or with an odd digest")
    if not digest:
        return True, WrittenImage.parse(name)
    written = WrittenImage.parse(f"{name.partition('@')[0]}@{digest}")
    return written.reference.tag is not None, written
