"""Faults that tests switch on in any service, and the calls that each of them hits."""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from sandbox.clock import Clock


@dataclass(frozen=True, slots=True)
class Occasion:
    """A call that a fault could hit."""

    call: str
    number: int
    """The number of the call among all that the fault could hit, from 1."""
    repeat: int
    """The number of the call among those with the same text, from 1."""


Pattern = Callable[[Occasion], bool]


def at_rate(share: float, seed: int) -> Pattern:
    """
    Hit a share of the calls.

    The seed, the text of the call and its number of repeats decide; other calls do not matter.

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


Damage = Literal["cut", "truncated", "mistyped", "emptied"]
"""
Damage to the answer of a service.

``cut``: the connection ends in the middle of the body. ``truncated``: half of the body, as if
it were all. ``mistyped``: all of it, by another media type. ``emptied``: no body.
"""


@dataclass(slots=True)
class Fault:
    """
    A failure of some calls of a service.

    ``service`` is one of ``pubsub``, ``artifact-registry``, ``registry``, ``logging``,
    ``container``, ``kubernetes``; ``call`` a regular expression searched in
    ``"METHOD /path?query"`` (for gRPC, ``"Publish projects/…"``).
    """

    service: str
    call: str = ""
    status: int = 503
    """HTTP status of the answer; 0 closes the connection without one."""
    body: Mapping[str, Any] | None = None
    """Body of the answer; None for the service's own error body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    stall_s: float = 0.0
    """Real seconds to wait before answering."""
    applied: bool = False
    """Whether the call takes effect although its answer is the fault: a lost answer."""
    times: int | None = None
    """How many calls are hit before the fault ends; None for all."""
    content: bytes | None = None
    """A body that is not JSON, such as the page of a proxy."""
    damage: Damage | None = None
    """The call takes effect, and its own answer is damaged; a gRPC client gets none."""
    when: Pattern | None = None
    """Which of the calls are hit; None for each."""
    hits: int = 0
    """How many calls were hit so far."""

    @property
    def takes_effect(self) -> bool:
        """Whether a call that it hits takes effect."""
        return self.applied or self.damage is not None


@dataclass(slots=True)
class _ActiveFault:
    """A fault that is switched on, and its counts of calls."""

    fault: Fault
    calls: int = 0
    repeats: Counter[str] = field(default_factory=Counter)

    def hits(self, call: str) -> bool:
        """Whether the fault hits a call of its service, which it counts."""
        fault = self.fault
        if not re.search(fault.call, call):
            return False
        if fault.when is None:
            return True
        self.calls += 1
        self.repeats[call] += 1
        return fault.when(Occasion(call, self.calls, self.repeats[call]))


class Faults:
    """The faults that are switched on; every service checks each call."""

    def __init__(self) -> None:
        self._active: list[_ActiveFault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on, and return it so that it can be removed."""
        with self._lock:
            self._active.append(_ActiveFault(fault))
        return fault

    def remove(self, fault: Fault) -> None:
        """Switch a fault off."""
        with self._lock:
            self._active = [each for each in self._active if each.fault is not fault]

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._active.clear()

    def hit(self, service: str, call: str) -> Fault | None:
        """Return the fault that hits a call, counting it; of several the one added first."""
        with self._lock:
            for active in self._active:
                fault = active.fault
                if fault.service == service and active.hits(call):
                    fault.hits += 1
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._active.remove(active)
                    return fault
        return None
