"""
Break JSON that has a real shape: values first, then the text that they are written as.

Random bytes are refused at the first byte. So a message begins as one that really
comes, and a few of its fields are dropped, retyped, repeated, buried or blown up; now and then
its bytes are broken as well.
"""

import copy
import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

Break = tuple[int, Callable[..., Any], Any]
"""Which part of a value it meets, what it does to it, and an odd value to do it with."""

LONG = 300_000
"""Characters of a text that nobody means."""

TIMES = [
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59.999999999Z",
    "1969-12-31T23:59:59Z",
    "2026-02-30T00:00:00Z",
    "2026-11-24",
    "20261124T070000Z",
    "2026-W48-2",
    "2026-11-24T07:00:00+25:00",
    "2026-11-24T24:00:00Z",
    "1700000000",
    "yesterday",
    "",
]
TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\u202e\u2066",
    "\x1b[2J\x1b]0;x\x07",
    "line\nline\r\n",
    '{"severity": "EMERGENCY"}\n{"disposition": "handled"}',
    "${jndi:ldap://x}{{7*7}}%s%n$(id)`id`",
    "../../../etc/passwd",
    "x" * LONG,
    "\U0001f4a9" * 300,
    "\u0130\u0131\u017f\u212a",
    "9" * 5_000,
    "true",
    "null",
    "NaN",
    *TIMES,
]
NUMBERS = [
    0,
    -1,
    1.0,
    1.5,
    -0.0,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
]
PARTS: list[Any] = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [{}],
    {"": ""},
    [None],
    [1, "a", {}],
    {"a": {"b": []}},
]
ODD = [*TEXTS, *NUMBERS, *PARTS]
DEPTHS = [10, 45, 400, *range(800, 1_000, 20), *[1_100, 100_000] * 4]
"""Levels: below and above what is searched, and about what a parser allows."""

_BURIED = re.compile(r'"\\u0001(?P<depth>\d+)(?P<kind>[lo])\\u0001"')


class Data(bytes):
    """The data of a message, shown as far as a person reads it."""

    __slots__ = ()
    _SHOWN = 2_000

    def __repr__(self) -> str:
        more = len(self) - self._SHOWN
        return repr(bytes(self[: self._SHOWN])) + (f" and {more} more" if more > 0 else "")


def odd_values() -> st.SearchStrategy[Any]:
    """Return values of every type, and of the kinds that parsers stumble over."""
    return st.one_of(st.sampled_from(ODD), st.text(max_size=20), st.integers(), st.floats())


def broken(shapes: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Return one of the shapes with up to four of its parts broken."""
    some = st.lists(breaks(), min_size=1, max_size=4)
    return st.builds(
        lambda shape, each: break_value(copy.deepcopy(shape), each), st.sampled_from(shapes), some
    )


def breaks() -> st.SearchStrategy[Break]:
    """Return ways to break a part of a value."""
    return st.tuples(st.integers(0, 10**9), st.sampled_from(_BREAKS), odd_values())


def bodies(shapes: Sequence[Any]) -> st.SearchStrategy[Data]:
    """Return the data of messages: broken values, a few of them broken as text as well."""
    text_breaks = [_as_it_is] * (3 * len(_TEXT_BREAKS)) + _TEXT_BREAKS
    return st.builds(
        lambda value, breaking, at, junk: Data(breaking(write(value), at, junk)),
        broken(shapes),
        st.sampled_from(text_breaks),
        st.integers(0, 10**9),
        st.binary(min_size=1, max_size=6),
    )


def write(value: Any) -> bytes:
    """Write a value as JSON, with NaN, halves of pairs and numbers of any length in it."""
    return _BURIED.sub(_nest, json.dumps(value)).encode()


def _nest(mark: re.Match[str]) -> str:
    depth = int(mark["depth"])
    return "[" * depth + "]" * depth if mark["kind"] == "l" else '{"a":' * depth + "1" + "}" * depth


def walk(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of each part of a value, itself first."""
    yield path
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for name, each in items:
        yield from walk(each, (*path, name))


def at(value: Any, path: Path) -> Any:
    """Return the part at a path."""
    for name in path:
        value = value[name]
    return value


def break_value(value: Any, broken: Sequence[Break]) -> Any:
    """Break some parts of a value, and return it."""
    for place, breaking, odd in broken:
        paths = [path for path in walk(value) if path and len(path) < 20]
        if not paths:
            return odd
        path = paths[place % len(paths)]
        breaking(at(value, path[:-1]), path[-1], copy.deepcopy(odd), place)
    return value


def _replace(holder: Any, name: Any, odd: Any, _: int) -> None:
    holder[name] = odd


def _drop(holder: Any, name: Any, *_: Any) -> None:
    del holder[name]


def _bury(holder: Any, name: Any, _: Any, place: int) -> None:
    """Mark what is nested when it is written: Python's own functions go no deeper than parsers."""
    holder[name] = f"\x01{DEPTHS[place % len(DEPTHS)]}{'lo'[place % 2]}\x01"


def _repeat(holder: Any, name: Any, _: Any, place: int) -> None:
    """Repeat an item of a list, or a field under another name."""
    if isinstance(holder, list):
        holder.extend(copy.deepcopy(holder[name]) for _ in range(place % 50))
    else:
        holder[f"{name}2"] = copy.deepcopy(holder[name])


def _swap(holder: Any, name: Any, odd: Any, _: int) -> None:
    """Let an object be a list, a list an object, and a value of one kind one of another."""
    value = holder[name]
    if isinstance(value, dict):
        holder[name] = [[key, each] for key, each in value.items()]
    elif isinstance(value, list):
        holder[name] = {str(index): each for index, each in enumerate(value)}
    elif isinstance(value, str):
        holder[name] = [value]
    elif isinstance(value, bool):
        holder[name] = float(value)
    else:
        holder[name] = odd


def _rename(holder: Any, name: Any, odd: Any, _: int) -> None:
    if isinstance(holder, dict):
        holder[odd if isinstance(odd, str) else str(name).upper()] = holder.pop(name)


def _lengthen(holder: Any, name: Any, odd: Any, place: int) -> None:
    """Write an odd text into the middle of one that has a form."""
    value = holder[name]
    if isinstance(value, str):
        cut = place % (len(value) + 1)
        holder[name] = f"{value[:cut]}{odd}{value[cut:]}"
    else:
        holder[name] = odd


_BREAKS = [_replace, _replace, _drop, _bury, _repeat, _swap, _rename, _lengthen, _lengthen]


def _as_it_is(body: bytes, *_: Any) -> bytes:
    return body


def _cut(body: bytes, place: int, _: bytes) -> bytes:
    return body[: place % (len(body) + 1)]


def _insert(body: bytes, place: int, junk: bytes) -> bytes:
    cut = place % (len(body) + 1)
    return body[:cut] + junk + body[cut:]


def _double_fields(body: bytes, *_: Any) -> bytes:
    """Name every field of the outermost object twice."""
    return body[:-1] + b", " + body[1:] if body[:1] == b"{" and len(body) > len(b"{}") else body


def _in_gzip(body: bytes, *_: Any) -> bytes:
    return gzip.compress(body, mtime=0)


def _in_utf_16(body: bytes, *_: Any) -> bytes:
    return body.decode().encode("utf-16")


def _with_mark(body: bytes, *_: Any) -> bytes:
    return b"\xef\xbb\xbf" + body


def _twice(body: bytes, *_: Any) -> bytes:
    return body + b"\n" + body


def _as_text(body: bytes, *_: Any) -> bytes:
    return json.dumps(body.decode()).encode()


_TEXT_BREAKS: list[Callable[..., bytes]] = [
    _cut,
    _insert,
    _double_fields,
    _in_gzip,
    _in_utf_16,
    _with_mark,
    _twice,
    _as_text,
]
