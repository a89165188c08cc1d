"""Reports that nothing follows from, which are most of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Irrelevant:
    """A report that says nothing about a pull, a warmup or streaming."""

    reason: str
