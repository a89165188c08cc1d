"""A tick of the schedule: sweep everything, or one cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tick:
    """What a message of ``prestream-schedule`` asks for."""

    cluster: str | None = None
    """``projects/P/locations/L/clusters/C``; None for one tick more for each watched cluster."""

    def as_json(self) -> dict[str, Any]:
        """Return the message's JSON object."""
        return {} if self.cluster is None else {"cluster": self.cluster}

    @property
    def attributes(self) -> Mapping[str, str]:
        """The message's attributes."""
        return {}
