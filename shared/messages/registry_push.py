"""
Artifact Registry's notifications: an image was pushed, tagged or deleted.

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

# Tags of signing and scanning tools, which no workload runs.
# https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
_ATTACHED_TAG = re.compile(r"sha256-[0-9a-f]{64}(?:\.\w+)?")


@dataclass(frozen=True, slots=True)
class RegistryPush:
    """A change in a Docker repository of Artifact Registry."""

    action: str
    message_id: str
    image: "WrittenImage | None" = None
    """
    The image that was pushed under a tag, at its digest; ``None`` if it has no tag.

    Every platform of an index is pushed without a tag before the index itself. An image that a
    workload names by digest alone is detected at its deployment.
    """

    @classmethod
    def from_message(cls, message: PubsubMessage) -> Self:
        """
        Read the change from a message.

        Raises:
            InvalidEventError: The data is not a change, or its names are not references.
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
        """Whether an image was pushed and not removed."""
        return self.action == INSERT

    @property
    def is_attachment(self) -> bool:
        """Whether the artifact is attached to an image, as a signature is."""
        return self.image is not None and bool(
            _ATTACHED_TAG.fullmatch(self.image.reference.tag or "")
        )

    @property
    def cause(self) -> Cause:
        """The cause that a request carries."""
        return Cause("push", self.message_id, self.image.text if self.image else None)

    @property
    def request(self) -> "ReferenceRequest | None":
        """A request for the pushed image, without a cluster or a placement."""
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
