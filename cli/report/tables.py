"""The report as rows: the figures of each image, and each pull with its evidence."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cli.report.entries import ReadFact, whole
from cli.report.facts import Facts
from cli.report.figures import VERDICTS, ImageFigures, Spread
from cli.report.findings import name_workloads, prove
from cli.report.reports import Report, remark, show_time
from cli.terminal import harmless

_FORMULA_STARTS: Final = (*"=+-@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Also in full width, which some spreadsheets treat the same."""

IMAGE_COLUMNS: Final = (
    "simulated",
    "image",
    "clusters",
    "image_bytes",
    "pulls",
    *VERDICTS,
    "cold_pulls",
    "cold_median_seconds",
    "cold_p90_seconds",
    "baseline",
    "streamed_pulls_measured",
    "streamed_median_seconds",
    "streamed_p90_seconds",
    "pull_seconds_saved",
    "accelerator_seconds_saved",
    "money_saved",
    "warmups",
    "failed_warmups",
    "to_warm_median_seconds",
    "to_warm_p90_seconds",
    "warming_money",
    "currency",
    "note",
)
PULL_COLUMNS: Final = (
    "simulated",
    "time",
    "event",
    "image",
    "verdict",
    "pull_seconds",
    "total_seconds",
    "image_bytes",
    "cluster",
    "node_pool",
    "accelerator",
    "node",
    "workload",
    "outcome",
    "strategy",
    "mirror",
    "digest",
    "insert_id",
    "evidence",
    "hint",
)


def write_images(path: Path, report: Report) -> None:
    """
    Write a row for each image.

    Raises:
        OSError: It cannot be written.
    """
    rows = (_image_row(each, report) for each in report.images)
    _write(path, IMAGE_COLUMNS, rows)


def write_pulls(path: Path, facts: Facts) -> None:
    """
    Write a row for each pull and each warmup, oldest first.

    Raises:
        OSError: It cannot be written.
    """
    _write(path, PULL_COLUMNS, _pull_rows(facts))


def _write(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_plain(each) for each in row])


def _image_row(each: ImageFigures, report: Report) -> Iterator[object]:
    figures, saving = each.figures, each.figures.saving
    yield report.simulated > 0
    yield from (each.image, " ".join(each.clusters), figures.image_bytes, figures.pulls)
    yield from (figures.verdicts[verdict] for verdict in VERDICTS)
    yield from (*_spread(figures.cold), figures.baseline, *_spread(figures.streamed))
    yield from (saving.pull_seconds, saving.accelerator_seconds, saving.money)
    yield from (figures.warmups, figures.failed_warmups, *_spread(figures.time_to_warm)[1:])
    yield from (saving.warming_money, report.prices.currency, remark(each))


def _pull_rows(facts: Facts) -> Iterator[Iterable[object]]:
    for event in ("pull.observed", "warmup.finished"):
        yield from map(_pull_row, facts.of(event))


def _pull_row(fact: ReadFact) -> Iterable[object]:
    fields = fact.fields
    proofs = "; ".join(f"{each.insert_id}: {each.text}" for each in prove(fact)[:-1])
    workload = ", ".join(name_workloads(fact)) or fields.job
    yield from (bool(fields.simulated), show_time(fact.at), fields.event, fields.image)
    yield from (fields.streamed, fields.pull_seconds, fields.total_seconds)
    yield from (whole(fields.image_bytes), fields.cluster, fields.node_pool, fields.accelerator)
    yield from (fields.node, workload, fields.outcome, fields.strategy)
    yield from (fields.mirror, fields.digest, fact.insert_id, proofs, fields.hint)


def _spread(spread: Spread | None) -> tuple[object, object, object]:
    return (0, None, None) if spread is None else (spread.count, spread.median, spread.p90)


def _plain(value: object) -> object:
    """
    Round seconds to milliseconds, and let no text begin a formula in a spreadsheet.

    Texts come from logs, so any user who names an image or a workload chooses them:
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return round(value, 3)
    if not isinstance(value, str):
        return value
    # A carriage return alone would end a row, for some readers, and begin another cell.
    text = harmless(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
