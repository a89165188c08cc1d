"""How much more a registry gives, as it says itself in the headers of its answers."""

import re
from dataclasses import dataclass
from typing import Self

# "100;w=21600" is Docker Hub's form: so many pulls in a window of so many seconds.
# https://docs.docker.com/docker-hub/usage/pulls/#view-pull-rate-and-limit
_COUNT = re.compile(r"\s*(\d{1,12})\s*(?:[;,].*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a registry gives within a window of time, and what is left of it."""

    limit: int
    remaining: int

    @classmethod
    def from_headers(cls, limit: str | None, remaining: str | None) -> Self | None:
        """
        Read ``ratelimit-limit`` and ``ratelimit-remaining``; None if they do not say both.

        >>> Allowance.from_headers("100;w=21600", "76;w=21600")
        Allowance(limit=100, remaining=76)
        """
        counts = [_COUNT.fullmatch(text or "") for text in (limit, remaining)]
        figures = [int(count[1]) for count in counts if count is not None]
        return cls(*figures) if len(figures) == len(counts) else None

    def permits(self, share: float) -> bool:
        """
        Whether one more may be spent by whoever may spend no more than a share of the whole.

        Who spent the rest does not show, so it is what is left that counts: the other share of it
        stays for others.

        >>> Allowance(100, 51).permits(0.5), Allowance(100, 50).permits(0.5)
        (True, False)
        """
        return self.remaining > self.limit * (1 - share)
