"""The log of a node's snapshotter in Cloud Logging, the second witness beside the events."""

import json
from datetime import datetime, timedelta

from cli.connect.fact_reader import FactReader
from shared.domain.cluster import ClusterName
from shared.domain.cluster_event import ImageStreamed, LayerDownloadFailed, NodeEvent
from shared.errors import EventError, InvalidEventError
from shared.messages.node_event import SNAPSHOTTER_LOG, parse_log_entry

_BEFORE = timedelta(minutes=1)
"""The clocks of a node and of the API server differ."""


class SnapshotterLog:
    """Reads the statements of snapshotters; a trial continues with the events if it cannot."""

    def __init__(self, reader: FactReader, cluster: ClusterName) -> None:
        self._reader = reader
        self._cluster = cluster
        self.problem: str | None = None
        """Why the log could not be read."""

    def read(self, node: str, since: datetime) -> tuple[NodeEvent, ...]:
        """Return the statements of a node since a time."""
        where = (
            f'resource.labels.cluster_name="{self._cluster.name}"'
            f' AND resource.labels.node_name="{node}"'
        )
        try:
            entries = list(self._reader.read(since - _BEFORE, where, SNAPSHOTTER_LOG))
        except EventError as exc:
            self.problem = str(exc)
            return ()
        found = []
        for entry in entries:
            try:
                report = parse_log_entry(json.dumps(entry).encode())
            except InvalidEventError:
                continue
            if isinstance(report, ImageStreamed | LayerDownloadFailed):
                found.append(report)
        return tuple(found)
