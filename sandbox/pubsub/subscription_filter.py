"""Filters of subscriptions over the attributes of a message, as far as the project uses them."""

import re
from collections.abc import Callable, Mapping

Predicate = Callable[[Mapping[str, str]], bool]

_COMPARISON = re.compile(r'\s*attributes\.([A-Za-z0-9_-]+)\s*=\s*"([^"\\]*)"\s*')


def parse_subscription_filter(text: str) -> Predicate:
    """
    Parse a filter: comparisons of attributes that AND joins; an empty one accepts everything.

    https://cloud.google.com/pubsub/docs/subscription-message-filter

    Raises:
        ValueError: The text is not such a filter.

    >>> accepts = parse_subscription_filter('attributes.status = "SUCCESS"')
    >>> accepts({"status": "SUCCESS"}), accepts({"status": "success"}), accepts({})
    (True, False, False)
    """
    wanted: dict[str, str] = {}
    for term in text.split(" AND ") if text.strip() else ():
        match = _COMPARISON.fullmatch(term)
        if match is None:
            raise ValueError(f"not a comparison of an attribute: {term!r}")
        wanted[match[1]] = match[2]
    return lambda attributes: wanted.items() <= attributes.items()
