"""Who made a Kubernetes object."""

from collections.abc import Mapping
from typing import Any

from shared.domain.untrusted import field_at, mappings_of, text_of

_BUILT_IN_CONTROLLERS = frozenset({"apps/v1", "batch/v1"})


def has_built_in_controller(body: Mapping[str, Any]) -> bool:
    """
    Whether a built-in controller made the object, out of another that holds the same images.

    A custom resource is no such other: what its controller makes is the first to be looked at.
    """
    return any(
        owner.get("controller") is True
        and (
            text_of(owner.get("apiVersion")) in _BUILT_IN_CONTROLLERS
            or (owner.get("apiVersion") == "v1" and owner.get("kind") == "ReplicationController")
        )
        for owner in mappings_of(field_at(body, ("metadata", "ownerReferences")))
    )
