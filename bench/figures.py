"""Medians of what was measured, and their ratios to the floor."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from bench.measuring import Sample


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the least and the most that was seen."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Figures:
    """What one scenario came to; the ratios are to the floor."""

    cold_start_s: Spread
    pss_bytes: Spread
    cold_start_ratio: Spread
    pss_ratio: Spread

    def as_json(self) -> dict[str, Any]:
        """Return them as they are written down."""
        return asdict(self)


def compare(samples: Mapping[str, Sequence[Sample]], floor: str) -> dict[str, Figures]:
    """
    Return the figures of each scenario, given as many samples of each.

    A ratio is taken within a round, of two starts that lie seconds apart, and the median is of
    those ratios: a machine that is busy for a while slows both alike.
    """
    base = samples[floor]
    return {
        name: Figures(
            cold_start_s=Spread.of([each.cold_start_s for each in series]),
            pss_bytes=Spread.of([each.pss_bytes for each in series]),
            cold_start_ratio=Spread.of(
                [
                    each.cold_start_s / one.cold_start_s
                    for each, one in zip(series, base, strict=True)
                ]
            ),
            pss_ratio=Spread.of(
                [each.pss_bytes / one.pss_bytes for each, one in zip(series, base, strict=True)]
            ),
        )
        for name, series in samples.items()
    }
