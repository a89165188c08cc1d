"""
Cloud Build's messages: a build reached another state.

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
    A state of a build, with what it pushed.

    The images that a build declares are only what it means to push, and stand there if it fails
    as well; what was pushed, with the digest, is in its results. What a step pushes on its own
    is not: Artifact Registry tells of it.
    """

    build_id: str
    status: str
    name: str | None = None
    """``projects/NUMBER/locations/LOCATION/builds/ID``; older builds have none."""
    pushed: "tuple[WrittenImage, ...]" = ()
    """Each repository and digest once."""
    invalid_images: int = 0

    @classmethod
    def from_message(cls, message: PubsubMessage) -> Self:
        """
        Read the build out of a message, or only its status if the attribute says enough.

        Raises:
            InvalidEventError: The data is no build.
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
        """Whether the build ended well, so that what it pushed can be relied on."""
        return self.status == SUCCESS

    @property
    def cause(self) -> Cause:
        """What a request says about where it comes from."""
        return Cause("build", self.build_id, self.name)

    @property
    def requests(self) -> "Iterator[ReferenceRequest]":
        """A request for each image that was pushed, wherever it may be wanted."""
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
    Return what was pushed, and how many of the entries were invalid.

    One push under a name and under several tags of it is one image. Of its entries the first
    with a tag is kept, since a tag says more to whoever reads the reference.
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
    Return a pushed image at its digest, and whether a tag was written.

    Raises:
        InvalidReferenceError: Name and digest make no reference.
    """
    from shared.domain.image_reference import InvalidReferenceError, WrittenImage

    name, digest = image.get("name"), image.get("digest")
    if not isinstance(name, str) or not isinstance(digest, str | None):
        raise InvalidReferenceError("a pushed image without name, or with an odd digest")
    if not digest:
        return True, WrittenImage.parse(name)
    written = WrittenImage.parse(f"{name.partition('@')[0]}@{digest}")
    return written.reference.tag is not None, written
