"""
The next start of a CronJob, from its schedule.

https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?:(\*|\?)|(\w+)(?:-(\w+))?)(?:/([0-9]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of a CronJob."""

    text: str
    time_zone: str | None = None
    """A name of the IANA database; ``None`` for the control plane's time zone, UTC."""

    def next_start(self, after: datetime, within: timedelta) -> datetime | None:
        """
        Return the first start after a moment; ``None`` if it is later or the schedule is invalid.

        >>> nightly = Schedule("30 2 * * mon-fri")
        >>> friday = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
        >>> nightly.next_start(friday, timedelta(days=7)).isoformat()
        '2026-11-30T02:30:00+00:00'
        """
        try:
            fields = _parse(self.text)
            zone: tzinfo = ZoneInfo(self.time_zone) if self.time_zone else UTC
        except (ValueError, LookupError, OSError):
            return None
        for day in _days(after.astimezone(zone), within):
            if not fields.has_day(day):
                continue
            for hour in sorted(fields.hours):
                for minute in sorted(fields.minutes):
                    start = day.replace(hour=hour, minute=minute)
                    if after < start <= after + within:
                        return start.astimezone(UTC)
        return None


@dataclass(frozen=True, slots=True)
class _Fields:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    needs_both: bool
    """Whether a day must match both its number and its name, because one of them is ``*``."""

    def has_day(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        matches = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return all(matches) if self.needs_both else any(matches)


def _days(first: datetime, within: timedelta) -> Iterator[datetime]:
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(within.days + 2):
        yield midnight + timedelta(days=number)


def _parse(text: str) -> _Fields:
    """Parse the five fields; raise a ValueError for any other form."""
    minute, hour, day, month, weekday = _MACROS.get(text.strip(), text).split()
    return _Fields(
        minutes=_values(minute, 0, 59),
        hours=_values(hour, 0, 23),
        days=_values(day, 1, 31),
        months=_values(month, 1, 12, _MONTHS),
        # Sunday is both 0 and 7.
        weekdays=frozenset(each % 7 for each in _values(weekday, 0, 7, _DAYS)),
        needs_both=day[0] in "*?" or weekday[0] in "*?",
    )


def _values(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"not a field of a schedule: {text!r}")
        every, first, last, step = found.groups()
        start = low if every else _number(first, low, names)
        # A step without an end continues to the last value.
        end = _number(last, low, names) if last else (high if every or step else start)
        if not low <= start <= end <= high or step == "0":
            raise ValueError(f"not a field of a schedule: {text!r}")
        values.update(range(start, end + 1, int(step or 1)))
    return frozenset(values)


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    name = text.lower()
    return names.index(name) + low if name in names else int(text)
