"""Read untrusted JSON: a value of an unexpected type counts as absent."""

from collections.abc import Iterable, Mapping
from typing import Any

_MAX_DIGITS = 18
"""Python limits the digits of a number that it parses; numbers of ours have 64 bits."""


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Return an object's fields; empty if the value is not an object."""
    return value if isinstance(value, Mapping) else {}


def list_of(value: Any) -> list[Any]:
    """Return a list's items; empty if the value is not a list."""
    return value if isinstance(value, list) else []


def mappings_of(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; empty if the value is not a list."""
    return [item for item in list_of(value) if isinstance(item, Mapping)]


def text_of(value: Any) -> str | None:
    """Return a text; ``None`` if the value is not a text."""
    return value if isinstance(value, str) else None


def number_of(value: Any) -> int | None:
    """
    Return the whole number in a text; ``None`` for any other value or more than 64 bits.

    >>> number_of("42"), number_of("-1"), number_of("9" * 5_000), number_of(None)
    (42, None, None, None)
    """
    text = text_of(value) or ""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    return int(text) if is_number else None


def field_at(value: Any, path: Iterable[str]) -> Any:
    """
    Return the field at the end of a path through objects; ``None`` if the path does not exist.

    >>> field_at({"spec": {"nodeName": "n"}}, ["spec", "nodeName"])
    'n'
    >>> field_at({"spec": "n"}, ["spec", "nodeName"])
    """
    for name in path:
        value = mapping_of(value).get(name)
    return value
