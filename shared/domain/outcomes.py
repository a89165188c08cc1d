"""How the handling of a delivery ended, as its one log line says it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

_TOLD: Final = {
    "created": "created Job {}",
    "waiting": "Job {} waits for its turn",
    "known": "Job {} was made before",
    "too_small": "too small for Job {}",
    "would_create": "would create {}",
    "published": "published {}",
    "ended": "ended Job {}",
    "resumed": "resumed Job {}",
}
"""What a detail of that name says to a person."""

_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How the handling of a delivery ended, where it ended well.

    ``ignored`` says that there was nothing to do, and ``details["reason"]`` why. The details
    become fields of the delivery's log line, so they hold plain JSON values.
    """

    disposition: Literal["handled", "ignored"]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def story(self) -> str:
        """
        What was done, for whoever reads nothing but the message of the log line.

        >>> Outcome("handled", {"created": ["warm-a-1"], "image": "a:1"}).story
        'created Job warm-a-1 for a:1'
        >>> Outcome("handled", {"outcome": "pull_failed", "reason": "it is gone"}).story
        'pull_failed: it is gone'
        """
        details = self.details
        told = [
            text.format(_names(details[name])) for name, text in _TOLD.items() if details.get(name)
        ]
        told += [_result(each) for each in details.get("failures") or ()]
        result = _result(details)
        if result:
            told.insert(0, result)
        elif details.get("fact"):
            told.insert(0, str(details["fact"]))
        text = "; ".join(told)
        image = str(details.get("image") or "")
        if image and image not in text:
            text += f" for {image}" if text else image
        return text


def ignored(reason: str, **details: Any) -> Outcome:
    """Return the outcome of a delivery that asks for nothing, with the reason."""
    return Outcome("ignored", {"reason": reason, **details})


def _names(value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    names = [str(each) for each in value]
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _result(details: Mapping[str, Any]) -> str:
    """Say how a warmup or a pull ended, and why."""
    parts = [details.get(name) for name in ("outcome", "streamed", "reason")]
    return ": ".join(str(part) for part in parts if part)
