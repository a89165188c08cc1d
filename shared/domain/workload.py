"""The pods that a Kubernetes object makes or is: their images, and where they want to run."""

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
from shared.domain.pod_scheduling import Scheduling, requests_accelerator

ORIGINALS_ANNOTATION = "prestream.dev/original-images"
"""On a rewritten pod: a JSON object of the images as they were written, by those of the mirrors.

By image, not by container, so that it stays true when somebody changes a container's image later.
"""


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


def read_originals(body: Any) -> dict[str, str]:
    """
    Return the images of a rewritten pod as they were written, by those of the mirrors.

    Whoever may write a pod may write its annotations. So an entry is only believed if both name
    the same path and version, which leaves nothing to be forged but the registry.

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
