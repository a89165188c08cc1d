"""Decoding of values that are not objects or lists."""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sandbox.kubernetes.bodies import format_seconds

Path = tuple[Any, Any] | None
"""A path as linked pairs of the parent and the last step; joined only for a message."""
Scalar = Callable[[Any, Path, Any], Any]

_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|[numkKMGTPE]i?|)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class DecodeError(ValueError):
    """A field cannot hold a value."""


def undecodable(value: Any, path: Path, expected: str) -> DecodeError:
    """Return the error of a value that is not of the expected type."""
    return DecodeError(f"{join_path(path)}: expected {expected}, found {value!r}")


def join_path(path: Path) -> str:
    """
    Join a path as messages have it.

    >>> join_path((((None, "spec"), "containers"), 0))
    'spec.containers[0]'
    """
    text = ""
    while path is not None:
        path, step = path
        text = (f"[{step}]" if isinstance(step, int) else f".{step}") + text
    return text.removeprefix(".")


def _of_type(expected: str, *types: type) -> Scalar:
    def check(value: Any, path: Path, _found: Any) -> Any:
        if value.__class__ not in types:
            raise undecodable(value, path, expected)
        return value

    return check


_string = _of_type("a string", str)


def _integer(bits: int) -> Scalar:
    limit = 1 << (bits - 1)

    def check(value: Any, path: Path, _found: Any) -> Any:
        if value.__class__ is not int or not -limit <= value < limit:
            raise undecodable(value, path, f"an integer of {bits} bits")
        return value

    return check


def _bytes(value: Any, path: Path, found: Any) -> Any:
    try:
        base64.b64decode(_string(value, path, found), validate=True)
    except binascii.Error as exc:
        raise undecodable(value, path, "base64") from exc
    return value


def _quantity(value: Any, path: Path, _found: Any) -> Any:
    if value.__class__ is bool or not _QUANTITY.fullmatch(text := str(value)):
        raise undecodable(value, path, "a quantity")
    return text


def _parse_time(value: Any, path: Path) -> datetime:
    if value.__class__ is not str or not _TIME.fullmatch(value):
        raise undecodable(value, path, "a time")
    return datetime.fromisoformat(value)


def _time(value: Any, path: Path, _found: Any) -> Any:
    """Keep whole seconds, as the server does."""
    return format_seconds(_parse_time(value, path))


def _micro_time(value: Any, path: Path, _found: Any) -> Any:
    moment = _parse_time(value, path).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


SCALARS: dict[tuple[str | None, str | None], Scalar] = {
    ("string", None): _string,
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
