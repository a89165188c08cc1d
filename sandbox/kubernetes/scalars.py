"""Decoding of values that are not objects or lists."""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from sandbox.kubernetes.bodies import format_seconds

Path = tuple[Any, Any] | None
"""A path as linked pairs of the parent and the last step; joined only for a message."""

_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|[numkKMGTPE]i?|)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_BITS = {"int32": 31, "int64": 63}


class DecodeError(ValueError):
    """A value has a type that its field cannot hold."""

    @classmethod
    def of_type(cls, value: Any, struct: str, path: Path, go_type: str) -> Self:
        """Return the error with the text of Go's JSON decoder."""
        steps = [step for step in _steps(path) if isinstance(step, str)]
        return cls(
            f"json: cannot unmarshal {_json_kind(value)} into Go struct field "
            f"{'.'.join([struct, *steps])} of type {go_type}"
        )


def join_path(path: Path) -> str:
    """
    Join a path as messages have it.

    >>> join_path((((None, "spec"), "containers"), 0))
    'spec.containers[0]'
    """
    text = ""
    for step in _steps(path):
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _steps(path: Path) -> list[Any]:
    steps = []
    while path is not None:
        path, step = path
        steps.append(step)
    return steps[::-1]


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if isinstance(value, float) else "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def go_kind(kind: str | None, form: str | None) -> str:
    """Name the Go type of a JSON Schema type."""
    if kind == "integer":
        return form or "int64"
    return {"string": "string", "boolean": "bool", "number": "float64"}.get(
        kind or "", "interface {}"
    )


def _string(value: Any, path: Path, owner: Any, _found: Any) -> Any:
    if value.__class__ is not str:
        raise DecodeError.of_type(value, owner.name, path, "string")
    return value


def _boolean(value: Any, path: Path, owner: Any, _found: Any) -> Any:
    if value.__class__ is not bool:
        raise DecodeError.of_type(value, owner.name, path, "bool")
    return value


def _integer_of(form: str) -> Any:
    limit = 1 << _BITS[form]

    def check(value: Any, path: Path, owner: Any, _found: Any) -> Any:
        if value.__class__ is not int:
            raise DecodeError.of_type(value, owner.name, path, form)
        if not -limit <= value < limit:
            error = str(DecodeError.of_type(value, owner.name, path, form))
            raise DecodeError(error.replace("number", f"number {value}", 1))
        return value

    return check


def _number(value: Any, path: Path, owner: Any, _found: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DecodeError.of_type(value, owner.name, path, "float64")
    return value


def _object(value: Any, path: Path, owner: Any, _found: Any) -> Any:
    if value.__class__ is not dict:
        raise DecodeError.of_type(value, owner.name, path, "map[string]interface {}")
    return value


def _bytes(value: Any, path: Path, owner: Any, found: Any) -> Any:
    _string(value, path, owner, found)
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error as exc:
        raise DecodeError("illegal base64 data at input byte 0") from exc
    return value


def _quantity(value: Any, path: Path, owner: Any, _found: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DecodeError.of_type(value, owner.name, path, "resource.Quantity")
    text = str(value)
    if not _QUANTITY.fullmatch(text):
        raise DecodeError(
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    return text


def _int_or_string(value: Any, path: Path, owner: Any, _found: Any) -> Any:
    if value.__class__ is not str and value.__class__ is not int:
        raise DecodeError.of_type(value, owner.name, path, "intstr.IntOrString")
    return value


def _parsed_time(value: Any, path: Path, owner: Any) -> datetime:
    if value.__class__ is not str:
        raise DecodeError.of_type(value, owner.name, path, "v1.Time")
    if not _TIME.fullmatch(value):
        raise DecodeError(
            f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": '
            f'cannot parse "{value}" as "2006"'
        )
    # Python reads at most microseconds.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))


def _time(value: Any, path: Path, owner: Any, _found: Any) -> Any:
    """Keep whole seconds, as the server does."""
    return format_seconds(_parsed_time(value, path, owner))


def _micro_time(value: Any, path: Path, owner: Any, _found: Any) -> Any:
    moment = _parsed_time(value, path, owner).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


SCALARS: dict[tuple[str | None, str | None], Callable[[Any, Path, Any, Any], Any]] = {
    ("string", None): _string,
    ("string", "byte"): _bytes,
    ("string", "date-time"): _time,
    ("boolean", None): _boolean,
    ("integer", "int32"): _integer_of("int32"),
    ("integer", "int64"): _integer_of("int64"),
    ("number", "double"): _number,
    ("object", None): _object,
    ("", "Quantity"): _quantity,
    ("", "IntOrString"): _int_or_string,
    ("", "Time"): _time,
    ("", "MicroTime"): _micro_time,
}
"""By type and format of the schema; types that have only a name have an empty type."""
