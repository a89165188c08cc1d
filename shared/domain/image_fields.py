"""
The fields of a Kubernetes object that name images, with their pods.

Too many kinds contain a pod template to list them, and users add their own. So an object is
searched for pod specs: objects with containers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.json_access import field_at, mapping_of, mappings_of

Path = tuple[str | int, ...]
"""The way to a field: keys of objects and indexes of lists."""

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

# A status repeats the spec, a schema only describes pods, and metadata repeats the field names.
NOT_SEARCHED = frozenset({"metadata", "status", "openAPIV3Schema"})

MAX_DEPTH = 40
"""Objects nested deeper are not searched; an Argo CronWorkflow, the deepest known, needs 12."""


@dataclass(frozen=True, slots=True)
class ImageField:
    """A field that names an image."""

    path: Path
    image: Any
    """The value as written, of any type; ``None`` if it is missing."""
    pull_policy: Any
    holder: Mapping[str, Any]
    """The pod spec."""
    metadata: Mapping[str, Any]
    """The metadata of the pod or of its template."""


def containers_of(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the containers of a possible pod spec."""
    return [container for _, container in _containers_at(holder)]


def image_volumes_of(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """
    Return the images that a pod mounts as volumes, each with ``reference`` and ``pullPolicy``.

    https://kubernetes.io/docs/concepts/storage/volumes/#image
    """
    return [mapping_of(volume.get("image")) for volume in mappings_of(holder.get("volumes"))]


def find_image_fields(body: Any) -> Iterator[ImageField]:
    """
    Yield the fields of an object that name an image, in order.

    >>> pod = {"spec": {"containers": [{"name": "app", "image": "nginx"}]}}
    >>> [(field.path, field.image) for field in find_image_fields(pod)]
    [(('spec', 'containers', 0, 'image'), 'nginx')]
    """
    pending: list[tuple[Any, Path, Mapping[str, Any]]] = [(body, (), {})]
    while pending:
        value, path, metadata = pending.pop()
        inner: list[tuple[Any, Path, Mapping[str, Any]]] = []
        if isinstance(value, Mapping):
            around = mapping_of(value.get("metadata"))
            # An Argo template is a pod spec that contains the pod's metadata.
            yield from _fields_of(value, path, around or metadata)
            inner = [
                (field, (*path, name), around)
                for name, field in value.items()
                if name not in NOT_SEARCHED
            ]
        elif isinstance(value, list):
            inner = [(item, (*path, index), {}) for index, item in enumerate(value)]
        if len(path) < MAX_DEPTH:
            pending.extend(reversed(inner))


def _fields_of(
    holder: Mapping[str, Any], path: Path, metadata: Mapping[str, Any]
) -> Iterator[ImageField]:
    for inner, container in _containers_at(holder):
        policy = container.get("imagePullPolicy")
        at = (*path, *inner, "image")
        yield ImageField(at, container.get("image"), policy, holder, metadata)
    for index, volume in enumerate(_items_of(holder.get("volumes"))):
        image = mapping_of(field_at(volume, ("image",)))
        at = (*path, "volumes", index, "image", "reference")
        yield ImageField(at, image.get("reference"), image.get("pullPolicy"), holder, metadata)


def _containers_at(holder: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for name in _CONTAINER_LISTS:
        for index, container in enumerate(_items_of(holder.get(name))):
            if isinstance(container, Mapping):
                yield (name, index), container
    for name in _SINGLE_CONTAINERS:
        if name in holder:
            yield (name,), mapping_of(holder[name])


def _items_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
