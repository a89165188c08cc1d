"""How the handling of a delivery ended, as its one log line says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How the handling of a delivery ended, where it ended well.

    ``ignored`` says that there was nothing to do, and ``details["reason"]`` why. The details
    become fields of the delivery's log line, so they hold plain JSON values.
    """

    disposition: Literal["handled", "ignored"]
    details: Mapping[str, Any] = field(default_factory=dict)


def ignored(reason: str, **details: Any) -> Outcome:
    """Return the outcome of a delivery that asks for nothing, with the reason."""
    return Outcome("ignored", {"reason": reason, **details})
