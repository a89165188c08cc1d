"""
Read saved facts: one per line, or as ``gcloud logging read --format=json`` writes them.

A file of a million lines is mostly lines that are an object each, and those are read as such. From
the first line on that is not, but begins a list or an object of several lines, the rest is read
piece by piece (`cli.input.log_export`), which accepts any mixture, and takes far longer.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO

from cli.input.log_export import MalformedEntry, UnreadableError, read_entries
from cli.report.entries import InvalidFactError, ReadFact, parse_fact

MAX_LINE_BYTES = 1024 * 1024
"""More than an entry of Cloud Logging can have; a longer line is a list that is one line."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")

Saved = tuple[int, ReadFact | MalformedEntry | None]
"""The number of a line, and the fact that begins there; None for a valid entry of another kind."""


def read_saved(stream: BinaryIO) -> Iterator[Saved]:
    """
    Yield the entries of a file in order, with at most one in memory.

    Raises:
        UnreadableError: It is UTF-16.
        OSError: It cannot be read.
    """
    number = 0
    line = stream.readline(MAX_LINE_BYTES)
    if line.startswith(_WIDE_MARKS):
        raise UnreadableError("it is UTF-16, as PowerShell writes it; save it as UTF-8")
    line = line.removeprefix(_BYTE_ORDER_MARK)
    while line:
        number += 1
        following = stream.readline(MAX_LINE_BYTES)
        if _is_begun(line, following):
            yield from _read_pieces(line + following, stream, number)
            return
        if not line.isspace():
            yield number, _parse(line, number)
        line = following


def _is_begun(line: bytes, following: bytes) -> bool:
    """Whether a line begins a value that it does not end; an object cannot begin with another."""
    bare = line.strip()
    if bare == b"{":
        return not following.lstrip().startswith(b"{")
    return bare.startswith(b"[") or len(line) >= MAX_LINE_BYTES


def _parse(data: bytes, number: int) -> ReadFact | MalformedEntry | None:
    try:
        return parse_fact(data)
    except InvalidFactError as exc:
        return MalformedEntry(number, str(exc))


def _read_pieces(line: bytes, stream: BinaryIO, number: int) -> Iterator[Saved]:
    """Read on from a line that was read already."""
    rest = io.BufferedReader(_Rejoined(line, stream))
    for found in read_entries(rest):
        at = found.line + number - 1
        if isinstance(found, MalformedEntry):
            yield at, MalformedEntry(at, found.reason)
        else:
            yield at, _parse(found.data, at)


class _Rejoined(io.RawIOBase):
    """A stream with what was taken from it put back."""

    def __init__(self, taken: bytes, stream: BinaryIO) -> None:
        self._taken = taken
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        data = self._taken[: len(buffer)] or self._stream.read(len(buffer))
        self._taken = self._taken[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
