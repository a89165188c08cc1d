"""Durations, and times relative to now."""

import re
from datetime import datetime, timedelta

_PART = re.compile(r"(\d+)(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_duration(text: str) -> timedelta:
    """
    Parse a duration in the form of kubectl.

    Raises:
        ValueError: The text is not a duration.

    >>> parse_duration("1h30m").total_seconds()
    5400.0
    """
    parts = _PART.findall(text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise ValueError(f"not a duration such as 90s, 10m or 1h30m: {text!r}")
    try:
        return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError as exc:
        raise ValueError(f"a duration that is too long: {text!r}") from exc


def show_span(span: timedelta) -> str:
    """
    Return a duration in its two largest units.

    >>> show_span(timedelta(hours=26, minutes=5)), show_span(timedelta(seconds=8))
    ('1d2h', '8s')
    """
    seconds = max(round(span.total_seconds()), 0)
    parts: list[tuple[int, str]] = []
    for unit, size in reversed(_UNITS.items()):
        number, seconds = divmod(seconds, size)
        if number or parts:
            parts.append((number, unit))
    shown = [f"{number}{unit}" for number, unit in parts[:2] if number]
    return "".join(shown) or "0s"


def show_ago(moment: datetime, now: datetime) -> str:
    """
    Return the time since or until a moment.

    >>> noon = datetime(2026, 1, 1, 12)
    >>> show_ago(noon, noon + timedelta(minutes=3)), show_ago(noon, noon - timedelta(hours=5))
    ('3m ago', 'in 5h')
    """
    return f"{show_span(now - moment)} ago" if moment <= now else f"in {show_span(moment - now)}"


def show_since(moment: datetime, now: datetime) -> str:
    """
    Return the time since an observed moment; if clocks differ, it is at least zero.

    >>> noon = datetime(2026, 1, 1, 12)
    >>> show_since(noon, noon - timedelta(seconds=2))
    'just now'
    """
    return show_ago(moment, now) if moment < now else "just now"
