"""Entries of the logs in which GKE reports what its nodes do, as far as they matter."""

from dataclasses import dataclass
from typing import Any

import msgspec

from shared.errors import InvalidEventError


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What a LogEntry says beside its event."""

    log: str | None = None
    insert_id: str | None = None
    timestamp: str | None = None
    """For events that carry no time of their own."""
    node: str | None = None
    """For events that do not name the node on which they were written."""


class LoggedResource(msgspec.Struct, rename="camel"):
    """What was logged about."""

    labels: dict[str, str] = {}


class LogEntry(msgspec.Struct, rename="camel"):
    """The parts of a LogEntry that matter here."""

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
            InvalidEventError: The labels of the entry's resource do not name one.
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
        """What it says beside its event."""
        node = self.resource.labels.get("node_name")
        return LogRecord(self.log_name, self.insert_id, self.timestamp, node)
