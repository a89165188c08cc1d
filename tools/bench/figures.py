"""Medians of what was measured, and their ratios to the floor and to the naive function."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from tools.bench.measuring import Sample


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
class Ratios:
    """The figures of one scenario relative to another."""

    cold_start: Spread
    cold_cpu: Spread
    """Ratio of processor seconds until the first answer."""
    pss: Spread
    rate: Spread
    """Above 1 is faster, unlike the others."""
    cpu: Spread
    """Ratio of processor seconds per delivery."""

    @classmethod
    def of(cls, samples: Sequence[Sample], base: Sequence[Sample]) -> Self:
        """
        Return the ratios, given as many samples of each.

        A ratio is taken within a round, of two starts that lie seconds apart, and the median is of
        those ratios: a machine that is busy for a while slows both alike.
        """
        pairs = list(zip(samples, base, strict=True))
        return cls(
            cold_cpu=Spread.of([each.cold_cpu_s / one.cold_cpu_s for each, one in pairs]),
            cold_start=Spread.of([each.cold_start_s / one.cold_start_s for each, one in pairs]),
            pss=Spread.of([each.pss_bytes / one.pss_bytes for each, one in pairs]),
            rate=Spread.of([each.rate / one.rate for each, one in pairs]),
            cpu=Spread.of([each.cpu_s / one.cpu_s for each, one in pairs]),
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one scenario."""

    cold_start_s: Spread
    pss_bytes: Spread
    rate: Spread
    """Deliveries a second."""
    cpu_s: Spread
    to_floor: Ratios
    to_naive: Ratios | None = None
    """To the naive function with the same kind of delivery; None for the bases themselves."""

    def as_json(self) -> dict[str, Any]:
        """Return them as they are written down."""
        return asdict(self)


def compare(
    samples: Mapping[str, Sequence[Sample]],
    floor: str,
    naive: Mapping[str, str] | None = None,
) -> dict[str, Figures]:
    """
    Return the figures of each scenario, given as many samples of each.

    Args:
        samples: By the name of the scenario.
        floor: The scenario that all are compared with.
        naive: The naive function's scenario for those that are compared with it too.
    """
    other = naive or {}
    return {
        name: Figures(
            cold_start_s=Spread.of([each.cold_start_s for each in series]),
            pss_bytes=Spread.of([each.pss_bytes for each in series]),
            rate=Spread.of([each.rate for each in series]),
            cpu_s=Spread.of([each.cpu_s for each in series]),
            to_floor=Ratios.of(series, samples[floor]),
            to_naive=Ratios.of(series, samples[other[name]]) if name in other else None,
        )
        for name, series in samples.items()
    }
