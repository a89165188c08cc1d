"""The causes of a 422: fields that break a rule, in the words of the API server."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One cause of a 422."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


Errors = Iterator[FieldError]


def required(field: str, detail: str = "") -> FieldError:
    """Return the error of a missing or empty field."""
    return FieldError(field, "FieldValueRequired", _joined("Required value", detail))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """Return the error of a value that breaks a rule."""
    text = _joined(f"Invalid value: {_shown(value)}", detail)
    return FieldError(field, "FieldValueInvalid", text)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """Return the error of a value that is not one of the supported ones."""
    values = ", ".join(json.dumps(one) for one in supported)
    text = f"Unsupported value: {_shown(value)}: supported values: {values}"
    return FieldError(field, "FieldValueNotSupported", text)


def disallowed(field: str, detail: str) -> FieldError:
    """Return the error of a field that may not be set or changed here."""
    return FieldError(field, "FieldValueForbidden", _joined("Forbidden", detail))


def duplicate(field: str, value: Any) -> FieldError:
    """Return the error of a repeated value."""
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def absent(field: str, value: Any) -> FieldError:
    """Return the error of a value that names something that does not exist."""
    return FieldError(field, "FieldValueNotFound", f"Not found: {_shown(value)}")


def too_long(field: str, limit: int) -> FieldError:
    """Return the error of a value with too many bytes."""
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def _joined(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
