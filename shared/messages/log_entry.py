"""Entries of the logs in which GKE reports events of its nodes."""

from dataclasses import dataclass
from typing import Any

import msgspec

from shared.errors import InvalidEventError


@dataclass(frozen=True, slots=True)
class LogRecord:
    """The fields of a LogEntry that surround its event."""

    log: str | None = None
    insert_id: str | None = None
    timestamp: str | None = None
    """The time for events that do not have one."""
    node: str | None = None
    """The node for events that do not name one."""


class LoggedResource(msgspec.Struct, rename="camel"):
    """The monitored resource."""

    labels: dict[str, str] = {}


class LogEntry(msgspec.Struct, rename="camel"):
    """The fields of a LogEntry that are read."""

    log_name: str
    resource: LoggedResource = msgspec.field(default_factory=LoggedResource)
    insert_id: str | None = None
    timestamp: str | None = None
    json_payload: dict[str, Any] | None = None
    text_payload: str | None = None

    @property
    def cluster(self) -> str:
        """
        The cluster's full name.

        Raises:
            InvalidEventError: The labels of the entry's resource do not name a cluster.
        """
        from shared.domain.cluster import ClusterName

        labels = self.resource.labels
        try:
            name = ClusterName(labels["project_id"], labels["location"], labels["cluster_name"])
            return str(ClusterName.parse(str(name)))
        except KeyError as exc:
            raise InvalidEventError(f"the entry names no cluster: no label {exc}") from exc
        except ValueError as exc:
            raise InvalidEventError(f"the entry's cluster is {exc}") from exc

    @property
    def record(self) -> LogRecord:
        """The fields that surround the event."""
        node = self.resource.labels.get("node_name")
        return LogRecord(self.log_name, self.insert_id, self.timestamp, node)
