"""Bodies of Kubernetes objects as plain JSON values."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

Body = dict[str, Any]
Patch = Body | list[Body]
"""A JSON patch is a list; the other kinds look like the object."""

encode = msgspec.json.encode
decode = msgspec.json.decode


def clone(value: Any) -> Any:
    """Copy a JSON value; through its text, which is several times faster than ``deepcopy``."""
    return decode(encode(value))


def dig(body: Any, *path: str) -> Any:
    """
    Return the value at a path of keys, or None if a key is missing.

    >>> dig({"spec": {"nodeName": "n1"}}, "spec", "nodeName")
    'n1'
    """
    for key in path:
        if not isinstance(body, dict):
            return None
        body = body.get(key)
    return body


def items(body: Any, *path: str) -> list[Any]:
    """Return the list at a path; an absent one is empty."""
    return dig(body, *path) or []


def mapping(body: Any, *path: str) -> Body:
    """Return the object at a path; an absent one is empty."""
    return dig(body, *path) or {}


def format_seconds(moment: datetime) -> str:
    """
    Format a time in whole seconds, as Kubernetes does.

    >>> format_seconds(datetime(2024, 1, 1, 0, 0, 0, 999, tzinfo=UTC))
    '2024-01-01T00:00:00Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def containers(pod_spec: Body) -> Iterator[tuple[str, int, Body]]:
    """Yield the containers of a pod spec with their field and index."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(items(pod_spec, field)):
            yield field, index, container
