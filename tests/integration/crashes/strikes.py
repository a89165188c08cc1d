"""Strike a delivery at one of its calls, as the services receive them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.fault import Fault, Faults


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a service, as ``Faults`` knows it."""

    service: str
    text: str

    @property
    def is_write(self) -> bool:
        """Whether it may change the world: every call that is not known to only read."""
        question = self.text.endswith(":checkPrewarmedArtifact")
        return not (question or self.text.startswith("GET "))

    def __str__(self) -> str:
        return f"{self.service} {self.text.partition('?')[0]}"


Strike = Callable[[], Fault | None]
"""Called when the call arrives; returns the fault that hits it, if any."""


class Strikes(Faults):
    """
    Notes every call of a delivery, and strikes at the one of a number.

    Nothing else may call the services meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[Call] | None = None
        self._number = 0
        self._strike: Strike = lambda: None
        self._noting = threading.Lock()

    @contextmanager
    def noting(self, number: int = 0, strike: Strike = lambda: None) -> Iterator[list[Call]]:
        """Note the calls that come meanwhile; strike at the one of a number, counted from 1."""
        self._number, self._strike = number, strike
        calls: list[Call] = []
        self._calls = calls
        try:
            yield calls
        finally:
            self._calls = None

    def hit(self, service: str, call: str) -> Fault | None:
        """Return the fault that hits a call."""
        found = super().hit(service, call)
        with self._noting:
            if self._calls is None:
                return found
            self._calls.append(Call(service, call))
            is_struck = len(self._calls) == self._number
        return self._strike() if is_struck else found
