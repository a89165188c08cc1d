"""
Fields of a log entry, and how a filter's values compare with them.

https://cloud.google.com/logging/docs/view/logging-query-language#comparisons. The field decides
how a value is read: as a number, a boolean, a time, a severity, or else as text.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Path = tuple[str, ...]
Test = Callable[[Any], bool]

SEVERITIES = (
    "DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY",
)  # fmt: skip

# A comparison with an absent field of LogEntry uses its default; with an absent field of a
# payload or a label is, the comparison is false. An unknown field is refused.
_DEFAULTS: Mapping[Path, Any] = {
    ("insertId",): "",
    ("logName",): "",
    ("severity",): "DEFAULT",
    ("spanId",): "",
    ("trace",): "",
    ("traceSampled",): False,
    ("httpRequest", "cacheHit"): False,
    ("httpRequest", "remoteIp"): "",
    ("httpRequest", "requestMethod"): "",
    ("httpRequest", "requestUrl"): "",
    ("httpRequest", "status"): 0,
    ("httpRequest", "userAgent"): "",
    ("operation", "first"): False,
    ("operation", "id"): "",
    ("operation", "last"): False,
    ("operation", "producer"): "",
    ("resource", "type"): "",
    ("sourceLocation", "file"): "",
    ("sourceLocation", "function"): "",
    ("sourceLocation", "line"): 0,
    ("split", "index"): 0,
    ("split", "totalSplits"): 0,
    ("split", "uid"): "",
}
FIELDS = frozenset(path[0] for path in _DEFAULTS) | {
    "errorGroups", "jsonPayload", "labels", "metadata", "protoPayload", "receiveTimestamp",
    "textPayload", "timestamp",
}  # fmt: skip
_TIMES = frozenset({("timestamp",), ("receiveTimestamp",)})

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_IN_PYTHON_ONLY = re.compile(r"\(\?(?:[=!>(]|<[=!]|P=)|\\[1-9]|[*+?}]\+")


def read_field(entry: Mapping[str, Any], path: Path) -> list[Any]:
    """
    Return the values at a path: each element of what is repeated, none where it is missing.

    >>> read_field({"labels": {"a": "b"}}, ("labels", "a")), read_field({}, ("labels", "a"))
    (['b'], [])
    """
    values: list[Any] = [entry]
    for name in path:
        values = [value[name] for value in values if isinstance(value, Mapping) and name in value]
        values = [element for value in values for element in _elements(value)]
    return values


def with_default(values: list[Any], path: Path) -> list[Any]:
    """Return values, or the default of a field of LogEntry that has none."""
    return values or ([_DEFAULTS[path]] if path in _DEFAULTS else [])


def make_test(path: Path, sign: str, text: str) -> Test:
    """
    Return the test of one value of a field.

    Equality and containment ignore case; regular expressions do not, and look anywhere.

    Raises:
        ValueError: The text cannot be compared in this way.
    """
    if sign in {"=~", "!~"}:
        return _regex_test(sign, text)
    if sign == ":":
        folded = text.casefold()
        return lambda value: any(folded in leaf.casefold() for leaf in leaves(value))
    if path == ("severity",):
        return _severity_test(sign, text)
    if path in _TIMES:
        return _time_test(sign, text)
    if sign in _ORDER:
        return lambda value: _in_order(sign, value, text)
    return lambda value: _equals(value, text) is (sign == "=")


def leaves(value: Any) -> Iterator[str]:
    """Yield every scalar within a value, as text: where "has" and global searches look."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from leaves(inner)
    elif value is not None:
        yield _text(value)


def compile_regex(text: str) -> re.Pattern[str]:
    r"""
    Compile an RE2 expression.

    Syntax that only Python accepts is refused, as in RE2; ``$`` is the very end of the text, as
    RE2 has it, and not also the place before a last newline.

    Raises:
        ValueError: The expression is not valid.

    >>> compile_regex("a$").search("a\n") is None
    True
    """
    pieces = list(_split_regex(text))
    outside = "".join(piece for piece, in_class in pieces if not in_class)
    if _IN_PYTHON_ONLY.search(re.sub(r"\\[^1-9]", "x", outside)):
        raise ValueError(f"not valid in RE2: {text!r}")
    if any(in_class and piece == "[" for piece, in_class in pieces):
        raise ValueError(f"classes within classes are not offered here: {text!r}")
    anchors = {"\\z"} if text.startswith("(?m)") else {"$", "\\z"}
    exact = ("\\Z" if piece in anchors and not in_class else piece for piece, in_class in pieces)
    try:
        return re.compile("".join(exact))
    except re.error as exc:
        raise ValueError(f"invalid regular expression {text!r}: {exc}") from exc


def _split_regex(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the characters and escapes of an expression, and whether each is within a class."""
    in_class = False
    for piece in re.findall(r"\\.|\[\^?\]?|.", text, re.DOTALL):
        if in_class:
            yield piece, True
            in_class = piece != "]"
        else:
            in_class = piece.startswith("[")
            yield piece, False


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _compare(sign: str, left: Any, right: Any) -> bool:
    if sign in _ORDER:
        return _ORDER[sign](left, right)
    return bool(left == right) is (sign == "=")


def _equals(value: Any, text: str) -> bool:
    if value is None:
        return text == "NULL_VALUE"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value == _number(text)
    return not isinstance(value, Mapping) and _text(value).casefold() == text.casefold()


def _in_order(sign: str, value: Any, text: str) -> bool:
    left, right = _number(value), _number(text)
    if left is not None and right is not None:
        return _ORDER[sign](left, right)
    # Numbers and text have no common order; text has that of its characters.
    return isinstance(value, str) and _ORDER[sign](value.casefold(), text.casefold())


def _regex_test(sign: str, text: str) -> Test:
    pattern = compile_regex(text)
    wanted = sign == "=~"
    return lambda value: isinstance(value, str) and bool(pattern.search(value)) is wanted


def _time_test(sign: str, text: str) -> Test:
    wanted = _time(text)
    if wanted is None:
        raise ValueError(f"not a time: {text!r}")

    def test(value: Any) -> bool:
        moment = _time(value)
        return moment is not None and _compare(sign, moment, wanted)

    return test


def _severity_test(sign: str, text: str) -> Test:
    name = text.upper()
    if name not in SEVERITIES:
        raise ValueError(f"unknown severity: {text!r}")
    wanted = SEVERITIES.index(name)
    return lambda value: _compare(sign, _severity_rank(value), wanted)


def _severity_rank(value: Any) -> int:
    name = str(value).upper()
    return SEVERITIES.index(name) if name in SEVERITIES else 0
