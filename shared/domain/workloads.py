"""
The pods that a Kubernetes object makes or is: their images, and where they want to run.

Kinds that hold a pod template, at whatever depth, are too many to list, and everybody may add
their own. So an object is searched for what looks like a pod spec: something with containers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.images import WrittenImage, read_images
from shared.domain.placements import Placement
from shared.domain.rewriting import read_originals
from shared.domain.scheduling import Scheduling, requests_accelerator
from shared.domain.untrusted import field_at, mapping_of, mappings_of

_CONTAINER_LISTS = (
    "initContainers",
    "containers",
    "ephemeralContainers",
    "sidecars",  # Argo Workflows
)

_SINGLE_CONTAINERS = (
    "container",  # Argo Workflows
    "script",
    "autoscalerOptions",  # RayCluster: the autoscaler's container in the head pod
    "model",  # KServe InferenceService, and its older fields, named for the framework
    "huggingface",
    "lightgbm",
    "onnx",
    "paddle",
    "pmml",
    "pytorch",
    "sklearn",
    "tensorflow",
    "triton",
    "xgboost",
)

# A status repeats what a controller made of the spec, and a schema describes pods without being
# one. Metadata holds the names of all fields once more.
_NOT_SEARCHED = frozenset({"metadata", "status", "openAPIV3Schema"})

_MAX_DEPTH = 40
"""Objects nested deeper are not searched; an Argo CronWorkflow, the deepest known, needs 12."""


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
        containers = _containers_of(holder)
        written = [container.get("image") for container in containers]
        images, invalid_images = read_images(
            originals.get(image, image) if isinstance(image, str) else image
            for image in [*written, *_image_volumes_of(holder)]
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
            inner = [field for name, field in value.items() if name not in _NOT_SEARCHED]
        else:
            inner = value if isinstance(value, list) else []
        if depth < _MAX_DEPTH:
            pending.extend((field, scheduling, depth + 1) for field in reversed(inner))


def _containers_of(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = [container for name in _CONTAINER_LISTS for container in mappings_of(holder.get(name))]
    single = [mapping_of(holder[name]) for name in _SINGLE_CONTAINERS if name in holder]
    return listed + single


def _image_volumes_of(holder: Mapping[str, Any]) -> Iterator[Any]:
    """
    Yield the references of a pod's image volumes.

    https://kubernetes.io/docs/concepts/storage/volumes/#image
    """
    for volume in mappings_of(holder.get("volumes")):
        yield field_at(volume, ("image", "reference"))
