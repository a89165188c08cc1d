"""
What nodes, the scheduler and the Job controller report: Kubernetes events and snapshotter lines.

GKE's event exporter writes each event, and each update of one, as an entry of the log
``events``; the lines of a node's snapshotter go to the log ``gcfs-snapshotter``. The same events,
as the Kubernetes API lists them, are read by the same parser.
https://github.com/GoogleCloudPlatform/k8s-stackdriver/tree/master/event-exporter
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shared.domain.clusters import ClusterName
from shared.domain.pulls import classify_pull_failure, parse_failed_image, parse_pulled
from shared.domain.reports import (
    ContainerFailed,
    FailedStep,
    ImagePullDelayed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    ImageStreamed,
    Irrelevant,
    JobReason,
    JobReported,
    LayerDownloadFailed,
    NodeEvent,
    Origin,
    PodUnschedulable,
)
from shared.domain.statements import parse_layer_failure, parse_statement, strip_combined
from shared.domain.times import parse_time
from shared.errors import InvalidEventError
from shared.events.decoding import decode

EVENTS_LOG: Final = "events"
SNAPSHOTTER_LOG: Final = "gcfs-snapshotter"

MAX_TEXT: Final = 8_192
"""
Characters of a text that are read. Kubernetes allows an event 1 024 of them; what has no end would
keep patterns busy for minutes, and no log would take the fact.
"""

_JOB_REASONS: Final[Mapping[str, JobReason]] = {
    "Completed": "Completed",
    "Failed": "Failed",
    "BackoffLimitExceeded": "BackoffLimitExceeded",
    "DeadlineExceeded": "DeadlineExceeded",
    "FailedCreate": "FailedCreate",
    "PodFailurePolicy": "PodFailurePolicy",
}
_PULLING = re.compile(r'Pulling image "(?P<image>[^"]+)"')
_BACK_OFF = re.compile(r'Back-off pulling image "(?P<image>[^"]+)"')
_LOG_FIELD = re.compile(r'(?:^|\s)msg="(?P<text>(?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")

# What the exporter writes when it starts: it says that events were lost.
_EXPORTER = re.compile(r"Event exporter started watching\. Some events may have been lost[ \w]*\.")

# What the kubelet's image manager answers; the pull itself has an event of its own.
_PULL_ERROR = re.compile(
    r"Error: (?:ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName"
    r"|ImageInspectError|RegistryUnavailable|SignatureValidationFailed)\b"
)
# What the runtime answers, which is asked only once the image is there.
_START_ERROR = re.compile(
    r"Error: .*(?:containerd task|shim task|OCI runtime|runc create|failed to create container"
    r"|failed to generate (?:container|spec)|failed to start container"
    r"|failed to reserve container name|no command specified)",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What a LogEntry says beside its event."""

    log: str | None = None
    insert_id: str | None = None
    timestamp: str | None = None
    """For events that carry no time of their own."""
    node: str | None = None
    """For events that do not name the node on which they were written."""


def parse_log_entry(data: bytes) -> NodeEvent:
    """
    Read what a LogEntry of one of the two logs reports.

    Raises:
        InvalidEventError: It is no LogEntry, or holds no event where it must.
    """
    entry = decode(data, _Entry, "not a log entry")
    log = entry.log_name.rpartition("/")[2]
    if log not in {EVENTS_LOG, SNAPSHOTTER_LOG}:
        return Irrelevant(f"the entry is of another log: {log}")
    if entry.json_payload is None and entry.text_payload is None:
        raise InvalidEventError(f"the entry of the log {log} has no payload")
    if log == SNAPSHOTTER_LOG:
        return _parse_line(entry)
    if entry.json_payload is None:
        return Irrelevant(_read_text(entry.text_payload or ""))
    return parse_event(entry.json_payload, cluster=entry.cluster, record=entry.record)


def parse_event(
    event: Mapping[str, Any], *, cluster: str, record: LogRecord | None = None
) -> NodeEvent:
    """
    Read what a core/v1 Event reports.

    Args:
        event: The object, as the Kubernetes API lists it or as a LogEntry holds it.
        cluster: ``projects/P/locations/L/clusters/C``.
        record: What the LogEntry says beside it, if it came in one.

    Raises:
        InvalidEventError: It is no Event.
    """
    record = record or LogRecord()
    try:
        wire = msgspec.convert(event, _Event)
        timestamp = parse_time(
            wire.time or record.timestamp or wire.metadata.creation_timestamp or ""
        )
    except (msgspec.ValidationError, ValueError) as exc:
        raise InvalidEventError(f"not a Kubernetes event: {exc}") from exc
    about = wire.involved_object
    origin = Origin(
        cluster=cluster,
        kind=about.kind,
        name=about.name,
        namespace=about.namespace or None,
        uid=about.uid or None,
        field_path=about.field_path or None,
        node=wire.node or (about.name if about.kind == "Node" else record.node),
        event_name=wire.metadata.name or None,
        event_uid=wire.metadata.uid or None,
        timestamp=timestamp,
        message=strip_combined(_cut(wire.message or "")),
        log=record.log,
        insert_id=record.insert_id,
    )
    return _read(wire, origin)


def _read(wire: "_Event", origin: Origin) -> NodeEvent:
    match origin.kind:
        case "Pod":
            return _read_pod(wire, origin)
        case "Job" if (wire.involved_object.api_version or "batch/v1").startswith("batch/"):
            reason = _JOB_REASONS.get(wire.reason)
            return JobReported(origin, reason) if reason else _other_reason(wire)
        case "Node" if wire.reason == "ImageStreaming":
            return _read_streaming(wire.component, origin)
        case _:
            return _other_reason(wire)


def _read_pod(wire: "_Event", origin: Origin) -> NodeEvent:
    if wire.reason == "FailedScheduling":
        return PodUnschedulable(origin)
    read = _KUBELET_REASONS.get(wire.reason)
    if read is None:
        return _other_reason(wire)
    if wire.component != "kubelet":
        return Irrelevant(f"an event {wire.reason} that is not the kubelet's: {wire.component!r}")
    return read(origin)


def _read_pulled(origin: Origin) -> NodeEvent:
    pulled = parse_pulled(origin.message)
    return ImagePulled(origin, pulled) if pulled else _unknown_text(origin)


def _read_pulling(origin: Origin) -> NodeEvent:
    match = _PULLING.match(origin.message)
    return ImagePulling(origin, match["image"]) if match else _unknown_text(origin)


def _read_failed(origin: Origin) -> NodeEvent:
    image = parse_failed_image(origin.message)
    if image is not None:
        return ImagePullFailed(origin, image, classify_pull_failure(origin.message))
    step: FailedStep = "other"
    if _PULL_ERROR.match(origin.message):
        step = "pull"
    elif _START_ERROR.match(origin.message):
        step = "start"
    return ContainerFailed(origin, step)


def _read_back_off(origin: Origin) -> NodeEvent:
    match = _BACK_OFF.match(origin.message)
    if match is None:
        return Irrelevant("the kubelet waits before it starts a container again")
    return ImagePullDelayed(origin, match["image"])


_KUBELET_REASONS: Final[Mapping[str, Callable[[Origin], NodeEvent]]] = {
    "Pulled": _read_pulled,
    "Pulling": _read_pulling,
    "Failed": _read_failed,
    "BackOff": _read_back_off,
}


def _read_streaming(component: str, origin: Origin) -> NodeEvent:
    """Read an event whose reason two components share, for success and for failure."""
    text, log, insert_id = origin.message, origin.log, origin.insert_id
    if component == "gcfs-snapshotter":
        statement = parse_statement(text, log=log, insert_id=insert_id)
        return ImageStreamed(origin, statement) if statement else _unknown_text(origin)
    if component == "gcfsd":
        failure = parse_layer_failure(text, log=log, insert_id=insert_id)
        return LayerDownloadFailed(origin, failure) if failure else _unknown_text(origin)
    return Irrelevant(f"an event ImageStreaming of another component: {component!r}")


def _parse_line(entry: "_Entry") -> NodeEvent:
    """Read a line of the snapshotter: bare, or in the frame that its logger puts around it."""
    # Which field it is depends on the logging agent of the node.
    payload = entry.json_payload or {}
    line = payload.get("MESSAGE") or payload.get("message") or entry.text_payload
    node = entry.resource.labels.get("node_name")
    if not isinstance(line, str) or not node:
        return Irrelevant("a line of the snapshotter without a text or a node")
    line = _cut(line)
    framed = _LOG_FIELD.search(line)
    text = _ESCAPED.sub(r"\1", framed["text"]) if framed else line
    statement = parse_statement(text, log=entry.log_name, insert_id=entry.insert_id)
    if statement is None:
        return Irrelevant("a line of the snapshotter that says nothing of streaming")
    try:
        timestamp = parse_time(entry.timestamp or "")
    except ValueError as exc:
        raise InvalidEventError(f"invalid timestamp of a log entry: {exc}") from exc
    origin = Origin(
        cluster=entry.cluster,
        kind="Node",
        name=node,
        node=node,
        timestamp=timestamp,
        message=statement.text,
        log=entry.log_name,
        insert_id=entry.insert_id,
    )
    return ImageStreamed(origin, statement)


def _read_text(text: str) -> str:
    """Say what an entry without an event is; only the exporter's own words are repeated."""
    said = _EXPORTER.match(text)
    return f"the entry is a text: {said[0]}" if said else "the entry is a text"


def _other_reason(wire: "_Event") -> Irrelevant:
    kind = wire.involved_object.kind
    return Irrelevant(f"an event of a {kind} that says nothing of pulls: {wire.reason}")


def _unknown_text(origin: Origin) -> Irrelevant:
    """Say what it was about, but not the text: a tenant may have written anything into it."""
    return Irrelevant(f"a text of a {origin.kind} that says nothing of pulls")


def _cut(text: str) -> str:
    return text[:MAX_TEXT]


class _Resource(msgspec.Struct, rename="camel"):
    labels: dict[str, str] = {}


class _Entry(msgspec.Struct, rename="camel"):
    """The parts of a LogEntry that matter here."""

    log_name: str
    resource: _Resource = msgspec.field(default_factory=_Resource)
    insert_id: str | None = None
    timestamp: str | None = None
    json_payload: dict[str, Any] | None = None
    text_payload: str | None = None

    @property
    def cluster(self) -> str:
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
        node = self.resource.labels.get("node_name")
        return LogRecord(self.log_name, self.insert_id, self.timestamp, node)


class _Metadata(msgspec.Struct, rename="camel"):
    name: str | None = None
    uid: str | None = None
    creation_timestamp: str | None = None


class _ObjectReference(msgspec.Struct, rename="camel"):
    kind: str
    name: str
    api_version: str | None = None
    namespace: str | None = None
    uid: str | None = None
    field_path: str | None = None


class _Source(msgspec.Struct, rename="camel"):
    component: str | None = None
    host: str | None = None


class _Series(msgspec.Struct, rename="camel"):
    last_observed_time: str | None = None


class _Event(msgspec.Struct, rename="camel"):
    """The parts of a core/v1 Event that matter here."""

    involved_object: _ObjectReference
    reason: str
    message: str | None = None
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    source: _Source | None = None
    series: _Series | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    reporting_component: str | None = None
    reporting_instance: str | None = None

    @property
    def component(self) -> str:
        """Who wrote it: newer clients fill ``reportingComponent``, older ones ``source``."""
        source = self.source.component if self.source else None
        return source or self.reporting_component or ""

    @property
    def node(self) -> str | None:
        """The node whose kubelet wrote it."""
        host = self.source.host if self.source else None
        if not host and self.component == "kubelet":
            host = self.reporting_instance
        return host or None

    @property
    def time(self) -> str | None:
        """When it last happened, as far as the event itself says so."""
        observed = self.series.last_observed_time if self.series else None
        return self.last_timestamp or observed or self.event_time
