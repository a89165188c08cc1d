"""When a message has become too old to act upon."""

from datetime import datetime, timedelta

TOO_OLD = "the message is older than max_event_age_hours"
"""The reason that goes with it."""


def is_too_old(publish_time: datetime, now: datetime, max_age: timedelta) -> bool:
    """
    Whether a message was published longer ago than ``max_age``; zero is no limit.

    The publish time is Pub/Sub's, so that a message which is redelivered again and again grows
    old, whatever time it speaks of: the end that Google advises for endless retry.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> is_too_old(noon, noon + timedelta(hours=25), timedelta(hours=24))
    True
    >>> is_too_old(noon, noon + timedelta(days=365), timedelta(0))
    False
    """
    return max_age > timedelta(0) and now - publish_time > max_age
