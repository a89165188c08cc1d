"""The rate limit of a registry, from the headers of its answers."""

import re
from dataclasses import dataclass
from typing import Self

# "100;w=21600" is Docker Hub's form: 100 pulls in a window of 21600 seconds.
# https://docs.docker.com/docker-hub/usage/pulls/#view-pull-rate-and-limit
_COUNT = re.compile(r"\s*(\d{1,12})\s*(?:[;,].*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limit of a registry in a time window, and the remainder."""

    limit: int
    remaining: int

    @classmethod
    def from_headers(cls, limit: str | None, remaining: str | None) -> Self | None:
        """
        Read ``ratelimit-limit`` and ``ratelimit-remaining``; ``None`` if one is missing.

        >>> Allowance.from_headers("100;w=21600", "76;w=21600")
        Allowance(limit=100, remaining=76)
        """
        counts = [_COUNT.fullmatch(text or "") for text in (limit, remaining)]
        figures = [int(count[1]) for count in counts if count is not None]
        return cls(*figures) if len(figures) == len(counts) else None

    def permits(self, share: float) -> bool:
        """
        Whether one more request is allowed to a caller that may use a share of the limit.

        The headers do not show who used the limit, so the remainder decides: the other share of the
        limit is kept for others.

        >>> Allowance(100, 51).permits(0.5), Allowance(100, 50).permits(0.5)
        (True, False)
        """
        return self.remaining > self.limit * (1 - share)
