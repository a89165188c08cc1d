"""Images as a node knows them, and what it holds."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.gke.image_names import ImageName
from sandbox.kubernetes.bodies import Body

_REPORTED = 50
"""The kubelet reports no more images than these (``nodeStatusMaxImages``)."""


@dataclass(frozen=True, slots=True)
class PulledImage:
    """What a reference resolved to, for the platform of the node."""

    digest: str
    """Of what the reference names: an index, or a manifest."""
    platform_digest: str
    size: int
    """Compressed, in bytes."""
    layers: int
    can_stream: bool = True
    """Whether its form can be streamed: no schema 1, no layer twice."""
    is_schema_1: bool = False


class ImageStore:
    """The images that a node holds; safe for threads."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._images: dict[str, PulledImage] = {}
        self._lock = threading.Lock()

    def add(self, name: ImageName, image: PulledImage) -> None:
        """Keep an image under the name by which it was pulled; a tag leaves its old image."""
        tagged = f"{name.repository}:{name.tag}" if name.tag and not name.digest else None
        with self._lock:
            if tagged is not None:
                for names in self._names.values():
                    names.discard(tagged)
            self._images[image.digest] = image
            names = self._names.setdefault(image.digest, set())
            names.add(f"{name.repository}@{image.digest}")
            if tagged is not None:
                names.add(tagged)

    def find(self, name: ImageName) -> PulledImage | None:
        """Return the image that is held under a name."""
        wanted = (
            f"{name.repository}@{name.digest}" if name.digest else f"{name.repository}:{name.tag}"
        )
        with self._lock:
            for digest, names in self._names.items():
                if wanted in names:
                    return self._images[digest]
        return None

    def holds(self, image: PulledImage) -> bool:
        """Whether an image's layers are there, under whatever name."""
        with self._lock:
            return any(
                held.platform_digest == image.platform_digest for held in self._images.values()
            )

    def report(self) -> list[Body]:
        """Return ``status.images`` of the node: the largest first."""
        with self._lock:
            held = [(self._images[digest].size, names) for digest, names in self._names.items()]
            held.sort(key=lambda image: -image[0])
            return [
                {"names": _ordered(names), "sizeBytes": size} for size, names in held[:_REPORTED]
            ]


def _ordered(names: Iterable[str]) -> list[str]:
    """Put the digest's name first, as the kubelet does."""
    return sorted(names, key=lambda name: ("@" not in name, name))
