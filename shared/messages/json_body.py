"""Decode JSON that arrives: whatever it is, it costs little and raises nothing unforeseen."""

from typing import Final, TypeVar

import msgspec

from shared.errors import InvalidEventError

_T = TypeVar("_T")

MAX_VALUES: Final = 500_000
"""
Values in one message, commas and brackets within texts counted as well.

As objects they take up to some hundred bytes each, thirty times what they take as text: 10 MB of
``[],[],`` would cost more than an instance has. The largest object that Kubernetes stores, 1.5 MB,
has a tenth of that many, and what its log tells of is split long before.
"""


def decode(data: bytes, kind: type[_T], what: str) -> _T:
    """
    Decode JSON as a type; ``what`` begins the error.

    Raises:
        InvalidEventError: It is no JSON, of another form, nested too deeply, or has too many
            values.
    """
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > MAX_VALUES:
        raise InvalidEventError(f"{what}: it has more than {MAX_VALUES} values")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidEventError(f"{what}: {exc}") from exc
