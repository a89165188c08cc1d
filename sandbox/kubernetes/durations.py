"""Durations as kubectl prints them."""

_STEPS = (
    (120, 1, "s", 0, ""),
    (600, 60, "m", 1, "s"),
    (10_800, 60, "m", 0, ""),
    (28_800, 3600, "h", 60, "m"),
    (172_800, 3600, "h", 0, ""),
    (691_200, 86_400, "d", 3600, "h"),
)
"""Up to how many seconds which units are used: a bigger one, and what is left in a smaller one."""
_DAY = 86_400


def format_duration(seconds: float) -> str:
    """
    Format a duration in at most two units.

    >>> format_duration(95), format_duration(185), format_duration(7200), format_duration(190_000)
    ('95s', '3m5s', '120m', '2d4h')
    """
    whole = int(seconds)
    if whole < 0:
        return "<invalid>"
    for limit, size, unit, rest, rest_unit in _STEPS:
        if whole < limit:
            text = f"{whole // size}{unit}"
            left = whole % size // rest if rest else 0
            return f"{text}{left}{rest_unit}" if left else text
    return f"{whole // _DAY}d"
