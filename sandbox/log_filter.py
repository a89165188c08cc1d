"""
The Cloud Logging query language, as far as the filters of the project use it.

https://cloud.google.com/logging/docs/view/logging-query-language. NOT binds strongest, then OR,
then AND; adjacent comparisons are joined by AND. A comparison with a missing field is false,
``!=`` and ``!~`` too, so that NOT of it is true. Any element of a repeated field may match.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

Predicate = Callable[[Mapping[str, Any]], bool]
Test = Callable[[Any], bool]

_FIELDS = frozenset(
    {
        *("httpRequest", "insertId", "jsonPayload", "labels", "logName", "operation"),
        *("protoPayload", "receiveTimestamp", "resource", "severity", "sourceLocation", "spanId"),
        *("split", "textPayload", "timestamp", "trace", "traceSampled"),
    }
)
"""The fields of a LogEntry; a comparison with any other is refused."""
_SEVERITIES = (
    *("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING"),
    *("ERROR", "CRITICAL", "ALERT", "EMERGENCY"),
)
_PART = r"""(?:"(?:[^"\\]|\\.)*"|[^\s()"'=<>!~:,.-][^\s()"'=<>!~:,.]*)"""
_TOKEN = re.compile(
    rf"""(?P<skip>\s+|--[^\n]*)
      | (?P<operand>{_PART}(?:\.{_PART})*)
      | (?P<sign>=~|!~|!=|<=|>=|[=<>:()-])""",
    re.VERBOSE | re.DOTALL,
)
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SIGNS = frozenset({"=", "!=", ":", "=~", "!~", *_ORDER})


def parse_filter(text: str) -> Predicate:
    """
    Parse a filter into a test of LogEntries in their JSON form; an empty one matches all.

    Raises:
        ValueError: The text is not a filter; the message has line, column and text.

    >>> parse_filter('severity>=ERROR -log_id("syslog")')({"severity": "ALERT"})
    True
    """
    parser = _Parser(text)
    predicate = parser.conjunction() if parser.has_more() else lambda _: True
    if parser.has_more():
        raise parser.error("unexpected text")
    return predicate


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
        """Return an error about the next token."""
        offset = self._tokens[self._next].offset if self.has_more() else len(self._text)
        return self._error_at(offset, problem)

    def conjunction(self) -> Predicate:
        """Read the terms that AND joins, written or not."""
        terms = [self._disjunction()]
        while self.has_more() and self._peek() != ")":
            self._accept("AND")
            terms.append(self._disjunction())
        return lambda entry: all(term(entry) for term in terms)

    def _disjunction(self) -> Predicate:
        terms = [self._negation()]
        while self._accept("OR"):
            terms.append(self._negation())
        return lambda entry: any(term(entry) for term in terms)

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
        if name.text == "log_id" and self._accept("("):
            log_id = _unquote(self._operand().text)
            self._expect(")")
            return lambda entry: unquote(entry.get("logName", "").partition("/logs/")[2]) == log_id
        path = [_unquote(part) for part in re.findall(_PART, name.text)]
        if path[0] not in _FIELDS:
            raise self._error_at(name.offset, "unknown field of a log entry")
        sign = self._peek()
        if sign not in _SIGNS:
            raise self.error("expected a comparison")
        self._next += 1
        tests = self._values(sign)
        return lambda entry: any(test(value) for value in read(entry, path) for test in tests)

    def _values(self, sign: str) -> list[Test]:
        """Read a value, or several of which one must match, in parentheses."""
        if not self._accept("("):
            return [self._value(sign)]
        tests = [self._value(sign)]
        while self._accept("OR"):
            tests.append(self._value(sign))
        self._expect(")")
        return tests

    def _value(self, sign: str) -> Test:
        token = self._operand()
        if sign in {"=~", "!~"}:
            # The escapes of a regular expression are its own, except for the quote's.
            text = token.text[1:-1].replace('\\"', '"')
        else:
            text = _unquote(token.text)
        try:
            return make_test(sign, text)
        except re.error as exc:
            raise self._error_at(token.offset, f"invalid regular expression: {exc}") from exc

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


def read(entry: Mapping[str, Any], path: list[str]) -> list[Any]:
    """
    Return the values at a path: each element of a list, none if the field is missing.

    >>> read({"labels": {"a": "b"}}, ["labels", "a"]), read({}, ["labels", "a"])
    (['b'], [])
    """
    values: list[Any] = [entry]
    for name in path:
        values = [value[name] for value in values if isinstance(value, Mapping) and name in value]
        values = [
            each for value in values for each in (value if isinstance(value, list) else [value])
        ]
    return values


def make_test(sign: str, text: str) -> Test:
    """
    Return the test of one value of a field.

    Equality and containment ignore case; regular expressions do not, and search anywhere.

    Raises:
        re.error: The text is not a regular expression.
    """
    if sign in {"=~", "!~"}:
        pattern = re.compile(text)
        return lambda value: bool(pattern.search(str(value))) is (sign == "=~")
    folded = text.casefold()
    if sign == ":":
        return lambda value: folded in str(value).casefold()
    if sign in _ORDER:
        kind, bound = _ordered(text)

        def compare(value: Any) -> bool:
            own_kind, own = _ordered(str(value))
            return own_kind == kind and _ORDER[sign](own, bound)

        return compare
    return lambda value: (str(value).casefold() == folded) is (sign == "=")


def _ordered(text: str) -> tuple[str, Any]:
    """Return how a text is compared: as a severity, a number, a time, or by its characters."""
    if text in _SEVERITIES:
        return "severity", _SEVERITIES.index(text)
    try:
        return "number", float(text)
    except ValueError:
        pass
    try:
        return "time", datetime.fromisoformat(text).astimezone()
    except ValueError:
        return "text", text


def _unquote(text: str) -> str:
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\") if text[0] == '"' else text
