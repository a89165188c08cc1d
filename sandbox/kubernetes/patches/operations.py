"""JSON patch (RFC 6902)."""

from typing import Any

import jsonpatch
import jsonpointer

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.statuses import bad_request, failure


def apply_operations(target: Body, operations: Any) -> Body:
    """
    Return an object after a list of operations.

    Raises:
        ApiError: 400 for what is no patch, 422 for one that does not fit the object.
    """
    if not isinstance(operations, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type "
            "jsonpatch.Patch"
        )
    try:
        result: Body = jsonpatch.apply_patch(target, operations)
    except jsonpatch.InvalidJsonPatch as exc:
        raise bad_request(f"error decoding patch: {exc}") from exc
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as exc:
        raise failure(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
            {"causes": [{"reason": "UnexpectedServerResponse", "message": str(exc)}]},
        ) from exc
    return result
