"""Decoding of values that are not objects or lists."""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sandbox.kubernetes.bodies import format_seconds

Check = Callable[[Any], Any]
"""Returns the value as the server stores it, or raises DecodeError."""

_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|[numkKMGTPE]i?|)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class DecodeError(ValueError):
    """
    A field cannot hold a value.

    >>> error = DecodeError(1, "a string")
    >>> for step in (0, "containers", "spec"):
    ...     error.add_parent(step)
    >>> str(error)
    'spec.containers[0]: expected a string, found 1'
    """

    def __init__(self, value: Any, expected: str) -> None:
        super().__init__(f"expected {expected}, found {value!r}")
        self._path = ""

    def add_parent(self, step: str | int) -> None:
        """Put the field or the index of a parent before the path."""
        self._path = (f"[{step}]" if isinstance(step, int) else f".{step}") + self._path

    def __str__(self) -> str:
        return f"{self._path.removeprefix('.')}: {self.args[0]}"


def _of_type(expected: str, *types: type) -> Check:
    def check(value: Any) -> Any:
        if value.__class__ not in types:
            raise DecodeError(value, expected)
        return value

    return check


def _integer(bits: int) -> Check:
    limit = 1 << (bits - 1)

    def check(value: Any) -> Any:
        if value.__class__ is not int or not -limit <= value < limit:
            raise DecodeError(value, f"an integer of {bits} bits")
        return value

    return check


def _bytes(value: Any) -> Any:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError) as exc:
        raise DecodeError(value, "base64") from exc
    return value


def _quantity(value: Any) -> Any:
    if value.__class__ is bool or not _QUANTITY.fullmatch(text := str(value)):
        raise DecodeError(value, "a quantity")
    return text


def _parse_time(value: Any) -> datetime:
    if value.__class__ is not str or not _TIME.fullmatch(value):
        raise DecodeError(value, "a time")
    return datetime.fromisoformat(value)


def _time(value: Any) -> Any:
    """Keep whole seconds, as the server does."""
    return format_seconds(_parse_time(value))


def _micro_time(value: Any) -> Any:
    return _parse_time(value).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


SCALARS: dict[tuple[str | None, str | None], Check] = {
    ("string", None): _of_type("a string", str),
    ("string", "byte"): _bytes,
    ("string", "date-time"): _time,
    ("boolean", None): _of_type("a boolean", bool),
    ("integer", "int32"): _integer(32),
    ("integer", "int64"): _integer(64),
    ("number", "double"): _of_type("a number", int, float),
    ("object", None): _of_type("an object", dict),
    ("", "Quantity"): _quantity,
    ("", "IntOrString"): _of_type("an integer or a string", int, str),
    ("", "Time"): _time,
    ("", "MicroTime"): _micro_time,
}
"""By type and format of the schema; types that have only a name have an empty type."""
