"""The objects that a trial creates in a cluster: a namespace, an account, a priority class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.warmup_job import SERVICE_ACCOUNT

_LABELS: Final = {
    "app.kubernetes.io/name": "prestream",
    "app.kubernetes.io/component": "trial",
}
_PRIORITY: Final = -5
"""Above the limit of the cluster autoscaler, because Autopilot adds nodes for the pods."""


@dataclass(frozen=True, slots=True)
class Removal:
    """How a created object is removed again."""

    subject: str
    """The object, for a person."""
    command: str
    """The command with which a person removes it."""
    remove: Callable[[], None]


def make_namespace(name: str) -> dict[str, Any]:
    """Return the namespace of the pulls; its pods satisfy the strictest Pod Security level."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {**_LABELS, "pod-security.kubernetes.io/enforce": "restricted"},
        },
    }


def make_service_account() -> dict[str, Any]:
    """Return the service account of the pods, which has no rights."""
    metadata = {"name": SERVICE_ACCOUNT, "labels": dict(_LABELS)}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def make_priority_class(name: str) -> dict[str, Any]:
    """Return the priority class of the pods, which any other pod preempts."""
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name, "labels": dict(_LABELS)},
        "description": "Pulls of prestream trial. They preempt nothing.",
        "value": _PRIORITY,
        "preemptionPolicy": "Never",
        "globalDefault": False,
    }
