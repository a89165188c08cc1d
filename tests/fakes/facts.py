"""A log of facts in memory."""

from shared.domain.fact import Fact


class FakeFactLog:
    """Keeps what was written, in order; raises ``error`` instead while there is one."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.error: Exception | None = None

    def write(self, fact: Fact) -> None:
        if self.error is not None:
            raise self.error
        self.facts.append(fact)
