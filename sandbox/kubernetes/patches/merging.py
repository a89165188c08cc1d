"""JSON merge patch (RFC 7396)."""

from typing import Any

from sandbox.kubernetes.bodies import Body


def merge(target: Any, patch: Any) -> Any:
    """
    Return a value after a merge patch; null removes, and lists are replaced whole.

    >>> merge({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    result: Body = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result
