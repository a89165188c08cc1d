"""
The placement of a workload on nodes, in the parts that a warmup may copy.

A placement is copied from objects of tenants, so it is reduced to the keys in the configuration
before it is used.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NewType, Self

TargetName = NewType("TargetName", str)
"""A name of a placement that is a valid label value: at most 63 characters."""

OS_KEY = "kubernetes.io/os"
ARCH_KEY = "kubernetes.io/arch"
ACCELERATOR_KEY = "cloud.google.com/gke-accelerator"
TPU_KEY = "cloud.google.com/gke-tpu-accelerator"
COMPUTE_CLASS_KEY = "cloud.google.com/compute-class"
SPOT_KEY = "cloud.google.com/gke-spot"

DEFAULT_PLATFORM = "linux/amd64"

PRIORITY_CLASS = "prestream-warmup"
SCALING_PRIORITY_CLASS = "prestream-warmup-scaling"

_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
"""https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set"""

_EFFECTS = frozenset({"", "NoSchedule", "PreferNoSchedule", "NoExecute"})

_NO_LABEL = re.compile(r"[^A-Za-z0-9]+")
_MAX_NAME = 40
_MAX_TOLERATIONS = 32
"""More than any workload needs for the listed keys."""


class InvalidPlacementError(ValueError):
    """A value is not a placement: its selector or one of its tolerations is invalid."""


@dataclass(frozen=True, slots=True, order=True)
class Toleration:
    """A toleration of a taint, in the fields of core/v1."""

    key: str
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """
        Read a toleration in the form of Kubernetes.

        Raises:
            InvalidPlacementError: It is not an object of strings, or its operator is unknown.
        """
        if not isinstance(value, Mapping):
            raise InvalidPlacementError(f"a toleration is not an object: {_kind(value)}")
        fields = {
            "key": value.get("key") or "",
            "operator": value.get("operator") or "Equal",
            "value": value.get("value") or "",
            "effect": value.get("effect") or "",
        }
        if not all(isinstance(text, str) for text in fields.values()):
            raise InvalidPlacementError("a toleration has a field that is not a string")
        if fields["operator"] not in {"Equal", "Exists"}:
            raise InvalidPlacementError("the operator of a toleration is neither Equal nor Exists")
        return cls(**fields)

    def as_json(self) -> dict[str, str]:
        """Return the set fields, in the form of Kubernetes."""
        fields = {
            "key": self.key,
            "operator": self.operator,
            "value": self.value,
            "effect": self.effect,
        }
        return {name: text for name, text in fields.items() if text}

    @property
    def is_sound(self) -> bool:
        """Whether the API server accepts it; it does not check the content of custom resources."""
        value = self.value if self.operator == "Equal" else ""
        return (
            value == self.value
            and _LABEL_VALUE.fullmatch(value) is not None
            and self.effect in _EFFECTS
        )

    def tolerates(self, taint: Mapping[str, Any]) -> bool:
        """
        Whether the taint of a node is tolerated.

        https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
        """
        if self.effect and self.effect != taint.get("effect"):
            return False
        if self.key and self.key != taint.get("key"):
            return False
        return self.operator == "Exists" or self.value == (taint.get("value") or "")


@dataclass(frozen=True, slots=True)
class Placement:
    """A node selector and tolerations, in a canonical order."""

    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()

    @classmethod
    def of(cls, node_selector: Mapping[str, str], tolerations: Iterable[Toleration] = ()) -> Self:
        """Return a placement in canonical order, with each part once."""
        return cls(tuple(sorted(node_selector.items())), tuple(sorted(set(tolerations))))

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """
        Read a placement from ``{"nodeSelector": {…}, "tolerations": […]}``.

        Raises:
            InvalidPlacementError: The value is not a placement.
        """
        if not isinstance(value, Mapping):
            raise InvalidPlacementError(f"a placement is not an object: {_kind(value)}")
        selector = value.get("nodeSelector") or {}
        tolerations = value.get("tolerations") or []
        if not isinstance(selector, Mapping) or not all(
            isinstance(text, str) for pair in selector.items() for text in pair
        ):
            raise InvalidPlacementError("a nodeSelector is not a map of strings")
        if not isinstance(tolerations, list):
            raise InvalidPlacementError(f"tolerations are not a list: {_kind(tolerations)}")
        return cls.of(dict(selector), [Toleration.from_json(each) for each in tolerations])

    def as_json(self) -> dict[str, Any]:
        """Return the form of messages and pods."""
        return {
            "nodeSelector": dict(self.node_selector),
            "tolerations": [each.as_json() for each in self.tolerations],
        }

    @property
    def canonical(self) -> str:
        """A text that is the same for all equivalent placements."""
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))

    @property
    def name(self) -> TargetName:
        """
        A readable name, which a hash makes unique.

        >>> Placement.of({ACCELERATOR_KEY: "nvidia-l4", SPOT_KEY: "true"}).name
        'nvidia-l4-spot-6af5d1'
        """
        selector = dict(self.node_selector)
        values = [selector.get(key, "") for key in (ACCELERATOR_KEY, TPU_KEY, COMPUTE_CLASS_KEY)]
        words = [value for value in values if value] or ["any"]
        if selector.get(SPOT_KEY) == "true":
            words.append("spot")
        slug = _NO_LABEL.sub("-", "-".join(words)).strip("-")[:_MAX_NAME].rstrip("-")
        digest = hashlib.sha256(self.canonical.encode()).hexdigest()
        return TargetName(f"{slug or 'any'}-{digest[:6]}")

    def reduced_to(self, keys: Collection[str]) -> "Placement":
        """
        Return the part of the placement whose keys are listed.

        A toleration without a key tolerates everything, so it is dropped. A value that a label or
        taint cannot have is dropped too: no node matches it, and the API server would refuse it.
        The number of tolerations is limited.
        """
        tolerations = {
            each for each in self.tolerations if each.key and each.key in keys and each.is_sound
        }
        return Placement.of(
            {
                key: value
                for key, value in self.node_selector
                if key in keys and _LABEL_VALUE.fullmatch(value)
            },
            sorted(tolerations)[:_MAX_TOLERATIONS],
        )


def _kind(value: Any) -> str:
    """Return a tenant's value for an error message, shortened."""
    return type(value).__name__
