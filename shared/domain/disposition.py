"""The outcome of a delivery, for its one log line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

TOO_OLD: Final = "the message is older than max_event_age_hours"
"""The reason for which a delivery that ``is_too_old`` is ignored."""

NOT_WATCHED: Final = "the cluster is not watched"
"""The reason for which a delivery about another cluster is ignored."""

NOT_CONFIRMED: Final = "the object of the event does not confirm it"
"""The reason for which a claim that the cluster does not confirm is ignored."""

_TOLD: Final = {
    "created": "created Job {}",
    "waiting": "queued Job {}",
    "known": "found Job {} of this period",
    "too_small": "too small for Job {}",
    "would_create": "would create {}",
    "prewarming": "asked for {} to be prewarmed",
    "prewarmed": "found {} prewarmed",
    "renewed": "prewarmed longer: {}",
    "published": "published {}",
    "due": "warmups due: {}",
    "reported": "warmups reported late: {}",
    "removed": "Jobs removed: {}",
    "moved": "tags that were moved: {}",
    "bypassed": "images that bypass a proven mirror: {}",
    "ended": "ended Job {}",
    "resumed": "resumed Job {}",
    "passed": "not prewarmed: {}",
    "left_out": "no room to prewarm {}",
}
"""The text for a detail of each name."""

_SUBJECTS: Final = ("image", "job", "pod", "node", "cluster")
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The outcome of a delivery that was handled without an error.

    ``ignored`` means that nothing was to be done, for the reason in ``details["reason"]``. The
    details become fields of the delivery's log line, so they hold plain JSON values.
    """

    disposition: Literal["handled", "ignored"]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def story(self) -> str:
        """
        A summary for readers who see only the message of the log line.

        >>> Outcome("handled", {"created": ["warm-a-1"], "image": "a:1"}).story
        'created Job warm-a-1 for a:1'
        >>> Outcome("handled", {"outcome": "pull_failed", "reason": "it is gone"}).story
        'pull_failed: it is gone'
        """
        details = self.details
        results = [_result(each) for each in (details, *(details.get("failures") or ()))]
        deeds = [
            text.format(_names(details[name])) for name, text in _TOLD.items() if details.get(name)
        ]
        told = [each for each in results if each] + deeds
        first = told[0] if told else str(details.get("fact") or "")
        return "; ".join([_with_subject(first, details), *told[1:]])


@dataclass(frozen=True, slots=True)
class Irrelevant:
    """A report that is not about a pull, a warmup or streaming."""

    reason: str


def ignored(reason: str, **details: Any) -> Outcome:
    """Return the outcome of a delivery that requires nothing, with the reason."""
    return Outcome("ignored", {"reason": reason, **details})


def is_too_old(publish_time: datetime, now: datetime, max_age: timedelta) -> bool:
    """
    Whether a message was published longer ago than ``max_age``; zero means no limit.

    Pub/Sub sets the publish time, so a message that is redelivered repeatedly becomes too old.
    Google advises such an end for endless retries.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> is_too_old(noon, noon + timedelta(hours=25), timedelta(hours=24))
    True
    >>> is_too_old(noon, noon + timedelta(days=365), timedelta(0))
    False
    """
    return max_age > timedelta(0) and now - publish_time > max_age


def _result(details: Mapping[str, Any]) -> str:
    """Return the outcome of a warmup or a pull, with the reason."""
    ended = ", ".join(details[name] for name in ("outcome", "streamed") if details.get(name))
    return ": ".join(part for part in (ended, str(details.get("reason") or "")) if part)


def _names(value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    names = [str(each) for each in value]
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _with_subject(text: str, details: Mapping[str, Any]) -> str:
    """Add the subject, unless the text contains it."""
    subject = str(next((details[name] for name in _SUBJECTS if details.get(name)), ""))
    if not subject or subject in text:
        return text
    if not text:
        return subject
    # A reason is a complete sentence.
    return f"{text} ({subject})" if details.get("reason") else f"{text} for {subject}"
