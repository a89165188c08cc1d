"""
The price of an hour of waiting and of warming: a table that a user can override.

The defaults are Google's list prices on demand in us-central1, rounded, as of 2025. The price of an
accelerator includes its share of the whole machine, because the machine waits with it. They are
approximate: reservations, Spot and commitments cost less, other regions more, and prices change.

https://cloud.google.com/compute/all-pricing, https://cloud.google.com/tpu/pricing
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SECONDS_AN_HOUR: Final = 3600.0

LIST_PRICES_FROM: Final = "2025"

_ACCELERATOR_HOURS: Final = {
    "nvidia-tesla-p4": 0.79,  # with an n1-standard-4, as the next three
    "nvidia-tesla-t4": 0.54,
    "nvidia-tesla-p100": 1.65,
    "nvidia-tesla-v100": 2.67,
    "nvidia-l4": 0.71,  # g2-standard-4
    "nvidia-tesla-a100": 3.67,  # a2-highgpu-1g
    "nvidia-a100-80gb": 5.07,  # a2-ultragpu-1g
    "nvidia-h100-80gb": 11.06,  # an eighth of an a3-highgpu-8g
    "tpu-v4-podslice": 3.22,
    "tpu-v5-lite-podslice": 1.20,
    "tpu-v5-lite-device": 1.20,
    "tpu-v5p-slice": 4.20,
    "tpu-v6e-slice": 2.70,
}
_WARMING_HOURS: Final = {
    "gpu-node": 0.0,  # the node exists anyway, and the Job requests almost no resources
    "any-node": 0.07,  # as if an e2-standard-2 ran for this alone
    "prewarm-api": 0.0,  # Google publishes no price
}
NEW_NODE: Final = "new-gpu-node"
"""The rung whose warmup pays for a new node, like a workload's pull."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices per hour, in one currency."""

    currency: str = "USD"
    accelerator_hour: Mapping[str, float] = field(default_factory=lambda: dict(_ACCELERATOR_HOURS))
    """The price by accelerator, as in the label of nodes."""
    warming_hour: Mapping[str, float] = field(default_factory=lambda: dict(_WARMING_HOURS))
    """Price by rung; a new node costs as much as its accelerators, unless it is listed."""
    accelerators_per_node: Mapping[str, int] = field(default_factory=dict)
    """By node pool or accelerator; facts do not contain it, so it is 1 unless it is listed."""
    source: str = f"list prices of us-central1 in {LIST_PRICES_FROM}, approximate"

    def accelerators_on(self, node_pool: str | None, accelerator: str | None) -> int:
        """
        Return the number of accelerators of a node: zero if the facts do not name one.

        >>> Prices().accelerators_on("l4", "nvidia-l4"), Prices().accelerators_on("cpu", None)
        (1, 0)
        """
        if accelerator is None:
            return 0
        known = self.accelerators_per_node
        return known.get(node_pool or "", known.get(accelerator, 1))

    def waiting_cost(self, accelerator: str | None, accelerator_seconds: float) -> float | None:
        """
        Return the cost of waiting accelerators; None if their price is unknown.

        >>> Prices(accelerator_hour={"a": 2.0}).waiting_cost("a", 1800.0)
        1.0
        """
        price = self.accelerator_hour.get(accelerator or "")
        return None if price is None else price * accelerator_seconds / SECONDS_AN_HOUR

    def warming_cost(
        self, strategy: str | None, seconds: float, node_pool: str | None, accelerator: str | None
    ) -> float | None:
        """Return the cost of a warmup; None if unknown, 0 without a warmup."""
        if strategy is None:
            return 0.0
        price = self.warming_hour.get(strategy)
        if price is not None:
            return price * seconds / SECONDS_AN_HOUR
        if strategy != NEW_NODE:
            return None
        count = self.accelerators_on(node_pool, accelerator)
        return self.waiting_cost(accelerator, count * seconds)
