"""
The message of ``prestream-schedule``: Cloud Scheduler's own, or one that a sweep sent on.

https://docs.cloud.google.com/scheduler/docs/tut-gcf-pub-sub
"""

import msgspec

from shared.domain.cluster import ClusterName
from shared.domain.tick_value import Tick
from shared.errors import InvalidEventError
from shared.messages.json_body import decode
from shared.messages.pubsub_message import PubsubMessage


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
