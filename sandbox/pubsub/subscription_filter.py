"""
The filter language of subscriptions, over a message's attributes.

https://cloud.google.com/pubsub/docs/subscription-message-filter: keys and values are
case-sensitive, and AND and OR may not be mixed without parentheses.
"""

import ast
import re
from collections.abc import Callable, Mapping

Predicate = Callable[[Mapping[str, str]], bool]

MAX_FILTER_BYTES = 256

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<operator>!=|[=:.,()-])
      | (?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)
    )""",
    re.VERBOSE,
)


def parse_subscription_filter(text: str) -> Predicate:
    """
    Parse a filter into a predicate over attributes; an empty one accepts everything.

    Raises:
        ValueError: The text is not a filter, or is too long.

    >>> accepts = parse_subscription_filter('attributes.status = "SUCCESS" AND NOT attributes:dry')
    >>> accepts({"status": "SUCCESS"}), accepts({"status": "SUCCESS", "dry": ""})
    (True, False)
    """
    if len(text.encode()) > MAX_FILTER_BYTES:
        raise ValueError(f"filter is longer than {MAX_FILTER_BYTES} bytes")
    if not text.strip():
        return lambda _: True
    parser = _Parser(text)
    predicate = parser.expression()
    parser.expect_end()
    return predicate


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokenize(text)
        self._next = 0

    def expression(self) -> Predicate:
        """Read terms joined by AND, or by OR; never by both."""
        terms = [self._term()]
        joiner = self._peek()
        if joiner not in {"AND", "OR"}:
            return terms[0]
        while self._accept(joiner):
            terms.append(self._term())
        if self._peek() in {"AND", "OR"}:
            raise self._error("AND and OR are mixed without parentheses")
        every = all if joiner == "AND" else any
        return lambda attributes: every(term(attributes) for term in terms)

    def expect_end(self) -> None:
        """Raise ValueError if tokens are left."""
        if self._peek():
            raise self._error("unexpected text")

    def _term(self) -> Predicate:
        if self._accept("NOT") or self._accept("-"):
            negated = self._term()
            return lambda attributes: not negated(attributes)
        if self._accept("("):
            inner = self.expression()
            self._expect(")")
            return inner
        if self._accept("hasPrefix"):
            return self._prefix()
        return self._comparison()

    def _prefix(self) -> Predicate:
        self._expect("(")
        self._expect("attributes")
        self._expect(".")
        key = self._key()
        self._expect(",")
        prefix = self._string()
        self._expect(")")
        return lambda attributes: attributes.get(key, "").startswith(prefix) and key in attributes

    def _comparison(self) -> Predicate:
        self._expect("attributes")
        if self._accept(":"):
            key = self._key()
            return lambda attributes: key in attributes
        self._expect(".")
        key = self._key()
        # "!=" is the negation of "=": it holds for messages without the attribute too.
        is_negated = self._accept("!=")
        if not is_negated:
            self._expect("=")
        value = self._string()
        return lambda attributes: (attributes.get(key) == value) is not is_negated

    def _key(self) -> str:
        token = self._take()
        if token.startswith('"'):
            return _unquote(token)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", token):
            raise self._error("expected the key of an attribute")
        return token

    def _string(self) -> str:
        token = self._take()
        if not token.startswith('"'):
            raise self._error("expected a string in double quotes")
        return _unquote(token)

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _accept(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._next += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise self._error(f"expected {token!r}")

    def _error(self, problem: str) -> ValueError:
        found = self._peek() or "the end"
        return ValueError(f"{problem}, found {found!r} in filter {self._text!r}")


def _tokenize(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"unexpected character at {position} of filter {text!r}")
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


def _unquote(token: str) -> str:
    try:
        return str(ast.literal_eval(token))
    except (SyntaxError, ValueError) as exc:
        raise ValueError(f"invalid string in filter: {token}") from exc
