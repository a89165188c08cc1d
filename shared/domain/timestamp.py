"""Times in messages, objects and log entries: RFC 3339."""

from datetime import MAXYEAR, MINYEAR, UTC, datetime


def parse_time(text: str) -> datetime:
    """
    Parse an RFC 3339 time, cutting fractions of a second at microseconds.

    Raises:
        ValueError: The text is not a time, or is so near the first or last year that a change of
            zone, or adding a period, would leave the supported range.

    >>> parse_time("2024-01-01T01:00:00.123456789Z").isoformat()
    '2024-01-01T01:00:00.123456+00:00'
    """
    time = datetime.fromisoformat(text)
    if not MINYEAR < time.year < MAXYEAR:
        raise ValueError(f"a time of the year {time.year}")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def format_time(time: datetime) -> str:
    """
    Format a time, in UTC.

    >>> format_time(datetime(2024, 10, 3, 1, 45, 31, tzinfo=UTC))
    '2024-10-03T01:45:31Z'
    """
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
