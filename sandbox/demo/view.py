"""The output of the demo: progress, and a table at the end."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sandbox.demo.case import MIRRORS
from sandbox.demo.later import Sight
from sandbox.demo.outcome import Result

_MARKS = {
    "pulled": ("warm", "green"),
    "pull_failed": ("cannot be pulled", "yellow"),
    "not_allowed": ("not allowed", "yellow"),
    "no_node": ("no node", "yellow"),
}
_REFRESH_A_SECOND = 8
_WIDE = 180
_NARROW = 120
"""Columns of a terminal below which a sentence in the table would be a column of syllables."""


class View:
    """Shows the demo, live on a terminal and line by line elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._live: Live | None = None
        self._said: dict[str, str] = {}

    def __enter__(self) -> "View":
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, refresh_per_second=_REFRESH_A_SECOND, transient=True
            )
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print the next step."""
        self._console.print(f"[dim]{self._elapsed()}[/dim]  [bold]{text}[/bold]", highlight=False)

    def update(self, results: Sequence[Result]) -> None:
        """Show how far each case is."""
        if self._live is not None:
            self._live.update(self._progress(results))
            return
        for result in results:
            said, _ = _describe(result)
            if result.is_warm:
                self._say_once(result.case.name, f"{result.case.title}: {said}")

    def _say_once(self, name: str, text: str) -> None:
        if self._said.get(name) != text:
            self._said[name] = text
            self._console.print(f"{self._elapsed()}  {text}", highlight=False, soft_wrap=True)

    def _progress(self, results: Sequence[Result]) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        for result in results:
            said, style = _describe(result)
            mark: RenderableType = Spinner("dots") if style == "dim" else Text("●", style=style)
            table.add_row(mark, Text(result.case.title), Text(said, style=style))
        return table

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._started:5.1f} s"


def show_results(console: Console, results: Sequence[Result]) -> None:
    """Print the table: image, mirror, duration of the pulls, verdict and hint."""
    # Output to a file is wide, so that nothing is cut.
    wide = console if console.is_terminal else Console(file=console.file, width=_WIDE)
    is_narrow = wide.width < _NARROW
    wide.print(_table(results, is_narrow=is_narrow))
    for note in _notes(results, is_narrow=is_narrow):
        wide.print(note, highlight=False)


def show_sights(console: Console, sights: Sequence[Sight]) -> None:
    """Print the results of the later days."""
    if not sights:
        return
    console.print("\n[bold]Two days later[/bold]", highlight=False)
    for sight in sights:
        mark = Text("● ", style="green" if sight.is_seen else "red")
        console.print(mark, Text(f"{sight.title}: {sight.text}"), sep="", soft_wrap=True)
    console.print()


def _table(results: Sequence[Result], *, is_narrow: bool) -> Table:
    table = Table(
        title=f"The outcome of each image (mirrors are in {MIRRORS})",
        title_justify="left",
        title_style="bold",
        box=box.HORIZONTALS,
        show_lines=True,
    )
    table.add_column("image", overflow="fold", ratio=4)
    table.add_column("mirror", overflow="fold", ratio=2)
    table.add_column("cold s", justify="right")
    table.add_column("streamed s", justify="right")
    table.add_column("verdict", no_wrap=True)
    if not is_narrow:
        table.add_column("warmed on", overflow="fold", ratio=2)
        table.add_column("what to do", overflow="fold", ratio=4)
    for result in results:
        table.add_row(*_row(result)[: len(table.columns)])
    return table


def _notes(results: Sequence[Result], *, is_narrow: bool) -> Iterator[str]:
    """Yield the texts for which the table has no room."""
    for result in results:
        if is_narrow and (result.faults or result.verdict != "streamed"):
            yield f"{result.case.title}: {_advice(result, result.warmup or {})}"
    for result in results:
        if result.case.is_rewritten and result.rewritten:
            yield (
                f"Deployment {result.case.name} still names {result.case.image}: the API server"
                f" rewrote its second pod to {result.rewritten}."
            )


def _row(result: Result) -> list[RenderableType]:
    warmup, second = result.warmup or {}, result.second_pull or {}
    verdict, style = _verdict(result)
    return [
        result.case.title,
        _repository(result),
        _seconds(warmup.get("pull_seconds")),
        _seconds(second.get("pull_seconds")),
        Text(verdict, style="red" if result.faults else style),
        warmup.get("node") or "-",
        _advice(result, warmup),
    ]


def _verdict(result: Result) -> tuple[str, str]:
    if result.verdict is not None:
        return result.verdict, "green"
    if result.warmup is not None:
        return str(result.warmup["outcome"]), "yellow"
    return "unknown", "red"


def _advice(result: Result, warmup: Mapping[str, Any]) -> str:
    if result.faults:
        return "; ".join(result.faults)
    if result.verdict == "streamed":
        return "nothing: it streams"
    return warmup.get("hint") or ""


def _repository(result: Result) -> str:
    """Return the repository that nodes pull from; an image of one's own needs no mirror."""
    mirror = result.case.mirror or (result.warmup or {}).get("mirror")
    if not mirror:
        return "-"
    repository = str(mirror).removeprefix(f"{MIRRORS}/").partition("/")[0]
    if mirror == result.case.image:
        return "its own: needs none"
    return f"{repository}, by policy" if result.rewritten else repository


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _describe(result: Result) -> tuple[str, str]:
    if result.faults and result.is_complete:
        return "; ".join(result.faults), "red"
    warmup, second = result.warmup, result.second_pull
    if second is not None:
        how = ", rewritten by policy" if result.rewritten else ""
        return (
            f"{second['streamed']} on a second node in {_seconds(second['pull_seconds'])} s{how}",
            "green",
        )
    if warmup is not None:
        text, style = _MARKS.get(warmup["outcome"], (warmup["outcome"], "yellow"))
        if warmup["pull_seconds"] is not None:
            return f"{text}: pulled cold in {_seconds(warmup['pull_seconds'])} s", style
        return text, style
    return (f"warming: {result.job}" if result.job else "waiting"), "dim"
