"""Durations as Go prints them, which is how the kubelet reports them."""

_NANOSECOND = 1e-9
_SECOND = 1_000_000_000
"""In nanoseconds."""


def format_duration(seconds: float, *, truncate_to_ms: bool = True) -> str:
    """
    Format a duration as Go's ``time.Duration`` does.

    Newer kubelets cut what they report to milliseconds; the older ones print every nanosecond.

    >>> format_duration(317.0)
    '5m17s'
    >>> format_duration(150.4625)
    '2m30.462s'
    >>> format_duration(0.637)
    '637ms'
    >>> format_duration(3600)
    '1h0m0s'
    >>> format_duration(0.794767724, truncate_to_ms=False)
    '794.767724ms'
    """
    nanoseconds = round(seconds / _NANOSECOND)
    if truncate_to_ms:
        nanoseconds -= nanoseconds % 1_000_000
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1_000 and nanoseconds < _SECOND:
            return f"{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _SECOND)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(nanoseconds: int, size: int) -> str:
    """Divide exactly, and drop the zeros at the end."""
    whole, rest = divmod(nanoseconds, size)
    if not rest:
        return str(whole)
    digits = f"{rest:0{len(str(size)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}"
