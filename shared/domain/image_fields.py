"""
Where a Kubernetes object names images: the fields of its pods, and what the pods say about them.

Kinds that hold a pod template, at whatever depth, are too many to list, and everybody may add
their own. So an object is searched for what looks like a pod spec: something with containers.
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

# A status repeats what a controller made of the spec, and a schema describes pods without being
# one. Metadata holds the names of all fields once more.
NOT_SEARCHED = frozenset({"metadata", "status", "openAPIV3Schema"})

MAX_DEPTH = 40
"""Objects nested deeper are not searched; an Argo CronWorkflow, the deepest known, needs 12."""


@dataclass(frozen=True, slots=True)
class ImageField:
    """A field that names an image."""

    path: Path
    image: Any
    """As somebody wrote it, of whatever type; None where it is missing."""
    pull_policy: Any
    holder: Mapping[str, Any]
    """The pod spec."""
    metadata: Mapping[str, Any]
    """Of the pod, or of its template."""


def containers_of(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the containers of what may be a pod spec."""
    return [container for _, container in _containers_at(holder)]


def image_volumes_of(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """
    Return the images that a pod mounts as volumes, each with ``reference`` and ``pullPolicy``.

    https://kubernetes.io/docs/concepts/storage/volumes/#image
    """
    return [mapping_of(volume.get("image")) for volume in mappings_of(holder.get("volumes"))]


def find_image_fields(body: Any) -> Iterator[ImageField]:
    """
    Yield the fields that name an image in an object, in the order in which they stand there.

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
            # An Argo template is a pod spec that has the pod's metadata in itself.
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
