"""Decode untrusted JSON with bounded cost and a single kind of error."""

from typing import Final, TypeVar

import msgspec

from shared.errors import InvalidEventError

_T = TypeVar("_T")

MAX_VALUES: Final = 500_000
"""
Limit of the values in one message; commas and brackets inside strings count too.

Decoded, a value takes up to a few hundred bytes, thirty times its size as text: 10 MB of ``[],[],``
would exceed the memory of an instance. The largest object that Kubernetes stores, 1.5 MB, has a
tenth of this number, and the audit log splits entries long before.
"""


def decode(data: bytes, kind: type[_T], what: str) -> _T:
    """
    Decode JSON as a type; ``what`` begins the error.

    Raises:
        InvalidEventError: The data is not JSON, has another type, is nested too deeply, or has too
            many values.
    """
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > MAX_VALUES:
        raise InvalidEventError(f"{what}: it has more than {MAX_VALUES} values")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidEventError(f"{what}: {exc}") from exc
