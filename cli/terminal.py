"""Text for a terminal: control characters of foreign texts are escaped, numbers are readable."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1_000

_WIDE = 160
"""The width of a table for a file or another program."""


def make_console() -> Console:
    """
    Return the console of a command's output; without a terminal, lines are not wrapped early.

    Brackets and colons in a text, which an image's name can contain, are not markup.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, markup=False, emoji=False, width=_WIDE)


def make_side_console(**options: Any) -> Console:
    """Return a console on standard error, for progress and errors, without markup."""
    return Console(stderr=True, markup=False, emoji=False, **options)


def harmless(text: str) -> str:
    r"""
    Return a text without control characters: it may come from a log or from a tenant.

    >>> print(harmless("a\x1b[2Jb\nc"))
    a\x1b[2Jb\nc
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def show_bytes(size: int | None) -> str:
    """
    Return a size as registries show it, in powers of a thousand.

    >>> show_bytes(9_712_000_000), show_bytes(420), show_bytes(None)
    ('9.7 GB', '420 B', 'unknown')
    """
    if size is None:
        return "unknown"
    amount, unit = float(size), _UNITS[0]
    for unit in _UNITS:
        if amount < _STEP or unit == _UNITS[-1]:
            break
        amount /= _STEP
    return f"{amount:.0f} {unit}" if unit in _UNITS[:2] else f"{amount:.1f} {unit}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """
    Return a number with its noun.

    >>> count(1, "entry", "entries"), count(2, "entry", "entries"), count(0, "image")
    ('1 entry', '2 entries', '0 images')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def join_some(names: Iterable[str], most: int = 3) -> str:
    """
    Return some names, and the number of the others.

    >>> join_some(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    every = list(names)
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more} more" if more > 0 else "")


def is_watched() -> bool:
    """Whether standard error is a terminal, so that progress may be shown there."""
    return sys.stderr.isatty()
