"""What is wrong with a field of an object, in the words of the API server."""

import json
from collections.abc import Iterable
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


def required(field: str, detail: str = "") -> FieldError:
    """Say that a field is missing or empty."""
    return FieldError(field, "FieldValueRequired", _joined("Required value", detail))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """Say that a field's value breaks a rule."""
    return FieldError(
        field, "FieldValueInvalid", _joined(f"Invalid value: {_shown(value)}", detail)
    )


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """Say that a value is none of those that the field can have."""
    values = ", ".join(json.dumps(one) for one in supported)
    return FieldError(
        field,
        "FieldValueNotSupported",
        f"Unsupported value: {_shown(value)}: supported values: {values}",
    )


def forbidden(field: str, detail: str) -> FieldError:
    """Say that a field may not be set or changed here."""
    return FieldError(field, "FieldValueForbidden", _joined("Forbidden", detail))


def duplicate(field: str, value: Any) -> FieldError:
    """Say that a value stands twice where it may stand once."""
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def absent(field: str, value: Any) -> FieldError:
    """Say that what a value names does not exist."""
    return FieldError(field, "FieldValueNotFound", f"Not found: {_shown(value)}")


def too_long(field: str, limit: int) -> FieldError:
    """Say that a value has too many bytes."""
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def _joined(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
