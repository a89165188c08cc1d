"""
The image fields of custom resources that are not in a pod spec, and texts that may be images.

A path names nested keys, with ``[]`` after a list. ``**`` at its start means any depth.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from shared.domain.image_fields import NOT_SEARCHED, ImageField, Path
from shared.domain.json_access import mapping_of, text_of

_TEKTON = ("**.steps[].image", "**.stepTemplate.image")
_KUBERAY = ("**.collectorOptions.image",)
_KUBEVIRT = ("**.containerDisk.image",)
_SPARK = ("spec.image", "spec.template.image", "**.driver.image", "**.executor.image")
_KUSTOMIZE = ("images[].newName",)

KUSTOMIZATION: Final = "Kustomization.kustomize.config.k8s.io"

IMAGE_PATHS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        **{
            f"{kind}.tekton.dev": _TEKTON
            for kind in ("ClusterTask", "Pipeline", "PipelineRun", "Task", "TaskRun")
        },
        "StepAction.tekton.dev": ("spec.image",),
        **{
            f"{kind}.ray.io": _KUBERAY
            for kind in ("RayCluster", "RayCronJob", "RayJob", "RayService")
        },
        **{
            f"{kind}.kubevirt.io": _KUBEVIRT
            for kind in (
                "VirtualMachine",
                "VirtualMachineInstance",
                "VirtualMachineInstanceReplicaSet",
            )
        },
        "VirtualMachinePool.pool.kubevirt.io": _KUBEVIRT,
        **{
            f"{kind}.sparkoperator.k8s.io": _SPARK
            for kind in ("ScheduledSparkApplication", "SparkApplication", "SparkConnect")
        },
        **{
            f"{kind}.monitoring.coreos.com": ("spec.image", "spec.thanos.image")
            for kind in ("Alertmanager", "Prometheus", "PrometheusAgent", "ThanosRuler")
        },
        KUSTOMIZATION: _KUSTOMIZE,
        "Component.kustomize.config.k8s.io": _KUSTOMIZE,
    }
)
"""Paths by KIND.GROUP."""


def add_paths(more: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the table with further paths."""
    return {**IMAGE_PATHS} | {kind: (*IMAGE_PATHS.get(kind, ()), *more[kind]) for kind in more}


_BUILT_IN_GROUPS: Final = frozenset(
    {
        *("", "apps", "autoscaling", "batch", "extensions", "policy"),
        *(
            f"{name}.k8s.io"
            for name in (
                "admissionregistration",
                "apiextensions",
                "apiregistration",
                "authentication",
                "authorization",
                "certificates",
                "coordination",
                "discovery",
                "events",
                "flowcontrol.apiserver",
                "kustomize.config",
                "networking",
                "node",
                "rbac.authorization",
                "resource",
                "scheduling",
                "storage",
            )
        ),
    }
)
"""API groups whose image fields are all in pod specs."""

_SECRETS: Final = ("imagePullSecrets", "imagePullSecret")
_ANY_DEPTH: Final = "**"
_ITEM: Final = "[]"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
# A host with a dot, a path, and a tag or a digest.
_FULL_NAME = re.compile(
    r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?/[a-z0-9][\w./-]*(?::[\w.-]+|@sha256:[a-f0-9]{64})"
)


def kind_of(body: Mapping[str, Any]) -> str:
    """
    Return KIND.GROUP of an object; an empty text if it does not have a kind.

    >>> kind_of({"apiVersion": "ray.io/v1", "kind": "RayJob"})
    'RayJob.ray.io'
    """
    kind, group = text_of(body.get("kind")) or "", _group_of(body)
    return f"{kind}.{group}" if kind and group else kind


def objects_in(body: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield an object, or those of a List, with their paths."""
    if not isinstance(body, Mapping):
        return
    items = body.get("items")
    if not (text_of(body.get("kind")) or "").endswith("List") or not isinstance(items, list):
        yield (), body
        return
    for index, item in enumerate(items):
        if isinstance(item, Mapping):
            yield ("items", index), item


def find_listed_fields(
    body: Mapping[str, Any], paths: Sequence[str], root: Path
) -> Iterator[ImageField]:
    """
    Yield the texts at the paths of an object.

    Pull secrets of an object on the way, and the object's labels, mean what they mean in a pod.

    >>> [each.image for each in find_listed_fields({"a": [{"image": "x"}]}, ["a[].image"], ())]
    ['x']
    """
    for path in paths:
        steps = path.replace(_ITEM, f".{_ITEM}").split(".")
        for image, at, way in _follow(body, steps, (), ()):
            secrets = [each.get(name) for each in way for name in _SECRETS if each.get(name)]
            yield ImageField(
                path=(*root, *at),
                image=image,
                pull_policy=way[-1].get("imagePullPolicy"),
                holder={"imagePullSecrets": secrets},
                metadata=mapping_of(body.get("metadata")),
            )


def _follow(
    value: Any, steps: Sequence[str], at: Path, way: tuple[Mapping[str, Any], ...]
) -> Iterator[tuple[str, Path, tuple[Mapping[str, Any], ...]]]:
    """Yield each text to which steps lead, with its path and the objects on the way."""
    if not steps:
        if isinstance(value, str):
            yield value, at, way
        return
    first, *rest = steps
    if first == _ANY_DEPTH:
        for inner, where, through in _walk(value, at, way):
            yield from _follow(inner, rest, where, through)
    elif first == _ITEM:
        for index, item in enumerate(value if isinstance(value, list) else []):
            yield from _follow(item, rest, (*at, index), way)
    elif isinstance(value, Mapping) and first in value:
        yield from _follow(value[first], rest, (*at, first), (*way, value))


def _walk(
    value: Any, at: Path, way: tuple[Mapping[str, Any], ...]
) -> Iterator[tuple[Any, Path, tuple[Mapping[str, Any], ...]]]:
    """Yield a value and all values in it, except for the metadata and the status."""
    pending = [(value, at, way)]
    while pending:
        value, at, way = pending.pop()
        yield value, at, way
        if isinstance(value, Mapping):
            inner: list[tuple[str | int, Any]] = [
                (name, each) for name, each in value.items() if name not in NOT_SEARCHED
            ]
            way = (*way, value)
        else:
            inner = list(enumerate(value)) if isinstance(value, list) else []
        pending.extend((each, (*at, name), way) for name, each in reversed(inner))


def find_possible_images(body: Mapping[str, Any], root: Path) -> Iterator[tuple[Path, str]]:
    """
    Yield the texts of an object of an unknown kind that look like images, with their paths.

    >>> body = {"kind": "Fleet", "apiVersion": "example.com/v1", "spec": {"workerImage": "nginx:1"}}
    >>> list(find_possible_images(body, ()))
    [(('spec', 'workerImage'), 'nginx:1')]
    """
    if text_of(body.get("kind")) and _group_of(body) in _BUILT_IN_GROUPS:
        return
    for value, at, _ in _walk(body, root, ()):
        if isinstance(value, str) and (_is_named_image(at) or _FULL_NAME.fullmatch(value)):
            yield at, value


def _is_named_image(at: Path) -> bool:
    """Whether a key names an image: ``image``, ``workerImage``, ``image.repository``."""
    keys = [each.lower() for each in at if isinstance(each, str)]
    if not keys:
        return False
    if keys[-1].endswith(("image", "images")):
        return True
    return any(
        outer.endswith("image") and inner in {"repository", "name"}
        for outer, inner in pairwise(keys[-2:])
    )


def format_path(at: Path) -> str | None:
    """
    Return a path as ``image_paths`` has it; ``None`` if a key has a character of the syntax.

    >>> format_path(("spec", "workers", 0, "image"))
    'spec.workers[].image'
    """
    if not all(isinstance(each, int) or _PLAIN_KEY.fullmatch(each) for each in at):
        return None
    return "".join(_ITEM if isinstance(each, int) else f".{each}" for each in at).removeprefix(".")


def _group_of(body: Mapping[str, Any]) -> str:
    group, slash, _ = (text_of(body.get("apiVersion")) or "").rpartition("/")
    return group if slash else ""
