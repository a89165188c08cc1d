"""Images as somebody wrote them into a workload or a build."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from shared.domain.image_reference import ImageReference, InvalidReferenceError, parse_reference

MAX_IMAGE_LENGTH = 1_024
"""Pub/Sub's limit on the value of an attribute, in bytes; the longest useful reference needs 700.

https://docs.cloud.google.com/pubsub/quotas#resource_limits
"""


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """The text of an image field, and the reference that it means."""

    text: str
    reference: ImageReference

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Parse the text of an image field.

        Raises:
            InvalidReferenceError: It is no reference, or too long to be published.
        """
        if len(text) > MAX_IMAGE_LENGTH:
            raise InvalidReferenceError(
                f"image reference of more than {MAX_IMAGE_LENGTH} characters: {text[:80]!r}"
            )
        return cls(text, parse_reference(text))


def read_images(values: Iterable[Any]) -> tuple[tuple[WrittenImage, ...], int]:
    """
    Return the images among untrusted values, each text once, and how many were invalid.

    One invalid image among ten must not cost the other nine. A value that is missing or empty
    is neither: whoever wrote it leaves the image to somebody else.

    >>> images, invalid = read_images(["nginx", "", None, "nginx", "no image", 5])
    >>> [image.text for image in images], invalid
    (['nginx'], 2)
    """
    images: dict[str, WrittenImage] = {}
    invalid = 0
    for value in values:
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            invalid += 1
            continue
        try:
            images[value] = WrittenImage.parse(value)
        except InvalidReferenceError:
            invalid += 1
    return tuple(images.values()), invalid
