"""The pods that a Kubernetes object makes or is: their images, and where they want to run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.image_fields import (
    MAX_DEPTH,
    NOT_SEARCHED,
    containers_of,
    image_volumes_of,
)
from shared.domain.original_image import read_originals
from shared.domain.placement import Placement
from shared.domain.pod_scheduling import Scheduling, requests_accelerator
from shared.domain.written_image import WrittenImage, read_images


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What a pod spec says about images and nodes."""

    images: tuple[WrittenImage, ...]
    """Of all its containers and image volumes, each once."""
    invalid_images: int
    placement: Placement
    """As written, with every key: reduce it before anything is made of it."""
    platform: str | None
    """``os/architecture``; None where it is left open."""
    asks_for_accelerator: bool


def find_pod_specs(body: Any) -> tuple[PodSpec, ...]:
    """
    Return the pod specs with an image in an object, in the order in which they stand there.

    The object is untrusted: what has another type than Kubernetes gives it is passed over, and
    an image that is no reference is counted. The images of a pod that was rewritten to a mirror
    are those that were written.
    """
    originals = read_originals(body)
    found = []
    for holder, scheduling in _search(body):
        containers = containers_of(holder)
        written = [container.get("image") for container in containers]
        mounted = [image.get("reference") for image in image_volumes_of(holder)]
        images, invalid_images = read_images(
            originals.get(image, image) if isinstance(image, str) else image
            for image in [*written, *mounted]
        )
        if images or invalid_images:
            found.append(
                PodSpec(
                    images=images,
                    invalid_images=invalid_images,
                    placement=scheduling.placement,
                    platform=scheduling.platform,
                    asks_for_accelerator=scheduling.wants_accelerator_node
                    or requests_accelerator(holder, containers),
                )
            )
    return tuple(found)


def _search(body: Any) -> Iterator[tuple[Mapping[str, Any], Scheduling]]:
    """Walk through an object, yielding each object inside with the scheduling that holds there."""
    pending = [(body, Scheduling(), 0)]
    while pending:
        value, scheduling, depth = pending.pop()
        if isinstance(value, Mapping):
            scheduling = scheduling.within(value)
            yield value, scheduling
            inner = [field for name, field in value.items() if name not in NOT_SEARCHED]
        else:
            inner = value if isinstance(value, list) else []
        if depth < MAX_DEPTH:
            pending.extend((field, scheduling, depth + 1) for field in reversed(inner))
