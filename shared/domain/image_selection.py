"""The scope of watched workloads, and the selection of images to warm."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from shared.domain.image_reference import ImageReference

if TYPE_CHECKING:
    from shared.domain.workload import PodSpec


@dataclass(frozen=True, slots=True)
class Scope:
    """The namespaces and clusters whose workloads are examined."""

    namespace: str
    """Our own namespace, whose Jobs must not trigger further requests."""
    system_namespaces: frozenset[str]
    clusters: str | tuple[str, ...] = "auto"


@dataclass(frozen=True, slots=True)
class Selection:
    """
    The rules of the configuration for the images to warm.

    Patterns match the whole full name, ``REGISTRY/REPOSITORY`` without tag or digest, with regard
    to case. ``*`` matches any characters including slashes, ``?`` matches one character, and
    ``[ab]`` one of several.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    accelerators_only: bool = True

    def admits(self, reference: ImageReference) -> bool:
        """
        Whether a pattern of ``include`` matches, and none of ``exclude``.

        >>> from shared.domain.image_reference import parse_reference
        >>> selection = Selection(include=("docker.io/*",), exclude=("*/library/*",))
        >>> selection.admits(parse_reference("anyscale/ray-ml:2.7.0"))
        True
        >>> selection.admits(parse_reference("nginx"))
        False
        """
        return _matches(reference.name, self.include) and not _matches(reference.name, self.exclude)

    def wants(self, pod: "PodSpec") -> bool:
        """Whether the images of a pod are candidates."""
        return pod.asks_for_accelerator or not self.accelerators_only


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
