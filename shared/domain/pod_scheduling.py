"""
The requirements of a pod on its node: labels, taints and accelerators.

Tenants write these fields, so a value of a wrong type must not raise an error.
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
"""The prefix of an extended resource that requests a device of a class without a claim.

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
class SchedulingFields:
    """The scheduling fields of a pod spec as written, of any type."""

    node_selector: Any = None
    affinity: Any = None
    tolerations: Any = None

    def within(self, fields: Mapping[str, Any]) -> "SchedulingFields":
        """
        Return the scheduling of an inner part, which inherits the fields that it does not set.

        In Argo Workflows a template overrides single fields of the workflow. In other kinds, only
        pod specs have such fields.
        """
        return SchedulingFields(
            fields.get("nodeSelector") or self.node_selector,
            fields.get("affinity") or self.affinity,
            fields.get("tolerations") or self.tolerations,
        )

    @property
    def labels(self) -> Mapping[str, str]:
        """
        The required node labels, each with one value.

        Terms of a required affinity are alternatives, and so are the values of an expression. The
        first of each is used, because users usually list the preferred one first. If a selector
        names the same label, both must hold, and the selector is narrower.
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
        """The labels and the valid tolerations."""
        return Placement.of(self.labels, _read_tolerations(self.tolerations))

    @property
    def platform(self) -> str | None:
        """
        The ``os/architecture`` in the labels; ``None`` if they do not name an architecture.

        The default operating system is linux; an operating system alone is not a platform.
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

    The device class of a claim is in another object, which a detector cannot read, and an
    administrator chooses the name of a class. So every claim of a container counts, and every
    resource with a device class: on GKE, claims provide GPUs, TPUs and their network cards. A
    false positive warms an image in vain; a false negative makes a workload wait for its image
    while an accelerator is idle.
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
    Whether a quantity, as a number or a text, is more than zero.

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
            # The API server would refuse this toleration; the others still apply.
            continue
