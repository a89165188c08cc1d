"""The rows of the table of images: formatted once, for the page and for its script."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cli.report.figures import Group, ImageFigures, Spread
from cli.report.reports import Report
from cli.report.wording import NONE, show_money, show_saving, show_seconds
from cli.terminal import show_bytes

Cell = tuple[float | int | str, str, str]
"""The sort key of a cell, its text, and its second line; an empty key is sorted last."""


@dataclass(frozen=True, slots=True)
class Row:
    """An image in the table."""

    image: str
    clusters: tuple[int, ...]
    """The places of its clusters in the list of the filter."""
    namespaces: tuple[int, ...]
    cells: tuple[Cell, ...]

    def as_json(self) -> list[Any]:
        """Return the row in the form that the script of the page reads."""
        return [self.image, self.clusters, self.namespaces, self.cells]


def make_row(
    each: ImageFigures, report: Report, clusters: Sequence[str], namespaces: Sequence[str]
) -> Row:
    """Return the row of an image."""
    return Row(
        each.image,
        tuple(clusters.index(name) for name in each.clusters),
        tuple(namespaces.index(name) for name in each.namespaces),
        tuple(_cells(each.figures, report.prices.currency)),
    )


def sort_key(spread: Spread | None) -> float | str:
    """Return the sort key of a duration."""
    return "" if spread is None else round(spread.median, 3)


def _cells(figures: Group, currency: str) -> Iterator[Cell]:
    size = figures.image_bytes
    yield ("", NONE, "") if size is None else (size, show_bytes(size), "")
    yield _duration(figures.cold, "its warmups" if figures.baseline == "warmups" else "")
    yield _duration(figures.streamed)
    yield _rate(figures.cold_seconds_per_gigabyte)
    yield _rate(figures.streamed_seconds_per_gigabyte)
    yield _rate(figures.ratio)
    yield (figures.pulls, str(figures.pulls), "")
    yield (figures.verdicts["streamed"], str(figures.verdicts["streamed"]), "")
    failed = f"{figures.failed_warmups} failed" if figures.failed_warmups else ""
    yield _duration(figures.time_to_warm, failed)
    saved, money = figures.saving.accelerator_seconds, figures.saving.money
    yield ("" if saved is None else round(saved, 3), show_saving(figures), "")
    yield ("" if money is None else round(money, 4), show_money(money, currency), "")


def _duration(spread: Spread | None, note: str = "") -> Cell:
    """Return the median, with its number and interval."""
    if spread is None:
        return ("", NONE, note)
    parts = [f"n {spread.count}"] if spread.count > 1 else []
    if spread.count > 1:
        parts.append(f"{show_seconds(spread.low)} to {show_seconds(spread.high)}")
    return (
        sort_key(spread),
        show_seconds(spread.median),
        ", ".join([*parts, note] if note else parts),
    )


def _rate(value: float | None) -> Cell:
    if value is None:
        return ("", NONE, "")
    return (round(value, 3), f"{value:.0f}" if value >= 10 else f"{value:.1f}", "")  # noqa: PLR2004
