"""The report for a terminal: the most important figures."""

from collections.abc import Iterable
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.report.findings import Finding, short
from cli.report.reports import Report, by_weight, remark
from cli.report.wording import (
    caveats,
    headline,
    label_simulated,
    money_sentence,
    show_period,
    show_saving,
    show_scale,
    show_seconds,
    show_spread,
    show_to_fix,
    simulation_notice,
    times_as_fast,
)
from cli.terminal import harmless

_MOST_FINDINGS: Final = 5
_MOST_NAMED: Final = 5
_MOST_IMAGES: Final = 20


def print_summary(console: Console, report: Report) -> None:
    """Print the summary of a report."""
    console.print(Group(*_parts(report)))


def _parts(report: Report) -> Iterable[RenderableType]:
    if (notice := simulation_notice(report)) is not None:
        yield Text(notice, style="bold yellow")
    yield Text(headline(report), style="bold")
    if report.facts:
        yield from _savings(report)
        yield Text(f"{show_scale(report)}; {show_period(report)}", style="dim")
        yield _images(report)
        yield from _findings(report)
    for said in caveats(report):
        yield Text(said, style="dim")


def _savings(report: Report) -> Iterable[Text]:
    if (factor := times_as_fast(report)) is not None:
        saved = show_seconds(report.total.saving.accelerator_seconds)
        said = f"{factor:.0f} times as fast; {saved} of accelerator waiting saved."
        yield Text(label_simulated(report, said))
    if (money := money_sentence(report)) is not None:
        yield Text(money)


def _findings(report: Report) -> Iterable[Text]:
    if report.findings:
        yield Text(show_to_fix(report), style="bold")
    for number, finding in enumerate(report.findings[:_MOST_FINDINGS], start=1):
        yield _finding(number, finding)
    if (more := len(report.findings) - _MOST_FINDINGS) > 0:
        yield Text(f"   and {more} more, in --html and --json")


def _images(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", overflow="fold")
    for heading in ("cold pull", "streamed pull", "streamed", "to warm", "accelerator time saved"):
        table.add_column(heading, justify="right")
    ranked = by_weight(report.images)
    for each in ranked[:_MOST_IMAGES]:
        figures = each.figures
        pulls = f"{figures.verdicts['streamed']} of {figures.pulls}" if figures.pulls else ""
        note = remark(each)
        mark = "*" if note is not None and figures.baseline else ""
        table.add_row(
            harmless(short(each.image)),
            f"{show_spread(figures.cold)}{mark}",
            show_spread(figures.streamed),
            pulls,
            show_spread(figures.time_to_warm),
            show_saving(figures),
        )
    if (more := len(ranked) - _MOST_IMAGES) > 0:
        table.add_row(f"and {more} more")
    return table


def _finding(number: int, finding: Finding) -> Text:
    times = f" ({finding.times} times)" if finding.times > 1 else ""
    waited = (
        f", {show_seconds(finding.waited_seconds)} of accelerator waiting"
        if finding.waited_seconds
        else ""
    )
    text = Text(f"{number}. {harmless(finding.title)}{times}{waited}")
    images = [short(each.image) for each in finding.affected[:_MOST_NAMED]]
    if len(finding.affected) > 1:
        more = len(finding.affected) - len(images)
        images += [f"and {more} more"] if more else []
        text.append(f"\n   images: {harmless(', '.join(images))}", style="dim")
    if reason := finding.affected[0].reason:
        text.append(f"\n   why: {harmless(reason)}", style="dim")
    if finding.hint:
        text.append(f"\n   {harmless(finding.hint)}")
    for command in finding.commands:
        text.append(f"\n   $ {harmless(command)}", style="cyan")
    return text
