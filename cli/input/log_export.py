"""
Read saved log entries, builds and messages, one object at a time.

``gcloud logging read --format=json`` and ``gcloud builds list --format=json`` write one indented
list; other tools write one line per entry, or a single object. The reader accepts all of them. It
holds one object at a time, and a broken object does not affect the others.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import typer
from rich.progress import wrap_file

from cli.exits import ExitCode, fail
from cli.terminal import is_watched, make_side_console

_PIECE = 64 * 1024
"""Bytes of a line that are read at once: a list without line feeds is one line."""

MAX_ENTRY_BYTES = 16 * 1024 * 1024
"""More than a message of Pub/Sub or an entry of a log can have (10 MB, 256 kB), indentation too."""

_MANY_BYTES = 4 * 1024 * 1024
"""The size from which reading a file takes longer than a second."""

_MAX_QUOTED = 60
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")

# Within an object: strings, whole or as far as the piece reaches, and what opens and closes.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?P<end>")?|[{}\[\]]', re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*(?P<end>")?', re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*")
_INDENT = re.compile(rb"[ \t]*")


STANDARD_INPUT = "-"


class UnreadableError(Exception):
    """A whole file is in an unknown form."""


@dataclass(frozen=True, slots=True)
class SavedEntry:
    """A saved object."""

    line: int
    """The line of its beginning, counted from 1."""
    data: bytes
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MalformedEntry:
    """A part of a file that is not an object."""

    line: int
    """The line where it begins or where the fault is, counted from 1."""
    reason: str


Found = SavedEntry | MalformedEntry


def label_of(name: str) -> str:
    """Return the label of a file for a person."""
    return "standard input" if name == STANDARD_INPUT else name


def read_files(names: Sequence[str], *, is_shown: bool) -> Iterator[tuple[str, Found]]:
    """
    Yield the content of some files, with the label of each.

    Args:
        names: The files; ``-`` is standard input.
        is_shown: Whether the progress is shown on a terminal.

    Raises:
        typer.Exit: One of them cannot be read.
    """
    for name in names:
        label = label_of(name)
        try:
            with _open(name) as stream, _watch(stream, name, is_shown=is_shown) as watched:
                for found in read_entries(watched):
                    yield label, found
        except UnreadableError as exc:
            fail(ExitCode.UNREADABLE, f"{label}: {exc}")
        except OSError as exc:
            fail(ExitCode.UNREADABLE, f"{label}: {exc.strerror}")


def _open(name: str) -> AbstractContextManager[BinaryIO]:
    if name == STANDARD_INPUT:
        return nullcontext(typer.get_binary_stream("stdin"))
    return Path(name).open("rb")


def _watch(stream: BinaryIO, name: str, *, is_shown: bool) -> AbstractContextManager[BinaryIO]:
    """Show the progress in a file, if reading may take longer than a second."""
    size = 0 if name == STANDARD_INPUT else Path(name).stat().st_size
    if not is_shown or size < _MANY_BYTES or not is_watched():
        return nullcontext(stream)
    console = make_side_console()
    return wrap_file(stream, size, description=f"Reading {name}", console=console, transient=True)


def read_entries(stream: BinaryIO) -> Iterator[Found]:
    """
    Yield the objects and the malformed parts of an export, in file order.

    Raises:
        UnreadableError: The file is not UTF-8; some shells write UTF-16.
        OSError: The file cannot be read.
    """
    scanner = _Scanner()
    for piece in _read_pieces(stream):
        yield from scanner.feed(piece)
    yield from scanner.end()


def _read_pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines, long ones in several pieces; none ends within an escape of a string."""
    piece = stream.readline(_PIECE)
    if piece.startswith(_WIDE_MARKS):
        raise UnreadableError("it is UTF-16, as PowerShell writes it; save it as UTF-8")
    piece = piece.removeprefix(_BYTE_ORDER_MARK)
    while piece:
        while piece.endswith(b"\\") and (more := stream.read(1)):
            piece += more
        yield piece
        piece = stream.readline(_PIECE)


@dataclass(slots=True)
class _Open:
    """An object whose end has not been read yet."""

    line: int
    indent: int
    """The number of columns before it."""
    begins_line: bool
    is_compact: bool
    """Whether more of it follows on its first line."""
    text: bytearray = field(default_factory=bytearray)
    size: int = 0
    depth: int = 0
    in_string: bool = False
    lines: int = 1
    is_indented: bool = False
    """Whether the second line is indented deeper than the first."""

    def take(self, text: bytes) -> None:
        self.size += len(text)
        if self.size <= MAX_ENTRY_BYTES:
            self.text += text


class _Scanner:
    """Finds where objects begin and end, in lines that come one after the other."""

    def __init__(self) -> None:
        self._line = 1
        self._is_line_begun = False
        self._lists = 0
        self._open: _Open | None = None

    def feed(self, piece: bytes) -> Iterator[Found]:
        """Take the next line, or the next piece of one."""
        position = 0
        if self._open is not None and not self._is_line_begun:
            # A string cannot contain a line feed, so one that does is broken.
            self._open.in_string = False
            if self._begins_another(self._open, piece):
                yield self._close()
        while position < len(piece):
            if self._open is not None:
                position = self._read_on(self._open, piece, position)
                if self._open.depth == 0:
                    yield self._close()
            else:
                position, found = self._begin(piece, position)
                if found is not None:
                    yield found
        self._is_line_begun = not piece.endswith(b"\n")
        self._line += not self._is_line_begun

    def end(self) -> Iterator[Found]:
        """Return the part that is missing at the end of the file."""
        if self._open is not None:
            yield MalformedEntry(self._open.line, "the file ends within it")
        elif self._lists > 0:
            yield MalformedEntry(self._line, "the file ends before its list does")

    def _begin(self, piece: bytes, position: int) -> tuple[int, MalformedEntry | None]:
        """Skip the bytes between objects, and return the next position."""
        between = _BETWEEN.match(piece, position)
        position = between.end() if between else position
        sign = piece[position : position + 1]
        if sign == b"{":
            before = piece[:position]
            self._open = _Open(
                line=self._line,
                indent=len(before),
                begins_line=not self._is_line_begun and not before.strip(b" \t[,"),
                is_compact=bool(piece[position + 1 :].strip()),
            )
            return position, None
        if sign in {b"[", b"]"}:
            self._lists = max(0, self._lists + (1 if sign == b"[" else -1))
            return position + 1, None
        rest = piece[position:].strip()
        if not rest:
            return len(piece), None
        return len(piece), MalformedEntry(self._line, f"not a JSON object: {_quote(rest)}")

    def _read_on(self, opened: _Open, piece: bytes, position: int) -> int:
        """Read an object to its end or that of the piece; return the next position."""
        start = position
        if opened.in_string and (rest := _REST_OF_STRING.match(piece, position)):
            position = rest.end()
            opened.in_string = rest["end"] is None
        for token in _TOKEN.finditer(piece, position):
            text = token[0]
            if text in b"{[":
                opened.depth += 1
            elif text in b"}]":
                opened.depth -= 1
                if opened.depth == 0:
                    opened.take(piece[start : token.end()])
                    return token.end()
            else:
                opened.in_string = token["end"] is None
        opened.take(piece[start:])
        return len(piece)

    def _begins_another(self, opened: _Open, piece: bytes) -> bool:
        """
        Whether a line begins an object although the previous object has not ended.

        Objects of one list or stream have the same indentation, and their content is indented
        deeper, unless nothing is indented.
        """
        opened.lines += 1
        indent = _INDENT.match(piece)
        columns = indent.end() if indent else 0
        if opened.lines == 2:  # noqa: PLR2004
            opened.is_indented = columns > opened.indent
        return (
            opened.begins_line
            and columns <= opened.indent
            and piece[columns : columns + 1] == b"{"
            and (opened.is_compact or opened.is_indented)
        )

    def _close(self) -> Found:
        opened, self._open = self._open, None
        if opened is None:
            raise RuntimeError("no object is open")
        if opened.size > MAX_ENTRY_BYTES:
            return MalformedEntry(opened.line, f"it has more than {MAX_ENTRY_BYTES} bytes")
        if opened.depth > 0:
            return MalformedEntry(opened.line, "it does not end before the next begins")
        return _decode(opened.line, bytes(opened.text))


def _decode(line: int, data: bytes) -> Found:
    try:
        return SavedEntry(line, data, json.loads(data))
    except UnicodeDecodeError as exc:
        return MalformedEntry(line, f"not UTF-8: {exc.object[exc.start : exc.end]!r}")
    except json.JSONDecodeError as exc:
        return MalformedEntry(line + exc.lineno - 1, f"not JSON: {exc.msg}")
    except RecursionError:
        return MalformedEntry(line, "it is nested too deeply")
    except ValueError:
        return MalformedEntry(line, "it has a number of thousands of digits")


def _quote(text: bytes) -> str:
    shown = text.decode(errors="replace")
    return repr(shown if len(shown) <= _MAX_QUOTED else f"{shown[:_MAX_QUOTED]}…")
