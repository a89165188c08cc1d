"""Measure every function from its archive; ``make bench`` prepares what this needs."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sandbox.local_cloud import ROOT
from tools.bench.crowds import EVENTS, IMAGES, Crowd, send_crowd
from tools.bench.documents import DATA, DOCUMENT, PICTURE, render, write_document
from tools.bench.end_to_end import measure_end_to_end
from tools.bench.figures import compare
from tools.bench.measuring import FailedDeliveryError, Sample
from tools.bench.pictures import draw_bench
from tools.bench.report_rate import measure_report
from tools.bench.reports import (
    Results,
    make_calls_table,
    make_table,
    make_target_table,
    write_json,
)
from tools.bench.scenarios import BLANK, NAIVE, Scenario, list_scenarios
from tools.bench.stages import ARCHIVES, PYTHON, CallsOfADelivery, Stage
from tools.bench.targets import judge_calls, judge_crowd, judge_end_to_end, judge_figures

_FILE_WIDTH = 136
"""Columns of a table that goes to a file or a pipe."""

_WAYS = 20
"""Ways from a write to a Job, for each round over all deliveries."""

REPORT = ROOT / "build" / "bench.json"


def run(arguments: list[str] | None = None) -> int:
    """Measure, show tables, write ``build/bench.json``; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="rounds over all deliveries (5)")
    parser.add_argument("--events", type=int, default=EVENTS, help=f"of few images ({EVENTS})")
    parser.add_argument("--strict", action="store_true", help="fail where a target is missed")
    parser.add_argument(
        "--document",
        action="store_true",
        help=f"write {DOCUMENT.relative_to(ROOT)} from the last run, and measure nothing",
    )
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.events < IMAGES:
        parser.error(f"--runs must be 1 or more, and --events {IMAGES} or more")
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    if options.document:
        return _document(console)
    if not PYTHON.exists() or not ARCHIVES.exists():
        console.print("There is nothing to measure yet: run make bench.")
        return 1
    try:
        results = _measure(console, options.runs, options.events)
    except FailedDeliveryError as exc:
        console.print(f"[red]Not measured:[/red] {exc}", highlight=False)
        return 1
    _show(console, results)
    write_json(REPORT, results.as_json())
    console.print(f"All figures: {REPORT.relative_to(ROOT)}")
    is_missed = not all(each.is_met for each in results.targets)
    return 1 if options.strict and is_missed else 0


def _document(console: Console) -> int:
    if not REPORT.exists():
        console.print("Nothing was measured yet: run make bench.")
        return 1
    content = json.loads(REPORT.read_text("utf-8"))
    write_json(DATA, content)
    PICTURE.write_text(draw_bench(content), encoding="utf-8")
    write_document(DOCUMENT, render(content))
    for path in (DOCUMENT, DATA, PICTURE):
        console.print(str(path.relative_to(ROOT)))
    return 0


def _show(console: Console, results: Results) -> None:
    console.print(make_table(results.scenarios, results.figures, results.runs))
    console.print(make_calls_table(results.calls))
    way, crowd = results.end_to_end, results.crowd
    console.print(
        f"From a write to its Job: {way.seconds.median * 1000:.0f} ms, floor"
        f" {way.floor_s.median * 1000:.0f} ms; ratio {way.ratio.median:.2f}"
        f" ({way.ratio.low:.1f} to {way.ratio.high:.1f})",
        f"{crowd.events:,} events of {crowd.images} images in {crowd.seconds:.0f} s:"
        f" {crowd.manifest_requests:,} manifest requests, {crowd.job_posts} Job posts,"
        f" {crowd.calls:,} calls in all",
        str(results.report),
        sep="\n",
        highlight=False,
        soft_wrap=True,
    )
    console.print(make_target_table(results.targets))


def _measure(console: Console, runs: int, events: int) -> Results:
    """Measure everything that one run measures."""
    scenarios = list_scenarios(datetime.now(UTC))
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with progress:
        task = progress.add_task("preparing", total=runs * len(scenarios) + 4)

        def step(title: str) -> None:
            progress.update(task, description=title, advance=1)

        samples, calls, crowd = _measure_on_stage(scenarios, runs, events, step)
        step("from a write to its Job")
        way = measure_end_to_end(runs * _WAYS)
        step("prestream report")
        report = measure_report()
    naive = {each.kind: each.name for each in scenarios if each.function == NAIVE}
    bases = {each.name: naive[each.kind] for each in scenarios if not _is_base(each)}
    figures = compare(samples, scenarios[0].name, bases)
    counted = dict(calls)
    known = counted[_KNOWN]
    new = {"one platform": counted[_NEW], "two platforms": counted[_NEW_INDEX]}
    targets = (
        *judge_figures(scenarios, figures),
        *judge_calls(known, new),
        *judge_crowd(crowd),
        *judge_end_to_end(way),
    )
    return Results(runs, scenarios, figures, calls, crowd, way, report, targets)


_KNOWN = "image_reference: known reference"
_NEW = "image_reference: new reference"
_NEW_INDEX = "image_reference: new reference, two platforms"


def _measure_on_stage(
    scenarios: tuple[Scenario, ...], runs: int, events: int, step: Callable[[str], None]
) -> tuple[dict[str, list[Sample]], list[tuple[str, CallsOfADelivery]], Crowd]:
    """
    Measure every scenario in every round; each round begins with another one.

    One start before the first round reads the files from disk, so that no round has to.
    """
    samples: dict[str, list[Sample]] = {scenario.name: [] for scenario in scenarios}
    with Stage() as stage:
        stage.prepare("image_reference", NAIVE)
        stage.measure(scenarios[0])
        for number in range(runs):
            first = number % len(scenarios)
            for scenario in (*scenarios[first:], *scenarios[:first]):
                step(scenario.name)
                samples[scenario.name].append(stage.measure(scenario))
        step("calls of a delivery")
        calls = [(each.name, stage.count(each)) for each in scenarios if not _is_base(each)]
        new = next(each for each in scenarios if each.name == _NEW)
        calls.append((_NEW_INDEX, stage.count(new, index=True)))
        step(f"{events:,} events of {IMAGES} images")
        crowd = send_crowd(stage, events, IMAGES)
    return samples, calls, crowd


def _is_base(scenario: Scenario) -> bool:
    return scenario.function in {BLANK, NAIVE}


if __name__ == "__main__":
    sys.exit(run())
