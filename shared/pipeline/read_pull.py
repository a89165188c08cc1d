"""
Read what a cluster knows about the pull of a workload.

Many pods can start at once, so deliveries share reads for some seconds. No verdict uses data that
are older than its pull. A list of events that contains the event of a pull was read after the
pull, and so was everything that was read after this list.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from shared.domain.cluster_event import ImagePulled, NodeEvent
from shared.domain.fact import NodeDetails
from shared.domain.pull_history import PullHistory, find_history
from shared.pipeline.read_warmup import (
    NODE_EVENTS_NAMESPACE,
    NodeView,
    parse_events,
    read_node,
    view_node,
)
from shared.pipeline.ttl_cache import Reading, SharedReads

if TYPE_CHECKING:
    from shared.pipeline.ports import ClusterApi

KEPT_S: Final = 5.0
"""Seconds for which a read is shared; what happens after it is not part of a verdict."""

MAX_EVENTS: Final = 20_000
"""The events that are kept of a list; of a longer one, each delivery reads its own part."""

_PULLS = "involvedObject.kind=Pod,reason=Pulled"
_STATEMENTS = "involvedObject.kind=Node,reason=ImageStreaming"

_Event = TypeVar("_Event")


class PullReader:
    """Reads the history and the node of pulls."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pulls = SharedReads[tuple[ImagePulled, ...] | None](KEPT_S, now)
        self._nodes = SharedReads[dict[str, Any] | None](KEPT_S, now)
        self._statements = SharedReads[tuple[NodeEvent, ...] | None](KEPT_S, now)

    def read(
        self, cluster: "ClusterApi", event: ImagePulled
    ) -> tuple[PullHistory, NodeView | None]:
        """
        Return the history of a pull, and the view of its node.

        The view is ``None`` if the history shows that the pod only restarted.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if event.origin.node is None:
            return PullHistory(), NodeView(NodeDetails(), None, ())
        history, since = self._read_history(cluster, event)
        if history.is_restart:
            return history, None
        return history, self._read_node(cluster, event, event.origin.node, since)

    def _read_history(self, cluster: "ClusterApi", event: ImagePulled) -> tuple[PullHistory, float]:
        """Return the history of a pull, and a time after the pull."""
        arrived = self._now()

        def is_current(reading: Reading[tuple[ImagePulled, ...] | None]) -> bool:
            if reading.value is None or reading.began >= arrived:
                return True
            return any(_is_record_of(event, each) for each in reading.value)

        reading = self._pulls.get(cluster.name, lambda: _list_pulls(cluster), is_current)
        if reading.value is None:
            return find_history(event, _read_pulls(cluster)), arrived
        return find_history(event, reading.value), min(arrived, reading.ended)

    def _read_node(
        self, cluster: "ClusterApi", event: ImagePulled, name: str, since: float
    ) -> NodeView:
        def is_current(reading: Reading[Any]) -> bool:
            return reading.began >= since

        at = event.origin.timestamp
        statements = self._statements.get(
            cluster.name, lambda: _list_statements(cluster), is_current
        ).value
        if statements is None:
            return read_node(cluster, name, event.pulled, at)
        body = self._nodes.get(
            (cluster.name, name), lambda: cluster.fetch_node(name), is_current
        ).value
        return view_node(name, body, statements, event.pulled, at)


def _is_record_of(event: ImagePulled, other: ImagePulled) -> bool:
    """Whether another report of an event is at least as new."""
    mine, theirs = event.origin, other.origin
    return (
        mine.event_uid is not None
        and mine.event_uid == theirs.event_uid
        and theirs.timestamp >= mine.timestamp
    )


def _read_pulls(cluster: "ClusterApi") -> Iterable[ImagePulled]:
    """Return the pulls that the cluster still knows."""
    reports = parse_events(cluster, cluster.list_pod_events(_PULLS))
    return (each for each in reports if isinstance(each, ImagePulled))


def _list_pulls(cluster: "ClusterApi") -> tuple[ImagePulled, ...] | None:
    # A history needs no texts.
    return _collect(
        replace(each, origin=replace(each.origin, message="")) for each in _read_pulls(cluster)
    )


def _list_statements(cluster: "ClusterApi") -> tuple[NodeEvent, ...] | None:
    return _collect(parse_events(cluster, cluster.list_events(_STATEMENTS, NODE_EVENTS_NAMESPACE)))


def _collect(events: Iterable[_Event]) -> tuple[_Event, ...] | None:
    """Return events; ``None`` if they are too many to keep."""
    kept = tuple(islice(events, MAX_EVENTS + 1))
    return kept if len(kept) <= MAX_EVENTS else None
