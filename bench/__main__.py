"""``python -m bench``: measure every function from its archive; ``make bench`` prepares it."""

import argparse
import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.figures import compare
from bench.measuring import FailedDeliveryError, Sample
from bench.report_rate import measure_report
from bench.reports import make_table, write_report
from bench.scenarios import Scenario, list_scenarios
from bench.stages import ARCHIVES, PYTHON, Stage
from sandbox.local_cloud import ROOT

_FILE_WIDTH = 100
"""Columns of a table that goes to a file or a pipe."""

REPORT = ROOT / "build" / "bench.json"


def run(arguments: list[str] | None = None) -> int:
    """Measure, show a table, write ``build/bench.json``; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="rounds over all deliveries (5)")
    runs: int = parser.parse_args(arguments).runs
    if runs < 1:
        parser.error("--runs must be 1 or more")
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    if not PYTHON.exists() or not ARCHIVES.exists():
        console.print("There is nothing to measure yet: run make bench.")
        return 1
    scenarios = list_scenarios(datetime.now(UTC))
    try:
        samples = _measure(console, scenarios, runs)
    except FailedDeliveryError as exc:
        console.print(f"[red]Not measured:[/red] {exc}", highlight=False)
        return 1
    figures = compare(samples, floor=scenarios[0].name)
    console.print(make_table(scenarios, figures, runs))
    with console.status("prestream report"):
        rate = measure_report()
    console.print(str(rate), highlight=False, soft_wrap=True)
    write_report(REPORT, scenarios, figures, runs, rate)
    console.print(f"All figures: {REPORT.relative_to(ROOT)}")
    return 0


def _measure(
    console: Console, scenarios: tuple[Scenario, ...], runs: int
) -> dict[str, list[Sample]]:
    """
    Measure every scenario in every round; each round begins with another one.

    One start before the first round reads the files from disk, so that no round has to.
    """
    samples: dict[str, list[Sample]] = {scenario.name: [] for scenario in scenarios}
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with Stage() as stage, progress:
        task = progress.add_task("preparing", total=runs * len(scenarios))
        stage.prepare(scenarios)
        stage.measure(scenarios[0])
        for number in range(runs):
            first = number % len(scenarios)
            for scenario in (*scenarios[first:], *scenarios[:first]):
                progress.update(task, description=scenario.name)
                samples[scenario.name].append(stage.measure(scenario))
                progress.advance(task)
    return samples


if __name__ == "__main__":
    sys.exit(run())
