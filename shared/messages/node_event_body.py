"""
The bodies of relevant events and of snapshotter lines, parsed into values.

The texts are those of the kubelet, the Job controller and the snapshotter.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from shared.domain.cluster_event import (
    ContainerFailed,
    FailedStep,
    ImagePullDelayed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    ImageStreamed,
    JobReason,
    JobReported,
    LayerDownloadFailed,
    NodeEvent,
    Origin,
    PodEvicted,
    PodUnschedulable,
)
from shared.domain.disposition import Irrelevant
from shared.domain.kubelet_messages import parse_failed_image, parse_pulled
from shared.domain.snapshotter_messages import parse_layer_failure, parse_statement, strip_combined
from shared.domain.timestamp import parse_time
from shared.errors import InvalidEventError
from shared.messages.kubernetes_event import KubernetesEvent, is_object_name
from shared.messages.log_entry import LogEntry, LogRecord

MAX_TEXT: Final = 8_192
"""
The number of characters of a text that are read. Kubernetes allows 1 024 for an event. A longer
text could keep patterns busy for minutes, and the fact could exceed the limit of a log entry.
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

# Errors of the kubelet's image manager; the pull has its own event.
_PULL_ERROR = re.compile(
    r"Error: (?:ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName"
    r"|ImageInspectError|RegistryUnavailable|SignatureValidationFailed)\b"
)
# Errors of the runtime and refusals of the kubelet, both of which follow the pull.
_START_ERROR = re.compile(
    r"Error: .*(?:container has runAsNonRoot|containerd task|shim task|OCI runtime"
    r"|runc create|failed to create container|failed to generate (?:container|spec)"
    r"|failed to start container|failed to reserve container name|no command specified)",
    re.DOTALL | re.IGNORECASE,
)


def read_event(event: KubernetesEvent, cluster: str, record: LogRecord) -> NodeEvent:
    """
    Parse an event whose kind and reason are relevant.

    Raises:
        InvalidEventError: The event has no time.
    """
    try:
        timestamp = parse_time(
            event.time or record.timestamp or event.metadata.creation_timestamp or ""
        )
    except ValueError as exc:
        raise InvalidEventError(f"not a Kubernetes event: {exc}") from exc
    about = event.involved_object
    node = about.name if about.kind == "Node" else event.node or record.node
    if not event.is_consistent:
        return Irrelevant(f"an event of a {about.kind} that is kept in another namespace")
    # The names become parts of paths.
    names = (about.name, about.namespace or about.name, node or about.name)
    if not all(is_object_name(name) for name in names):
        return Irrelevant(f"an event of a {about.kind} with a name that no object can have")
    origin = Origin(
        cluster=cluster,
        kind=about.kind,
        name=about.name,
        namespace=about.namespace or None,
        uid=about.uid or None,
        field_path=about.field_path or None,
        node=node,
        event_name=event.metadata.name or None,
        event_uid=event.metadata.uid or None,
        timestamp=timestamp,
        first_timestamp=_read_first_time(event),
        message=strip_combined(_cut(event.message or "")),
        log=record.log,
        insert_id=record.insert_id,
    )
    if origin.kind == "Job":
        return JobReported(origin, _JOB_REASONS[event.reason])
    if origin.kind == "Node":
        return _read_streaming(event.component, origin)
    return _read_pod(event, origin)


def _read_first_time(event: KubernetesEvent) -> datetime | None:
    with contextlib.suppress(ValueError):
        return parse_time(event.first_time or "")
    return None


def _read_pod(event: KubernetesEvent, origin: Origin) -> NodeEvent:
    if event.reason == "FailedScheduling":
        return PodUnschedulable(origin)
    if event.component != "kubelet":
        return Irrelevant(f"an event {event.reason} that is not the kubelet's: {event.component!r}")
    return _KUBELET_REASONS[event.reason](origin)


def _read_pulled(origin: Origin) -> NodeEvent:
    pulled = parse_pulled(origin.message)
    return ImagePulled(origin, pulled) if pulled else _unknown_text(origin)


def _read_pulling(origin: Origin) -> NodeEvent:
    match = _PULLING.match(origin.message)
    return ImagePulling(origin, match["image"]) if match else _unknown_text(origin)


def _read_failed(origin: Origin) -> NodeEvent:
    image = parse_failed_image(origin.message)
    if image is not None:
        # Most events are of pulls that succeeded.
        from shared.domain.pull_failure import classify_pull_failure

        return ImagePullFailed(origin, image, classify_pull_failure(origin.message))
    step: FailedStep = "other"
    if _PULL_ERROR.match(origin.message):
        step = "pull"
    elif _START_ERROR.match(origin.message):
        step = "start"
    return ContainerFailed(origin, step)


def _read_evicted(origin: Origin) -> NodeEvent:
    from shared.domain.pull_failure import classify_pull_failure

    return PodEvicted(origin, classify_pull_failure(origin.message))


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
    "Evicted": _read_evicted,
}


def _read_streaming(component: str, origin: Origin) -> NodeEvent:
    """Parse an event whose reason two components use, for success and for failure."""
    text, log, insert_id = origin.message, origin.log, origin.insert_id
    if component == "gcfs-snapshotter":
        statement = parse_statement(text, log=log, insert_id=insert_id)
        return ImageStreamed(origin, statement) if statement else _unknown_text(origin)
    if component == "gcfsd":
        failure = parse_layer_failure(text, log=log, insert_id=insert_id)
        return LayerDownloadFailed(origin, failure) if failure else _unknown_text(origin)
    return Irrelevant(f"an event ImageStreaming of another component: {component!r}")


def read_line(entry: LogEntry) -> NodeEvent:
    """
    Parse a line of the snapshotter: the bare text, or the text in the frame of its logger.

    Raises:
        InvalidEventError: The entry has no time, or does not name a cluster.
    """
    # The field depends on the logging agent of the node.
    payload = entry.json_payload or {}
    line = payload.get("MESSAGE") or payload.get("message") or entry.text_payload
    node = entry.resource.labels.get("node_name")
    if not isinstance(line, str) or not node or not is_object_name(node):
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


def _unknown_text(origin: Origin) -> Irrelevant:
    """Name the kind of the object but not the text: a tenant can write anything into it."""
    return Irrelevant(f"a text of a {origin.kind} that says nothing of pulls")


def _cut(text: str) -> str:
    return text[:MAX_TEXT]
