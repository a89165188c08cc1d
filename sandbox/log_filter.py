"""
The Cloud Logging query language, as far as sinks use it.

https://cloud.google.com/logging/docs/view/logging-query-language. NOT binds strongest, then OR,
then AND; adjacent comparisons are joined by AND. A comparison with a missing field is false,
``!=`` and ``!~`` too, so that NOT of it is true. Of a repeated field any element may match.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from sandbox.log_field import FIELDS, Path, Test, leaves, make_test, read_field, with_default

Predicate = Callable[[Mapping[str, Any]], bool]

_PART = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s()"'=<>!~:,.-][^\s()"'=<>!~:,.]*)"""
_TOKEN = re.compile(
    rf"""(?P<skip>\s+|--[^\n]*)
      | (?P<operand>{_PART}(?:\.{_PART})*)
      | (?P<sign>=~|!~|!=|<=|>=|[=<>:(),-])""",
    re.VERBOSE | re.DOTALL,
)
_COMPARING = frozenset({"=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"})
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class LogFilter:
    """A parsed filter."""

    text: str
    _predicate: Predicate = field(repr=False, compare=False)

    def matches(self, entry: Mapping[str, Any]) -> bool:
        """Whether a LogEntry, in its JSON form, passes."""
        return self._predicate(entry)


def parse_filter(text: str) -> LogFilter:
    """
    Parse a filter; an empty one matches every entry.

    Raises:
        ValueError: The text is not a filter; the message has line, column and text.

    >>> parse_filter('severity>=ERROR -log_id("syslog")').matches({"severity": "ALERT"})
    True
    """
    parser = _Parser(text)
    predicate = parser.conjunction() if parser.has_more() else _everything
    if parser.has_more():
        raise parser.error("unexpected text")
    return LogFilter(text, predicate)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    offset: int
    is_operand: bool


class _Parser:
    """Recursive descent: a conjunction of disjunctions of comparisons that may be negated."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[_Token] = []
        self._next = 0
        offset = 0
        while offset < len(text):
            match = _TOKEN.match(text, offset)
            if match is None:
                raise self._error_at(offset, "unexpected character")
            if match.lastgroup != "skip":
                self._tokens.append(_Token(match[0], offset, match.lastgroup == "operand"))
            offset = match.end()

    def has_more(self) -> bool:
        """Whether tokens are left."""
        return self._next < len(self._tokens)

    def error(self, problem: str) -> ValueError:
        """Return an error about the token that is next."""
        offset = self._tokens[self._next].offset if self.has_more() else len(self._text)
        return self._error_at(offset, problem)

    def conjunction(self) -> Predicate:
        """Read what AND joins, written or not."""
        terms = [self._disjunction()]
        while self.has_more() and self._peek() != ")":
            self._accept("AND")
            terms.append(self._disjunction())
        return terms[0] if len(terms) == 1 else lambda entry: all(term(entry) for term in terms)

    def _disjunction(self) -> Predicate:
        terms = [self._negation()]
        while self._accept("OR"):
            terms.append(self._negation())
        return terms[0] if len(terms) == 1 else lambda entry: any(term(entry) for term in terms)

    def _negation(self) -> Predicate:
        if self._accept("NOT") or self._accept("-"):
            negated = self._negation()
            return lambda entry: not negated(entry)
        if self._accept("("):
            inner = self.conjunction()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        name = self._operand()
        sign = self._peek()
        if sign == "(":
            return self._function(name)
        if sign not in _COMPARING:
            searched = _unquote(name.text).casefold()
            return lambda entry: any(searched in leaf.casefold() for leaf in leaves(entry))
        path = _split_path(name.text)
        if path[0] not in FIELDS:
            raise self._error_at(name.offset, "unknown field of a log entry")
        self._next += 1
        if self._accept("*"):
            return lambda entry: bool(read_field(entry, path))
        test = self._values(path, sign)
        return lambda entry: any(map(test, with_default(read_field(entry, path), path)))

    def _function(self, name: _Token) -> Predicate:
        if name.text != "log_id":
            raise self._error_at(name.offset, "unknown function")
        self._expect("(")
        log_id = _unquote(self._operand().text)
        self._expect(")")
        return lambda entry: unquote(entry.get("logName", "").partition("/logs/")[2]) == log_id

    def _values(self, path: Path, sign: str) -> Test:
        """Read a value, or a list of values in parentheses, all compared by one sign."""
        if not self._accept("("):
            return self._value(path, sign)
        test = self._value_conjunction(path, sign)
        self._expect(")")
        return test

    def _value_conjunction(self, path: Path, sign: str) -> Test:
        tests = [self._value_disjunction(path, sign)]
        while self._peek() != ")":
            if not self.has_more():
                raise self.error("expected ')'")
            self._accept("AND")
            tests.append(self._value_disjunction(path, sign))
        return lambda value: all(test(value) for test in tests)

    def _value_disjunction(self, path: Path, sign: str) -> Test:
        tests = [self._value_negation(path, sign)]
        while self._accept("OR"):
            tests.append(self._value_negation(path, sign))
        return lambda value: any(test(value) for test in tests)

    def _value_negation(self, path: Path, sign: str) -> Test:
        if self._accept("NOT"):
            negated = self._value_negation(path, sign)
            return lambda value: not negated(value)
        return self._values(path, sign)

    def _value(self, path: Path, sign: str) -> Test:
        minus = "-" if self._accept("-") else ""
        token = self._operand()
        is_regex = sign in {"=~", "!~"}
        text = _unquote_regex(token.text) if is_regex else _unquote(token.text)
        try:
            return make_test(path, sign, minus + text)
        except ValueError as exc:
            raise self._error_at(token.offset, str(exc)) from exc

    def _operand(self) -> _Token:
        if not self.has_more() or not self._tokens[self._next].is_operand:
            raise self.error("expected a field or a value")
        self._next += 1
        return self._tokens[self._next - 1]

    def _peek(self) -> str:
        return self._tokens[self._next].text if self.has_more() else ""

    def _accept(self, text: str) -> bool:
        if self._peek() != text:
            return False
        self._next += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self.error(f"expected {text!r}")

    def _error_at(self, offset: int, problem: str) -> ValueError:
        before = self._text[:offset]
        line = before.count("\n") + 1
        column = offset - (before.rfind("\n") + 1) + 1
        shown = self._text.split("\n")[line - 1]
        return ValueError(f"line {line}, column {column}: {problem} in {shown!r}")


def _everything(_: Mapping[str, Any]) -> bool:
    return True


def _split_path(text: str) -> Path:
    return tuple(_unquote(part) for part in re.findall(_PART, text))


def _is_quoted(text: str) -> bool:
    return text[0] in "\"'" and text[-1] == text[0]


def _unquote(text: str) -> str:
    if not _is_quoted(text):
        return text
    return _ESCAPE.sub(_unescape, text[1:-1])


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "ux" and len(code) > 1:
        return chr(int(code[1:], 16))
    return _ESCAPED.get(code, code)


def _unquote_regex(text: str) -> str:
    """Keep the escapes of a regular expression: they are its own, but for the quote's."""
    if not _is_quoted(text):
        return text
    return text[1:-1].replace(f"\\{text[0]}", text[0])
