"""Checks, for a person: by topic, what failed first."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from cli.doctor.check import VERDICTS, Check, Topic, Verdict, count_verdicts
from cli.terminal import count, harmless, join_some, make_console

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
    shared = _find_shared(every)
    for cause in shared.values():
        _print_shared(console, cause)
    for topic in sorted(_TITLES, key=lambda each: _rank(each, every)):
        ordered = sorted(
            (each for each in every if each.topic == topic and _cause(each) not in shared),
            key=lambda each: VERDICTS.index(each.verdict),
        )
        if ordered:
            console.print()
            console.print(Text(_TITLES[topic], "bold"))
        for _, alike in groupby(ordered, key=_told):
            _print_alike(console, list(alike))
    console.print()
    console.print(Text(_sum_up(every), "bold"))


def _cause(check: Check) -> tuple[str, str | None]:
    return check.finding, check.fix


def _find_shared(checks: Iterable[Check]) -> dict[tuple[str, str | None], list[Check]]:
    """Return the causes for which several kinds of checks are unknown, with these checks."""
    found: dict[tuple[str, str | None], list[Check]] = {}
    for each in checks:
        if each.verdict == "unknown":
            found.setdefault(_cause(each), []).append(each)
    return {key: alike for key, alike in found.items() if len({each.name for each in alike}) > 1}


def _print_shared(console: Console, checks: Sequence[Check]) -> None:
    """Print the checks that one cause prevents, and the cause once."""
    mark, style = _MARKS["unknown"]
    console.print()
    console.print(Text(f"{count(len(checks), 'check')} could not be made", "bold"))
    for name in dict.fromkeys(each.name for each in checks):
        subjects = join_some(each.subject for each in checks if each.name == name)
        text = Text.assemble((mark, style), ("  " + name + ": ", "dim"), harmless(subjects))
        console.print(text, soft_wrap=True)
    _print_indented(console, Text(harmless(checks[0].finding)))
    _print_fix(console, checks[0].fix)


def _print_fix(console: Console, fix: str | None) -> None:
    for command in (fix or "").splitlines():
        # Not wrapped, so that it can be copied as it is.
        console.print(Text(" " * _INDENT + harmless(command), "cyan"), soft_wrap=True)


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
    _print_fix(console, first.fix)


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
