"""
Artifact Registry's messages: an image was pushed, tagged or deleted.

https://docs.cloud.google.com/artifact-registry/docs/configure-notifications
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import msgspec

from shared.domain.request import Cause
from shared.errors import InvalidEventError
from shared.messages.json_body import decode
from shared.messages.pubsub_message import PubsubMessage

if TYPE_CHECKING:
    from shared.domain.image_reference import WrittenImage
    from shared.domain.request import ReferenceRequest

INSERT = "INSERT"

# What signing and scanning tools push beside an image: no workload runs from it.
# https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
_ATTACHED_TAG = re.compile(r"sha256-[0-9a-f]{64}(?:\.\w+)?")


@dataclass(frozen=True, slots=True)
class RegistryPush:
    """A change in a Docker repository of Artifact Registry."""

    action: str
    message_id: str
    image: "WrittenImage | None" = None
    """
    What was pushed under a tag, at its digest; None for what has no tag.

    Every platform of an index is pushed without one before the index itself, and a workload that
    names a digest alone is seen when it is deployed.
    """

    @classmethod
    def from_message(cls, message: PubsubMessage) -> Self:
        """
        Read the change out of a message.

        Raises:
            InvalidEventError: The data is none, or its names are no references.
        """
        wire = decode(message.data, _Wire, "not a change of a repository")
        if wire.action != INSERT or not wire.tag:
            return cls(wire.action, message.message_id)
        from shared.domain.image_reference import InvalidReferenceError, WrittenImage

        digest = (wire.digest or "").partition("@")[2]
        try:
            image = WrittenImage.parse(f"{wire.tag}@{digest}" if digest else wire.tag)
        except InvalidReferenceError as exc:
            raise InvalidEventError(str(exc)) from exc
        return cls(wire.action, message.message_id, image)

    @property
    def is_insertion(self) -> bool:
        """Whether something was pushed, rather than removed."""
        return self.action == INSERT

    @property
    def is_attachment(self) -> bool:
        """Whether it is a signature or the like, which belongs to an image and is none."""
        return self.image is not None and bool(
            _ATTACHED_TAG.fullmatch(self.image.reference.tag or "")
        )

    @property
    def cause(self) -> Cause:
        """What a request says about where it comes from."""
        return Cause("push", self.message_id, self.image.text if self.image else None)

    @property
    def request(self) -> "ReferenceRequest | None":
        """A request for what was pushed, wherever it may be wanted."""
        if self.image is None:
            return None
        from shared.domain.request import ReferenceRequest

        return ReferenceRequest(
            image=self.image.text, reference=self.image.reference, cause=self.cause
        )


class _Wire(msgspec.Struct):
    action: str
    digest: str | None = None
    tag: str | None = None
