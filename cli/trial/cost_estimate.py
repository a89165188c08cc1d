"""An upper bound of the cost of a trial."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

STORAGE_USD: Final = 0.10
"""
Artifact Registry's list price of a gigabyte for a month, read in November 2026.

https://cloud.google.com/artifact-registry/pricing
"""

AUTOPILOT_POD_HOUR_USD: Final = 0.02
"""More than Autopilot's list price of an hour of its smallest pod, in November 2026."""

_HOURS_A_MONTH: Final = 730.0
_GIGABYTE: Final = 1e9


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """The most that a trial costs, in USD; None if the size of the image is unknown."""

    storage: float | None
    pods: float
    is_kept: bool

    @property
    def sentence(self) -> str:
        """The estimate in a sentence."""
        if self.storage is None:
            basis = f"USD {STORAGE_USD:.2f} per GB and month in Artifact Registry"
            return f"{basis}; the size of the image is not known yet. {self._nodes}"
        total = self.storage + self.pods
        kept = "a month in" if self.is_kept else "storage in"
        amount = "less than USD 0.01" if total < 0.01 else f"at most USD {total:.2f}"  # noqa: PLR2004
        return f"{amount} for {kept} Artifact Registry. {self._nodes}"

    @property
    def _nodes(self) -> str:
        if self.pods:
            return "It includes the pods on Autopilot."
        return "The nodes exist already; the trial adds none."


def estimate_cost(
    image_bytes: int | None,
    *,
    timeout: timedelta,
    pulls: int,
    is_kept: bool,
    is_autopilot: bool,
) -> CostEstimate:
    """
    Return the most that a trial costs at list prices.

    Bytes that enter Google Cloud, and bytes within a region, are free.

    Args:
        image_bytes: The compressed size; None if unknown.
        timeout: The longest time of the trial.
        pulls: The number of pulls.
        is_kept: Whether the mirror remains; then a month is counted.
        is_autopilot: Whether pods are billed instead of nodes.
    """
    hours = timeout.total_seconds() / 3600
    months = 1.0 if is_kept else hours / _HOURS_A_MONTH
    storage = None if image_bytes is None else image_bytes / _GIGABYTE * STORAGE_USD * months
    pods = AUTOPILOT_POD_HOUR_USD * hours * pulls if is_autopilot else 0.0
    return CostEstimate(storage, pods, is_kept)
