"""
The message of ``prestream-schedule``, from Cloud Scheduler or from a sweep of all clusters.

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
    """A request to sweep one cluster, or all of them."""

    cluster: str | None = None
    """``projects/P/locations/L/clusters/C``; ``None`` for a tick for each watched cluster."""

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
    Read a tick from a message; Cloud Scheduler's message may be empty or any text.

    Raises:
        InvalidEventError: The cluster is not a full resource name.
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
