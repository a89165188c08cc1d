"""
Reports of nodes, the scheduler and the Job controller: Kubernetes events and snapshotter lines.

GKE's event exporter writes each event, and each update of one, as an entry of the log
``events``. The lines of a node's snapshotter go to the log ``gcfs-snapshotter``. The same parser
reads the events that the Kubernetes API lists.
https://github.com/GoogleCloudPlatform/k8s-stackdriver/tree/master/event-exporter
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shared.domain.disposition import Irrelevant
from shared.errors import InvalidEventError
from shared.messages.json_body import decode
from shared.messages.kubernetes_event import KubernetesEvent
from shared.messages.log_entry import LogEntry, LogRecord

if TYPE_CHECKING:
    from shared.domain.cluster_event import NodeEvent

EVENTS_LOG: Final = "events"
SNAPSHOTTER_LOG: Final = "gcfs-snapshotter"

_RELEVANT_REASONS: Final[Mapping[str, frozenset[str]]] = {
    "Pod": frozenset({"Pulled", "Pulling", "Failed", "BackOff", "Evicted", "FailedScheduling"}),
    "Job": frozenset(
        {
            "Completed",
            "Failed",
            "BackoffLimitExceeded",
            "DeadlineExceeded",
            "FailedCreate",
            "PodFailurePolicy",
        }
    ),
    "Node": frozenset({"ImageStreaming"}),
}
"""The kinds of objects whose events are read, and the reasons of those events."""

# The exporter writes this line when it starts: events were lost.
_EXPORTER = re.compile(r"Event exporter started watching\. Some events may have been lost[ \w]*\.")


def parse_log_entry(data: bytes) -> "NodeEvent":
    """
    Parse a LogEntry of one of the two logs.

    Raises:
        InvalidEventError: The data is not a LogEntry, or its event is missing.
    """
    entry = decode(data, LogEntry, "not a log entry")
    log = entry.log_name.rpartition("/")[2]
    if log not in {EVENTS_LOG, SNAPSHOTTER_LOG}:
        return Irrelevant(f"the entry is of another log: {log}")
    if entry.json_payload is None and entry.text_payload is None:
        raise InvalidEventError(f"the entry of the log {log} has no payload")
    if log == SNAPSHOTTER_LOG:
        from shared.messages.node_event_body import read_line

        return read_line(entry)
    if entry.json_payload is None:
        return Irrelevant(_read_text(entry.text_payload or ""))
    event = _convert(entry.json_payload)
    if (irrelevant := _find_irrelevance(event)) is not None:
        return irrelevant
    from shared.messages.node_event_body import read_event

    return read_event(event, entry.cluster, entry.record)


def parse_event(event: Mapping[str, Any], *, cluster: str) -> "NodeEvent":
    """
    Parse a core/v1 Event that the Kubernetes API lists.

    Args:
        event: The object.
        cluster: ``projects/P/locations/L/clusters/C``.

    Raises:
        InvalidEventError: The object is not an Event.
    """
    wire = _convert(event)
    if (irrelevant := _find_irrelevance(wire)) is not None:
        return irrelevant
    from shared.messages.node_event_body import read_event

    return read_event(wire, cluster, LogRecord())


def _read_text(text: str) -> str:
    """Describe an entry without an event; only the exporter's own words are repeated."""
    said = _EXPORTER.match(text)
    return f"the entry is a text: {said[0]}" if said else "the entry is a text"


def _convert(event: Mapping[str, Any]) -> KubernetesEvent:
    try:
        return msgspec.convert(event, KubernetesEvent)
    except msgspec.ValidationError as exc:
        raise InvalidEventError(f"not a Kubernetes event: {exc}") from exc


def _find_irrelevance(event: KubernetesEvent) -> Irrelevant | None:
    """Return why an event is irrelevant under any text; ``None`` if it may be relevant."""
    about = event.involved_object
    is_others = about.kind == "Job" and not (about.api_version or "batch/v1").startswith("batch/")
    if is_others or event.reason not in _RELEVANT_REASONS.get(about.kind, ()):
        return Irrelevant(f"an event of a {about.kind} that says nothing of pulls: {event.reason}")
    return None
