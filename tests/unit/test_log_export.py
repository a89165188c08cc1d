"""Reading saved exports: every form that tools write, and what is broken in them."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.input.log_export import (
    MAX_ENTRY_BYTES,
    MalformedEntry,
    SavedEntry,
    UnreadableError,
    read_entries,
)

ENTRIES: list[dict[str, Any]] = [
    {"insertId": "a", "nested": [{"text": 'braces }{][ and "quotes" \\'}, {}]},
    {"insertId": "b", "object": {"deep": {"er": [[{"é": "\n"}]]}}},
    {},
]

texts = st.text(alphabet='{}[]"\\,: \n\tabé', max_size=12)
values = st.recursive(
    texts | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def read(text: str | bytes) -> list[tuple[int, Any]]:
    """Return each line with its object, or with the reason why it has none."""
    data = text.encode() if isinstance(text, str) else text
    return [
        (each.line, each.value if isinstance(each, SavedEntry) else each.reason)
        for each in read_entries(io.BytesIO(data))
    ]


@pytest.mark.parametrize("indent", [None, 0, 1, 2, "\t"], ids=repr)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=repr)
def test_list_a_stream_and_lines_hold_the_same(indent: Any, ends: str) -> None:
    listed = json.dumps(ENTRIES, indent=indent).replace("\n", ends)
    streamed = ends.join(json.dumps(each, indent=indent).replace("\n", ends) for each in ENTRIES)

    assert [value for _, value in read(listed)] == ENTRIES
    assert [value for _, value in read(streamed)] == ENTRIES


@given(st.lists(st.dictionaries(texts, values, max_size=4), max_size=4), st.integers(0, 3))
def test_written_entries_are_read_back(entries: list[dict[str, Any]], indent: int) -> None:
    for spaces in (None, indent):
        text = json.dumps(entries, indent=spaces, ensure_ascii=bool(indent))
        assert [value for _, value in read(text)] == entries


def test_each_entry_is_known_by_the_line_on_which_it_begins() -> None:
    assert [line for line, _ in read('[\n  {\n    "a": 1\n  },\n\n  {"b": 2}, {"c": 3}\n]')] == [
        2,
        6,
        6,
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "[]", "[]\n", "\ufeff[ ]"], ids=repr)
def test_export_without_entries_has_none(text: str) -> None:
    assert read(text) == []


def test_byte_order_mark_is_passed_over() -> None:
    assert read(b'\xef\xbb\xbf{"a": 1}') == [(1, {"a": 1})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            '{"a": 1}\n{"b":\n{"c": 3}\n',
            [(1, {"a": 1}), (2, "it does not end before the next begins"), (3, {"c": 3})],
            id="a-line-that-was-cut-off",
        ),
        pytest.param(
            '{"a": 1}\n{"b": "x\n{"c": 3}\n',
            [(1, {"a": 1}), (2, "it does not end before the next begins"), (3, {"c": 3})],
            id="a-line-that-was-cut-off-in-a-text",
        ),
        pytest.param(
            '[\n  {\n    "a": {\n      "b": 1\n  },\n  {\n    "c": 3\n  }\n]\n',
            [(2, "it does not end before the next begins"), (6, {"c": 3})],
            id="a-brace-that-is-missing-in-a-list",
        ),
        pytest.param(
            'WARNING: something\n{"a": 1}\nnull\n',
            [
                (1, "not a JSON object: 'WARNING: something'"),
                (2, {"a": 1}),
                (3, "not a JSON object: 'null'"),
            ],
            id="lines-that-are-no-objects",
        ),
        pytest.param(
            '{\n "a": 1,\n "b": nope\n}\n{"c": 3}',
            [(3, "not JSON: Expecting value"), (5, {"c": 3})],
            id="a-value-that-is-none",
        ),
        pytest.param(
            '[{"a": 1}, {"b": 2',
            [(1, {"a": 1}), (1, "the file ends within it")],
            id="a-file-that-ends-within-an-entry",
        ),
        pytest.param(
            '[{"a": 1},\n',
            [(1, {"a": 1}), (2, "the file ends before its list does")],
            id="a-file-that-ends-between-entries",
        ),
        pytest.param(
            b'{"a": "\xff"}\n{"b": 2}',
            [(1, "not UTF-8: b'\\xff'"), (2, {"b": 2})],
            id="a-byte-that-is-no-text",
        ),
        pytest.param(
            '{"a":' * 5_000 + "1" + "}" * 5_000 + '\n{"b": 2}',
            [(1, "it is nested too deeply"), (2, {"b": 2})],
            id="nested-too-deeply",
        ),
        pytest.param(
            '{"a": ' + "9" * 5_000 + '}\n{"b": 2}',
            [(1, "it has a number of thousands of digits"), (2, {"b": 2})],
            id="a-number-of-thousands-of-digits",
        ),
    ],
)
def test_broken_entry_is_named_and_affects_no_other(
    text: str | bytes, expected: list[tuple[int, Any]]
) -> None:
    assert read(text) == expected


def test_text_may_go_over_the_end_of_a_piece_wherever_that_is() -> None:
    tricky = '\\"}{' * 8
    for size in range(65_500, 65_560):
        entry = {"a": "x" * size, "b": tricky}
        assert read(json.dumps([entry, {"c": 3}])) == [(1, entry), (1, {"c": 3})]


def test_entry_that_is_too_large_is_named_and_passed_over() -> None:
    text = json.dumps({"a": "x" * MAX_ENTRY_BYTES}) + '\n{"b": 2}'

    assert read(text) == [(1, f"it has more than {MAX_ENTRY_BYTES} bytes"), (2, {"b": 2})]


def test_encoding_of_another_shell_is_named() -> None:
    with pytest.raises(UnreadableError, match="UTF-16"):
        read('[{"a": 1}]'.encode("utf-16"))


class Endless(io.RawIOBase):
    """A list on one line, made while it is read."""

    def __init__(self, size: int) -> None:
        self._parts = self._make(size)
        self._rest = b""

    def _make(self, size: int) -> Iterator[bytes]:
        entry = json.dumps({"insertId": "x" * 1_000}).encode()
        yield b"["
        for _ in range(size // len(entry)):
            yield entry + b","
        yield entry + b"]"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._rest or next(self._parts, b"")
        taken, self._rest = part[: len(buffer)], part[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def test_memory_does_not_grow_with_the_export() -> None:
    size = 20_000_000
    tracemalloc.start()

    found = sum(
        isinstance(each, SavedEntry) for each in read_entries(io.BufferedReader(Endless(size)))
    )

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found > size / 1_100
    assert peak < size / 10


def test_malformed_text_is_not_an_entry() -> None:
    (found,) = read_entries(io.BytesIO(b"nothing"))

    assert isinstance(found, MalformedEntry)
