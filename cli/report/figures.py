"""
The figures of a report; docs/figures.md defines each.

Nothing is estimated: quantiles are exact, and where nothing was measured, a figure is None.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from shared.domain.streaming_verdict import Streamed

VERDICTS: Final[tuple[Streamed, ...]] = (
    "streamed",
    "likely_streamed",
    "cached_on_node",
    "not_streamed",
    "unknown",
)

Baseline = Literal["pulls", "warmups"]
"""Whose cold pulls a saving is measured against."""


class Pull(NamedTuple):
    """A pull, a workload's or a warmup's, with the verdict that all facts together give."""

    image: str
    at: float
    """When it ended, in seconds since 1970."""
    cluster: str | None
    node_pool: str | None
    accelerator: str | None
    is_warmup: bool
    seconds: float | None
    image_bytes: int | None
    streamed: Streamed | None
    outcome: str | None = None
    """Fields of a warmup, as are the next three."""
    strategy: str | None = None
    total_seconds: float | None = None


class Place(NamedTuple):
    """Where pulls happen."""

    cluster: str | None
    node_pool: str | None
    accelerator: str | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds of several pulls."""

    count: int
    median: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """The saving by streaming and the cost of warming; ``None`` if unknown."""

    pull_seconds: float | None = None
    accelerator_seconds: float | None = None
    """Seconds of waiting."""
    money: float | None = None
    """The sum over places with a known price; ``None`` without any price."""
    counted_pulls: int = 0
    without_baseline: int = 0
    """Streamed pulls of images without a cold measurement: they count for nothing."""
    without_accelerator: int = 0
    """Counted pulls on nodes of which no accelerator is known: nothing waited there."""
    unpriced_seconds: float = 0.0
    """Accelerator seconds for which the table has no price."""
    warming_money: float | None = None
    unpriced_warmups: int = 0

    @property
    def net_money(self) -> float | None:
        """The money saved less what warming cost."""
        return None if self.money is None else self.money - (self.warming_money or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The figures of an image, of a place, or of everything."""

    pulls: int
    """Figures of workloads."""
    warmups: int
    failed_warmups: int
    verdicts: Mapping[Streamed, int]
    """On pulls of workloads."""
    warmup_verdicts: Mapping[Streamed, int]
    cold: Spread | None
    baseline: Baseline | None
    streamed: Spread | None
    """Pulls of workloads whose verdict is ``streamed``."""
    time_to_warm: Spread | None
    """From the reference to the end of the warmup, of those that ended well."""
    image_bytes: int | None
    """Compressed, as the latest pull says; None for anything but an image."""
    saving: Saving


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """The figures of one image."""

    image: str
    clusters: tuple[str, ...]
    figures: Group


@dataclass(frozen=True, slots=True)
class PlaceFigures:
    """The figures of one node pool of one cluster."""

    place: Place
    figures: Group


def spread_of(values: Iterable[float]) -> Spread | None:
    """
    Return median and 90th percentile, or None of nothing.

    >>> spread_of([1.0, 2.0, 3.0, 4.0])
    Spread(count=4, median=2.5, p90=3.7)
    """
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.9))


def _quantile(ordered: Sequence[float], part: float) -> float:
    """Interpolate between the two nearest, as spreadsheets do (PERCENTILE.INC)."""
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
