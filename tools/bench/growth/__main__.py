"""``python -m tools.bench.growth``: measure the curves; ``make growth`` prepares it."""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table

from sandbox.local_cloud import ROOT
from tools.bench.documents import write_document
from tools.bench.growth.curves import Curve, grow_clusters, grow_events, grow_images, grow_waiting
from tools.bench.growth.growth_document import DATA, DOCUMENT, PICTURE, render
from tools.bench.growth.growth_picture import draw_growth
from tools.bench.measuring import FailedDeliveryError
from tools.bench.reports import write_json
from tools.bench.stages import ARCHIVES, PYTHON

GROWTH = ROOT / "build" / "growth.json"

_MILLION = 1e6
_FILE_WIDTH = 120


def run(arguments: list[str] | None = None) -> int:
    """Measure, show a table, write it down; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument(
        "--document",
        action="store_true",
        help=f"write {DOCUMENT.relative_to(ROOT)} from the last run, and measure nothing",
    )
    is_known = parser.parse_args(arguments).document
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    if is_known:
        return _document(console)
    if not PYTHON.exists() or not ARCHIVES.exists():
        console.print("There is nothing to measure yet: run make growth.")
        return 1
    try:
        curves = _measure(console)
    except FailedDeliveryError as exc:
        console.print(f"[red]Not measured:[/red] {exc}", highlight=False)
        return 1
    console.print(_make_table(curves))
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": [round(each, 2) for each in os.getloadavg()],
        "curves": [each.as_json() for each in curves],
    }
    write_json(GROWTH, content)
    return _document(console)


def _document(console: Console) -> int:
    if not GROWTH.exists():
        console.print("Nothing was measured yet: run make growth.")
        return 1
    content = json.loads(GROWTH.read_text("utf-8"))
    write_json(DATA, content)
    PICTURE.write_text(draw_growth(content), encoding="utf-8")
    write_document(DOCUMENT, render(content))
    for path in (GROWTH, DATA, DOCUMENT, PICTURE):
        console.print(str(path.relative_to(ROOT)))
    return 0


def _measure(console: Console) -> list[Curve]:
    with console.status("preparing") as status:

        def step(title: str) -> None:
            status.update(title)

        return [
            grow_events(step),
            grow_images(step),
            grow_waiting(step),
            *grow_clusters(step),
        ]


def _make_table(curves: Iterable[Curve]) -> Table:
    table = Table(
        title="Cost, time and memory against size",
        caption="power: of the size, between the last two points; 1 is in proportion, 0 not at all",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("what")
    for heading in ("size", "calls", "seconds", "memory"):
        table.add_column(heading, justify="right")
    for curve in curves:
        for each in curve.points:
            table.add_row(
                f"{curve.title}, by {curve.size}",
                f"{each.size:,}",
                f"{each.calls:,.0f}",
                f"{each.seconds:.3f}",
                f"{each.bytes / _MILLION:.0f} MB",
            )
        powers = [f"{curve.exponent(each):.2f}" for each in ("calls", "seconds", "bytes")]
        table.add_row("  power", "", *powers, end_section=True)
    return table


if __name__ == "__main__":
    sys.exit(run())
