"""Which patch a content type stands for."""

from typing import Any

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.calls import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from sandbox.kubernetes.patches.merging import merge
from sandbox.kubernetes.patches.operations import apply_operations
from sandbox.kubernetes.patches.strategic import merge_strategically
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import definition_of
from sandbox.kubernetes.statuses import bad_request, unsupported_media_type


def apply_patch(resource: Resource, content_type: str, target: Body, patch: Any) -> Body:
    """
    Return an object after a patch.

    Raises:
        ApiError: 415 for a kind of patch that the resource does not know, 400 or 422 for one
            that cannot be applied.
    """
    if content_type == JSON_PATCH:
        return apply_operations(target, patch)
    if content_type not in accepted_types(resource):
        raise unsupported_media_type(accepted_types(resource))
    if not isinstance(patch, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type "
            "map[string]interface {}"
        )
    if content_type == MERGE_PATCH:
        merged: Body = merge(target, patch)
        return merged
    definition = definition_of(resource.group, resource.version, resource.kind)
    result: Body = merge_strategically(target, patch, definition)
    return result


def accepted_types(resource: Resource) -> tuple[str, ...]:
    """Return the content types of patches that a resource takes."""
    if resource.custom:
        return (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
    return (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
