"""The plan and the results of a trial, for a terminal of 80 columns."""

import re
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.terminal import harmless, show_bytes
from cli.trial.open_answers import Answer
from cli.trial.pull_result import PullResult
from cli.trial.trial_plan import LeftOut, TrialPlan
from cli.trial.trial_step import Step, describe
from cli.trial.trial_summary import TrialSummary

_STYLES = {"streamed": "bold green", "likely streamed": "green", "not streamed": "yellow"}
_INDENT = 3
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
"""Digests are complete in ``trial.json`` only."""


def print_wrapped(console: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    """Print a text between words, each line with the same indent."""
    for line in Text(harmless(text), style).wrap(console, max(console.width - indent, 20)):
        line.rstrip()
        console.print(Text.assemble(" " * indent, line), soft_wrap=True)


def print_plan(console: Console, plan: TrialPlan, upstream: str | None) -> None:
    """Print the pulls of a trial with their nodes, and the pulls that are left out."""
    table = _make_table("", "pull", "node", "machine", "streams")
    for step in plan.steps:
        table.add_row(step.key, describe(step.kind, upstream), *_describe_node(step))
    console.print(table)
    for each in plan.left_out:
        print_wrapped(console, _describe_left_out(each, upstream), style="yellow")


def _describe_node(step: Step) -> tuple[str, str, str]:
    if step.node is None:
        chooser = "any other node" if step.kind == "prewarmed" else "the cluster chooses"
        return chooser, "", ""
    node = step.node
    machine = f"{node.machine or 'unknown'}{f', {node.accelerator}' if node.accelerator else ''}"
    return harmless(node.name), harmless(machine), "yes" if node.streams else "no"


def _describe_left_out(each: LeftOut, upstream: str | None) -> str:
    return f"{each.step.key}  left out: {describe(each.step.kind, upstream)}: {each.reason}"


def print_results(
    console: Console,
    results: Sequence[PullResult],
    upstream: str | None,
    *,
    simulated: bool = False,
) -> None:
    """Print the results as a table, and below it the evidence of each."""
    if simulated:
        console.print(Text("SIMULATED", "bold yellow"))
    table = _make_table("", "pull", "node", "seconds", "size", "verdict")
    for each in results:
        shown = "-" if each.seconds is None else f"{each.seconds:.1f}"
        verdict = Text(each.verdict, _STYLES.get(each.verdict, ""))
        table.add_row(
            each.step.key,
            describe(each.step.kind, upstream),
            harmless(each.node or "-"),
            Text(shown, justify="right"),
            show_bytes(each.image_bytes),
            verdict,
        )
    console.print(table)
    console.print(Text("Evidence", "bold"))
    for each in results:
        _print_evidence(console, each)


def _print_evidence(console: Console, result: PullResult) -> None:
    texts: Iterable[str] = result.texts or ("no event shows how the node got the image",)
    key = result.step.key.ljust(_INDENT)
    for number, text in enumerate(texts):
        shown = _DIGEST.sub(r"\1…", harmless(text))
        lines = Text(shown).wrap(console, max(console.width - _INDENT, 20))
        for position, line in enumerate(lines):
            line.rstrip()
            lead = key if number == position == 0 else " " * _INDENT
            console.print(Text.assemble((lead, "bold"), line), soft_wrap=True)
    if not result.counts and result.outcome == "pulled":
        why = "the node may have held the image before, so this pull is not a result"
        print_wrapped(console, why, indent=_INDENT, style="yellow")
    if result.hint and not result.counts:
        print_wrapped(console, result.hint, indent=_INDENT, style="yellow")


def print_summary(console: Console, summary: TrialSummary, *, simulated: bool = False) -> None:
    """Print the conclusion and the figures."""
    console.print()
    style = "bold green" if summary.conclusion == "streamed" else "bold"
    mark = "Simulated: " if simulated else ""
    print_wrapped(console, f"{mark}{summary.headline}", style=style)
    if summary.comparison:
        print_wrapped(console, f"{mark}{summary.comparison}")


def print_answers(console: Console, answers: Iterable[Answer]) -> None:
    """Print the answers to the open questions, with the decisive evidence."""
    console.print()
    console.print(Text("Open questions", "bold"))
    for each in answers:
        print_wrapped(console, each.question)
        print_wrapped(console, each.answer, indent=_INDENT, style="bold")
        for text in each.evidence[:1]:
            print_wrapped(console, _DIGEST.sub(r"\1…", text), indent=_INDENT)


def _make_table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in headings:
        fold = heading in {"node", "pull", "machine"}
        table.add_column(heading, overflow="fold" if fold else "ellipsis", no_wrap=not fold)
    return table
