"""
The figures of a report; docs/figures.md defines each.

Nothing is estimated: quantiles are exact, and a figure without a measurement is None.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from shared.domain.streaming_verdict import Streamed

VERDICTS: Final[tuple[Streamed, ...]] = (
    "streamed",
    "likely_streamed",
    "cached_on_node",
    "not_streamed",
    "unknown",
)

_NORMAL_FROM: Final = 200
"""The count from which the binomial distribution is approximated."""
_WIDTH: Final = 1.96
_OUTSIDE: Final = 0.025

Baseline = Literal["pulls", "warmups"]
"""The pulls that are the baseline of a saving."""


class Pull(NamedTuple):
    """A pull of a workload or a warmup, with the verdict from all facts."""

    image: str
    at: float
    """The end, in seconds since 1970."""
    cluster: str | None
    node_pool: str | None
    accelerator: str | None
    is_warmup: bool
    seconds: float | None
    image_bytes: int | None
    streamed: Streamed | None
    outcome: str | None = None
    """A field of warmups, like the next four."""
    strategy: str | None = None
    total_seconds: float | None = None
    node_lacked: bool = False
    """Whether evidence shows that the node did not hold the image."""
    namespace: str | None = None
    """The namespace of the workload."""


class Place(NamedTuple):
    """The place of pulls."""

    cluster: str | None
    node_pool: str | None
    accelerator: str | None


@dataclass(frozen=True, slots=True)
class Spread:
    """The durations of several pulls, in seconds."""

    count: int
    median: float
    p90: float
    low: float
    high: float
    """
    The 95 % confidence interval of the median; of fewer than six durations, their range.

    https://en.wikipedia.org/wiki/Order_statistic#Application:_confidence_intervals_for_quantiles
    """


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
    """Streamed pulls of images without a cold measurement, which are not counted."""
    without_accelerator: int = 0
    """Counted pulls on nodes without a known accelerator, so no accelerator waited."""
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
    """The figures of pulls by workloads."""
    warmups: int
    failed_warmups: int
    verdicts: Mapping[Streamed, int]
    """The verdicts on pulls of workloads."""
    warmup_verdicts: Mapping[Streamed, int]
    cold: Spread | None
    baseline: Baseline | None
    streamed: Spread | None
    """Pulls of workloads whose verdict is ``streamed``."""
    time_to_warm: Spread | None
    """The time from the reference to the end of each successful warmup."""
    image_bytes: int | None
    """The compressed size from the latest pull; None without a single image."""
    saving: Saving

    @property
    def cold_seconds_per_gigabyte(self) -> float | None:
        """The median of cold pulls per compressed gigabyte (1e9 bytes)."""
        return _per_gigabyte(self.cold, self.image_bytes)

    @property
    def streamed_seconds_per_gigabyte(self) -> float | None:
        """The median of streamed pulls per compressed gigabyte (1e9 bytes)."""
        return _per_gigabyte(self.streamed, self.image_bytes)

    @property
    def ratio(self) -> float | None:
        """The median of cold pulls, divided by that of streamed pulls."""
        if self.cold is None or self.streamed is None or not self.streamed.median:
            return None
        return self.cold.median / self.streamed.median


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """The figures of one image."""

    image: str
    clusters: tuple[str, ...]
    figures: Group
    namespaces: tuple[str, ...] = ()
    """The namespaces of the workloads that pulled it."""


@dataclass(frozen=True, slots=True)
class PlaceFigures:
    """The figures of one node pool of one cluster."""

    place: Place
    figures: Group


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The pulls of workloads on one day, in UTC."""

    day: str
    verdicts: Mapping[Streamed, int]
    cold: Spread | None
    streamed: Spread | None

    @property
    def pulls(self) -> int:
        """The number of pulls."""
        return sum(self.verdicts.values())


def spread_of(values: Iterable[float]) -> Spread | None:
    """
    Return median, 90th percentile and the interval of the median, or None of nothing.

    >>> spread_of([1.0, 2.0, 3.0, 4.0])
    Spread(count=4, median=2.5, p90=3.7, low=1.0, high=4.0)
    """
    ordered = sorted(values)
    if not ordered:
        return None
    below = _below_median(len(ordered))
    return Spread(
        len(ordered),
        _quantile(ordered, 0.5),
        _quantile(ordered, 0.9),
        ordered[below],
        ordered[-1 - below],
    )


@lru_cache(maxsize=4096)
def _below_median(count: int) -> int:
    """
    Return how many of the sorted durations lie outside the interval on each side.

    >>> [_below_median(count) for count in (1, 5, 6, 10, 100)]
    [0, 0, 0, 1, 39]
    """
    # The number of durations below the true median is binomial with probability one half.
    weight = chance = 0.5**count if count < _NORMAL_FROM else 0.0
    if not weight:
        return int((count - 1 - _WIDTH * math.sqrt(count)) / 2)
    number = 0
    while chance <= _OUTSIDE:
        number += 1
        weight *= (count - number + 1) / number
        chance += weight
    return max(number - 1, 0)


def _per_gigabyte(spread: Spread | None, image_bytes: int | None) -> float | None:
    return spread.median / (image_bytes / 1e9) if spread and image_bytes else None


def _quantile(ordered: Sequence[float], part: float) -> float:
    """Interpolate between the two nearest, as spreadsheets do (PERCENTILE.INC)."""
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
