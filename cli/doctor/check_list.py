"""Checks, for a person: by topic, what failed first."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from cli.doctor.check import VERDICTS, Check, Topic, Verdict, count_verdicts
from cli.terminal import harmless, make_console

_TITLES: Final[Mapping[Topic, str]] = {
    "image": "The image",
    "services": "APIs",
    "cluster": "Clusters",
    "nodes": "Nodes",
    "mirrors": "Mirrors",
    "messages": "Messages",
    "access": "Access to clusters",
    "rewriting": "Rewriting of pods",
}

_MARKS: Final[Mapping[Verdict, tuple[str, str]]] = {
    "failed": ("✗ failed ", "bold red"),
    "warning": ("! warning", "yellow"),
    "unknown": ("? unknown", "magenta"),
    "ok": ("✓ ok     ", "green"),
}

_INDENT: Final = 12


def print_checks(checks: Iterable[Check]) -> None:
    """Print checks; topics in which something failed come first."""
    console = make_console()
    every = list(checks)
    for topic in sorted(_TITLES, key=lambda each: _rank(each, every)):
        ordered = sorted(
            (each for each in every if each.topic == topic),
            key=lambda each: VERDICTS.index(each.verdict),
        )
        if ordered:
            console.print()
            console.print(Text(_TITLES[topic], "bold"))
        for _, alike in groupby(ordered, key=_told):
            _print_alike(console, list(alike))
    console.print()
    console.print(Text(_sum_up(every), "bold"))


def _rank(topic: Topic, checks: Iterable[Check]) -> tuple[bool, int, int]:
    """Order topics by their worst check; what was asked for by name comes first."""
    worst = min(
        (VERDICTS.index(each.verdict) for each in checks if each.topic == topic),
        default=len(VERDICTS),
    )
    return topic != "image", worst, list(_TITLES).index(topic)


def _told(check: Check) -> tuple[str | None, ...]:
    """Return what a person reads of a check beside its subject."""
    return check.verdict, check.name, check.finding, check.fix


def _print_alike(console: Console, checks: Sequence[Check]) -> None:
    """Print checks with the same finding for several subjects once."""
    first = checks[0]
    mark, style = _MARKS[first.verdict]
    for each in checks:
        console.print(Text.assemble((mark, style), f"  {harmless(each.subject)}"), soft_wrap=True)
    _print_indented(console, Text.assemble((f"{first.name}: ", "dim"), harmless(first.finding)))
    if first.verdict != "ok":
        _print_indented(console, Text(f"looked at {harmless(first.looked_at)}", "dim"))
    for command in (first.fix or "").splitlines():
        # Not wrapped, so that it can be copied as it is.
        console.print(Text(" " * _INDENT + harmless(command), "cyan"), soft_wrap=True)


def _print_indented(console: Console, text: Text) -> None:
    for line in text.wrap(console, max(console.width - _INDENT, _INDENT)):
        line.rstrip()
        console.print(Text.assemble(" " * _INDENT, line), soft_wrap=True)


def _sum_up(checks: Iterable[Check]) -> str:
    counted = count_verdicts(checks)
    words = {
        "failed": "failed",
        "warning": "to look at",
        "unknown": "could not be seen",
        "ok": "ok",
    }
    return ", ".join(f"{counted[each]} {words[each]}" for each in VERDICTS)
