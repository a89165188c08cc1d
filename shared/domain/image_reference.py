"""
Image references in manifests, builds and messages.

The grammar and the short forms are those of the reference implementation:
https://github.com/distribution/reference
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NewType, Self

Digest = NewType("Digest", str)
"""A digest that has passed the grammar: ``sha256``, ``sha384`` or ``sha512`` and its digits."""

DOCKER_HUB = "docker.io"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
MAX_REPOSITORY_LENGTH = 255
MAX_REGISTRY_LENGTH = 259
"""A host name of 253 characters, a colon, and a port.

So a reference never exceeds the limit of a message's attribute, 1024 bytes.
"""

MAX_IMAGE_LENGTH = 1_024
"""Pub/Sub's limit on the value of an attribute, in bytes; the longest useful reference needs 700.

https://docs.cloud.google.com/pubsub/quotas#resource_limits
"""

DOCKER_HUB_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io"})
"""Hosts that mean Docker Hub as well."""

_MAX_QUOTED = 512

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_REGISTRY = re.compile(rf"{_HOST}(?::[0-9]+)?", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}", re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}", re.ASCII)


class InvalidReferenceError(ValueError):
    """A text does not follow the grammar of image references."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """
    A full image reference: registry, repository and version.

    If it has both a tag and a digest, the digest decides. The tag is kept, because a rewritten
    pod must not lose it.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """The registry and the repository, without tag or digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """The version to request from a registry: the digest if it exists, otherwise the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    def at(self, digest: Digest) -> "ImageReference":
        """Return the same repository at a digest, without a tag."""
        return replace(self, tag=None, digest=digest)


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """The text of an image field, and its reference."""

    text: str
    reference: ImageReference

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Parse the text of an image field.

        Raises:
            InvalidReferenceError: The text is not a reference, or is too long to be published.
        """
        if len(text) > MAX_IMAGE_LENGTH:
            raise InvalidReferenceError(
                f"image reference of more than {MAX_IMAGE_LENGTH} characters: {text[:80]!r}"
            )
        return cls(text, parse_reference(text))


def parse_reference(text: str) -> ImageReference:
    """
    Parse an image reference as a manifest contains it.

    Docker's short forms are completed, because a mirror needs the full name. A digest adds no
    tag.

    Raises:
        InvalidReferenceError: The text does not follow the grammar.

    >>> str(parse_reference("nginx"))
    'docker.io/library/nginx:latest'
    >>> str(parse_reference("registry-1.docker.io/anyscale/ray-ml:2.7.0"))
    'docker.io/anyscale/ray-ml:2.7.0'
    >>> parse_reference("localhost:5000/app").registry
    'localhost:5000'
    """
    if _IDENTIFIER.fullmatch(text):
        raise InvalidReferenceError(
            f"64 hexadecimal digits are an identifier, not an image reference: {_quote(text)}"
        )
    rest, at, digest = text.partition("@")
    registry, path = _split_registry(rest)
    repository, colon, tag = path.partition(":")
    if not _REGISTRY.fullmatch(registry):
        raise InvalidReferenceError(f"invalid registry in image reference: {_quote(text)}")
    if len(registry) > MAX_REGISTRY_LENGTH:
        raise InvalidReferenceError(
            f"registry of more than {MAX_REGISTRY_LENGTH} characters in image reference:"
            f" {_quote(text)}"
        )
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidReferenceError(f"invalid repository in image reference: {_quote(text)}")
    if len(repository) > MAX_REPOSITORY_LENGTH:
        raise InvalidReferenceError(
            f"repository of more than {MAX_REPOSITORY_LENGTH} characters in image reference:"
            f" {_quote(text)}"
        )
    if colon and not _TAG.fullmatch(tag):
        raise InvalidReferenceError(f"invalid tag in image reference: {_quote(text)}")
    default_tag = None if at else DEFAULT_TAG
    return ImageReference(
        registry, repository, tag or default_tag, parse_digest(digest) if at else None
    )


def parse_digest(text: str) -> Digest:
    """
    Parse a digest of a registered algorithm.

    See https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests

    Raises:
        InvalidReferenceError: The text is not a digest of a known algorithm.

    >>> parse_digest("sha256:" + "0" * 64)[:10]
    'sha256:000'
    """
    if not _DIGEST.fullmatch(text):
        raise InvalidReferenceError(f"invalid digest: {_quote(text)}")
    return Digest(text)


def read_images(values: Iterable[Any]) -> tuple[tuple[WrittenImage, ...], int]:
    """
    Return the images among untrusted values, each text once, and the number of invalid ones.

    One invalid image among ten does not affect the other nine. A missing or empty value does
    not count as invalid: another controller sets the image later.

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


def _quote(text: str) -> str:
    """Return a text for an error message, shortened because a tenant may have written it."""
    return repr(text) if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]!r}…"


def _split_registry(name: str) -> tuple[str, str]:
    """Split the registry off a name by Docker's rule, and complete short names."""
    head, slash, tail = name.partition("/")
    is_registry = bool(slash) and (
        "." in head or ":" in head or head == "localhost" or head != head.lower()
    )
    registry, path = (head, tail) if is_registry else (DOCKER_HUB, name)
    if registry in DOCKER_HUB_ALIASES:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in path:
        path = f"{DEFAULT_NAMESPACE}/{path}"
    return registry, path
