"""
Which calls a fault hits: by rate, by count, or while a time lasts.

No pattern asks chance or the world's clock, so that the same calls meet the same faults.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sandbox.clock import Clock


@dataclass(frozen=True, slots=True)
class Occasion:
    """A call that a fault could hit."""

    call: str
    number: int
    """Which of all calls that the fault was asked about it is, the first being 1."""
    repeat: int
    """Which of the calls with the same text."""


Pattern = Callable[[Occasion], bool]


def at_rate(share: float, seed: int) -> Pattern:
    """
    Hit a share of the calls.

    It follows from the seed, the text of the call and how often that came before, and not from
    what else is called meanwhile.

    >>> pattern = at_rate(0.25, seed=3)
    >>> sum(pattern(Occasion("GET /", n, n)) for n in range(1, 1001))
    258
    """

    def hits(occasion: Occasion) -> bool:
        text = f"{seed} {occasion.repeat} {occasion.call}"
        drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        return drawn < share * 2**64

    return hits


def every(count: int) -> Pattern:
    """
    Hit each ``count``-th call.

    >>> [n for n in range(1, 8) if every(3)(Occasion("GET /", n, 1))]
    [3, 6]
    """
    return lambda occasion: occasion.number % count == 0


def first(count: int) -> Pattern:
    """
    Hit the first calls of each text, so that each is answered after so many tries.

    >>> [n for n in range(1, 5) if first(2)(Occasion("GET /", 9, n))]
    [1, 2]
    """
    return lambda occasion: occasion.repeat <= count


def within(clock: Clock, begin: timedelta, end: timedelta) -> Pattern:
    """Hit each call in a window of the sandbox's time, counted from now."""
    now = clock.now()
    return lambda _: now + begin <= clock.now() < now + end
