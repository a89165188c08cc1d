"""Durations as Go prints them, which is how the kubelet reports them."""

_SECOND = 1000
"""In milliseconds."""


def format_duration(seconds: float) -> str:
    """
    Return a duration, cut to milliseconds, as Go's ``time.Duration`` prints it.

    >>> [format_duration(seconds) for seconds in (317.0, 150.4625, 0.637, 3600, 0)]
    ['5m17s', '2m30.462s', '637ms', '1h0m0s', '0s']
    """
    milliseconds = int(seconds * 1000 + 1e-6)
    if milliseconds < _SECOND:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / _SECOND:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
