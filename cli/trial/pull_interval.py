"""The median of repeated pulls, with an interval that contains the true median."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class PullInterval:
    """The median of some durations in seconds, and an interval between two of them."""

    number: int
    median: float
    low: float
    high: float
    confidence: float
    """The probability that the interval contains the true median; 0 for one duration."""

    @classmethod
    def of(cls, durations: Iterable[float]) -> "PullInterval | None":
        """
        Return the median of durations and the shortest interval of at least 95 %.

        The interval makes no assumption about the distribution: each duration is above the true
        median with a probability of one half. Fewer than six durations do not reach 95 %; then it
        is their whole range, with the probability that it has. None without durations.

        >>> PullInterval.of([3.0, 1.0, 2.0])
        PullInterval(number=3, median=2.0, low=1.0, high=3.0, confidence=0.75)
        >>> PullInterval.of([])
        """
        values = sorted(durations)
        count = len(values)
        if not values:
            return None
        skipped = 0
        while 2 * (skipped + 1) < count and _coverage(count, skipped + 1) >= CONFIDENCE:
            skipped += 1
        confidence = max(_coverage(count, skipped), 0.0)
        return cls(count, median(values), values[skipped], values[-1 - skipped], confidence)

    def as_json(self) -> dict[str, float]:
        """Return the form of ``trial.json``."""
        return {
            "n": self.number,
            "median_seconds": self.median,
            "low_seconds": self.low,
            "high_seconds": self.high,
            "confidence": round(self.confidence, 4),
        }


def _coverage(count: int, skipped: int) -> float:
    """Return the probability of the interval that leaves out some durations at each end."""
    outside = sum(comb(count, number) for number in range(skipped + 1))
    return 1 - 2 * outside / 2.0**count
