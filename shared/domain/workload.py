"""The pod specs in a Kubernetes object: their images and their scheduling."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.image_fields import (
    MAX_DEPTH,
    NOT_SEARCHED,
    containers_of,
    image_volumes_of,
)
from shared.domain.image_reference import (
    DEFAULT_NAMESPACE,
    InvalidReferenceError,
    WrittenImage,
    parse_reference,
    read_images,
)
from shared.domain.json_access import field_at, mapping_of, text_of
from shared.domain.placement import Placement
from shared.domain.pod_scheduling import SchedulingFields, requests_accelerator

ORIGINALS_ANNOTATION = "prestream.dev/original-images"
"""On a rewritten pod: a JSON object from the mirrors' images to the images as written.

Its keys are images and not containers, so it stays correct if a container's image changes later.
"""


@dataclass(frozen=True, slots=True)
class PodSpec:
    """The images and the scheduling of a pod spec."""

    images: tuple[WrittenImage, ...]
    """The images of all containers and image volumes, each once."""
    invalid_images: int
    placement: Placement
    """The placement as written, with every key: reduce it before use."""
    platform: str | None
    """``os/architecture``; ``None`` if it is not set."""
    asks_for_accelerator: bool


def find_pod_specs(body: Any) -> tuple[PodSpec, ...]:
    """
    Return the pod specs with an image in an object, in order.

    The object is untrusted: a field of a wrong type is skipped, and an invalid image is counted.
    For a rewritten pod, the images as written are returned.
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


def _search(body: Any) -> Iterator[tuple[Mapping[str, Any], SchedulingFields]]:
    """Yield each object inside an object, with its scheduling."""
    pending = [(body, SchedulingFields(), 0)]
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


def read_originals(body: Any) -> dict[str, str]:
    """
    Return the images of a rewritten pod as written, by the mirrors' images.

    A user who can write a pod can write its annotations. So an entry is valid only if both images
    have the same path and version; only the registry can then be forged.

    >>> mirrored = "us-docker.pkg.dev/demo/dockerhub-mirror/library/nginx:1"
    >>> annotations = {ORIGINALS_ANNOTATION: json.dumps({mirrored: "nginx:1"})}
    >>> read_originals({"metadata": {"annotations": annotations}}) == {mirrored: "nginx:1"}
    True
    """
    text = text_of(field_at(body, ("metadata", "annotations", ORIGINALS_ANNOTATION)))
    if text is None:
        return {}
    try:
        entries = mapping_of(json.loads(text))
    except (ValueError, RecursionError):
        return {}
    return {
        mirrored: original
        for mirrored, original in entries.items()
        if isinstance(original, str) and _is_original(original, mirrored)
    }


def _is_original(original: str, mirrored: str) -> bool:
    from shared.domain.mirror import ArtifactPath

    try:
        upstream, mirror = parse_reference(original), parse_reference(mirrored)
    except InvalidReferenceError:
        return False
    artifact = ArtifactPath.split(mirror.registry, mirror.repository)
    return (
        artifact is not None
        and (upstream.tag, upstream.digest) == (mirror.tag, mirror.digest)
        and artifact.path in {upstream.repository, f"{DEFAULT_NAMESPACE}/{upstream.repository}"}
    )
