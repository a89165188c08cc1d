"""
What a pod asks of the node that it runs on: its labels, its taints, its accelerators.

All of it is read from what tenants write, so nothing here may fail on a wrong type.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.json_access import field_at, list_of, mapping_of, mappings_of, text_of
from shared.domain.placement import (
    ACCELERATOR_KEY,
    ARCH_KEY,
    COMPUTE_CLASS_KEY,
    OS_KEY,
    TPU_KEY,
    InvalidPlacementError,
    Placement,
    Toleration,
)

ACCELERATOR_RESOURCES = frozenset({"nvidia.com/gpu", "google.com/tpu"})
ACCELERATOR_KEYS = frozenset({ACCELERATOR_KEY, TPU_KEY, COMPUTE_CLASS_KEY})

DEVICE_CLASS_PREFIX = "deviceclass.resource.kubernetes.io/"
"""Begins the extended resource that asks for a device of a class, without a claim.

https://www.kubernetes.dev/resources/keps/5004/
"""

_REQUIRED_TERMS = (
    "nodeAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms",
)
_WANTING_OPERATORS = frozenset({"In", "Exists"})
_DEFAULT_OS = "linux"

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_POSITIVE_QUANTITY = re.compile(r"\+?[0-9.]*[1-9].*")
_PLATFORM_PART = re.compile(r"[a-z0-9]{1,32}")
"""Longer than any name of an operating system or an architecture."""


@dataclass(frozen=True, slots=True)
class Scheduling:
    """The scheduling fields of a pod spec, as they were written, of whatever type."""

    node_selector: Any = None
    affinity: Any = None
    tolerations: Any = None

    def within(self, fields: Mapping[str, Any]) -> "Scheduling":
        """
        Return the scheduling of a part inside of this one: what it does not set is inherited.

        So it is in Argo Workflows, where a template overrides the workflow's fields one by one.
        Elsewhere nothing around a pod spec has such fields.
        """
        return Scheduling(
            fields.get("nodeSelector") or self.node_selector,
            fields.get("affinity") or self.affinity,
            fields.get("tolerations") or self.tolerations,
        )

    @property
    def labels(self) -> Mapping[str, str]:
        """
        The node labels that are asked for, each with one value.

        Terms of a required affinity are alternatives, and so are the values of an expression:
        the first of each stands for all, since whoever wrote them named the preferred one first.
        Where a selector names a label as well, both must hold, and the selector is narrower.
        """
        terms = mappings_of(field_at(self.affinity, _REQUIRED_TERMS))
        first_term = terms[0] if terms else {}
        wanted: dict[str, str] = {}
        for expression in mappings_of(first_term.get("matchExpressions")):
            values = list_of(expression.get("values"))
            key, value = text_of(expression.get("key")), text_of(values[0]) if values else None
            if expression.get("operator") == "In" and key is not None and value is not None:
                wanted.setdefault(key, value)
        return wanted | {
            key: value
            for key, value in mapping_of(self.node_selector).items()
            if isinstance(value, str)
        }

    @property
    def placement(self) -> Placement:
        """The labels and the tolerations; what is no toleration is left out."""
        return Placement.of(self.labels, _read_tolerations(self.tolerations))

    @property
    def platform(self) -> str | None:
        """
        The ``os/architecture`` that the labels name; None where they leave it open.

        An operating system alone is no platform, and linux is meant where none is named.
        """
        labels = self.labels
        parts = (labels.get(OS_KEY, _DEFAULT_OS), labels.get(ARCH_KEY, ""))
        if not all(_PLATFORM_PART.fullmatch(part) for part in parts):
            return None
        return "/".join(parts)

    @property
    def wants_accelerator_node(self) -> bool:
        """Whether the selector, or any term of the required affinity, names accelerator nodes."""
        expressions = [
            expression
            for term in mappings_of(field_at(self.affinity, _REQUIRED_TERMS))
            for expression in mappings_of(term.get("matchExpressions"))
            if text_of(expression.get("operator")) in _WANTING_OPERATORS
        ]
        keys = {text_of(expression.get("key")) for expression in expressions}
        keys.update(mapping_of(self.node_selector))
        return not ACCELERATOR_KEYS.isdisjoint(keys)


def requests_accelerator(pod: Mapping[str, Any], containers: Iterable[Mapping[str, Any]]) -> bool:
    """
    Whether a container of a pod requests an accelerator, as a resource or through a claim.

    The device class of a claim stands in another object, which a detector cannot read, and the
    name of a class is the administrator's choice. So every claim that a container uses counts,
    and every resource that names a device class: what claims get on GKE are GPUs, TPUs and the
    network cards beside them. A wrong yes warms an image for nothing; a wrong no leaves somebody
    waiting for it with an accelerator idle.
    """
    claims = {text_of(claim.get("name")) for claim in mappings_of(pod.get("resourceClaims"))}
    claims.discard(None)
    for container in containers:
        resources = mapping_of(container.get("resources"))
        used = {text_of(claim.get("name")) for claim in mappings_of(resources.get("claims"))}
        if not claims.isdisjoint(used) or any(_requested_accelerators(resources)):
            return True
    return False


def _requested_accelerators(resources: Mapping[str, Any]) -> Iterator[bool]:
    for kind in ("requests", "limits"):
        for name, quantity in mapping_of(resources.get(kind)).items():
            if name in ACCELERATOR_RESOURCES or name.startswith(DEVICE_CLASS_PREFIX):
                yield _is_positive(quantity)


def _is_positive(quantity: Any) -> bool:
    """
    Whether a quantity, written as a number or a text, is more than zero.

    >>> [_is_positive(quantity) for quantity in (1, "1", "1k", 0, "0", "-1", True, None)]
    [True, True, True, False, False, False, False, False]
    """
    if isinstance(quantity, str):
        return _POSITIVE_QUANTITY.fullmatch(quantity) is not None
    return isinstance(quantity, int | float) and quantity is not True and quantity > 0


def _read_tolerations(values: Any) -> Iterator[Toleration]:
    for value in mappings_of(values):
        try:
            yield Toleration.from_json(value)
        except InvalidPlacementError:
            # One that the API server would not have taken either; the others still hold.
            continue
