"""The image of a container, split as containerd splits it."""

import re
from dataclasses import dataclass
from typing import Self

_HUB = "docker.io"
_ARTIFACT_REGISTRY = re.compile(r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev")
_CONTAINER_REGISTRY = {
    "gcr.io": "us",
    "us.gcr.io": "us",
    "eu.gcr.io": "europe",
    "asia.gcr.io": "asia",
}


_WRITTEN = re.compile(
    r"([A-Za-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


def is_image_name(text: str) -> bool:
    """
    Whether the kubelet can read a container's image.

    >>> is_image_name("ghcr.io/a/b:1"), is_image_name("Nginx"), is_image_name("a:b:c")
    (True, False, False)
    """
    return _WRITTEN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ImageName:
    """
    Where an image is pulled from; as text, in the form to which containerd brings it.

    That is without the tag beside a digest, since the digest decides.

    >>> str(ImageName.parse("nginx"))
    'docker.io/library/nginx:latest'
    >>> str(ImageName.parse("ghcr.io/a/b:1@sha256:12"))
    'ghcr.io/a/b@sha256:12'
    >>> ImageName.parse("us-docker.pkg.dev/p/r/a/b:1").location
    'us'
    """

    host: str
    path: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a container's image, completing Docker's short forms."""
        name, _, digest = text.partition("@")
        head, slash, tail = name.partition("/")
        named = bool(slash) and ("." in head or ":" in head or head == "localhost")
        host, rest = (head, tail) if named else (_HUB, name)
        path, _, tag = rest.partition(":")
        if host == _HUB and "/" not in path:
            path = f"library/{path}"
        return cls(host, path, tag or (None if digest else "latest"), digest or None)

    def __str__(self) -> str:
        end = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.repository}{end}"

    @property
    def repository(self) -> str:
        """Host and path."""
        return f"{self.host}/{self.path}"

    @property
    def identifier(self) -> str:
        """What is asked of the registry: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    @property
    def location(self) -> str | None:
        """Where Google serves it from; None if Google does not."""
        match = _ARTIFACT_REGISTRY.fullmatch(self.host)
        return match["location"] if match else _CONTAINER_REGISTRY.get(self.host)


def is_near(location: str, region: str) -> bool:
    """
    Whether a repository lies in a region, or in the multi-region that contains it.

    >>> is_near("us", "us-central1"), is_near("europe-west1", "us-central1")
    (True, False)
    """
    return location in (region, region.split("-", maxsplit=1)[0])
