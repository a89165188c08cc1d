"""
The message of ``prestream-schedule``: Cloud Scheduler's own, or one that a sweep sent on.

https://docs.cloud.google.com/scheduler/docs/tut-gcf-pub-sub
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from shared.domain.cluster import ClusterName
from shared.errors import InvalidEventError
from shared.messages.json_body import decode
from shared.messages.pubsub_message import PubsubMessage


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


class _Wire(msgspec.Struct):
    cluster: str | None = None


def parse_tick(message: PubsubMessage) -> Tick:
    """
    Read a tick out of a message; what Cloud Scheduler sends may be empty or any text.

    Raises:
        InvalidEventError: It names a cluster in another form than the full one.
    """
    if not message.data.lstrip().startswith(b"{"):
        return Tick()
    wire = decode(message.data, _Wire, "not a tick of the schedule")
    try:
        if wire.cluster is not None:
            ClusterName.parse(wire.cluster)
    except ValueError as exc:
        raise InvalidEventError(f"not a tick of the schedule: {exc}") from exc
    return Tick(wire.cluster)
