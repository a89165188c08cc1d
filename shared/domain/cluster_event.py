"""
Reports of nodes, the scheduler and the Job controller.

Each kind of report is a frozen value with its origin.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from shared.domain.disposition import Irrelevant
from shared.domain.kubelet_messages import Pulled
from shared.domain.snapshotter_messages import LayerFailure, StreamingStatement

if TYPE_CHECKING:
    from shared.domain.pull_failure import PullFailure

JobReason = Literal[
    "Completed",
    "Failed",
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "FailedCreate",
    "PodFailurePolicy",
]
FailedStep = Literal["pull", "start", "other"]

_CONTAINER = re.compile(r"spec\.(?P<list>\w+)\{(?P<name>[^}]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The origin of a report; ``None`` marks a part that the report does not contain."""

    cluster: str
    """``projects/P/locations/L/clusters/C``, whose location may be a zone."""
    kind: str
    """The kind of the reported object: ``Pod``, ``Job`` or ``Node``."""
    name: str
    namespace: str | None = None
    uid: str | None = None
    field_path: str | None = None
    node: str | None = None
    event_name: str | None = None
    event_uid: str | None = None
    timestamp: datetime
    """The last time at which it happened."""
    first_timestamp: datetime | None = None
    """The first time; an event that happens again is folded into the first one."""
    message: str
    """The text, without the prefix of a combined event or the frame of a log line."""
    log: str | None = None
    """Full name of the log; ``None`` if the event was read from the Kubernetes API."""
    insert_id: str | None = None

    @property
    def container(self) -> str | None:
        """
        Name of the reported container.

        >>> where = dict(cluster="c", kind="Pod", name="p", timestamp=datetime.min, message="")
        >>> Origin(field_path="spec.initContainers{helper}", **where).container
        'helper'
        """
        match = _CONTAINER.fullmatch(self.field_path or "")
        return match["name"] if match else None

    @property
    def is_init(self) -> bool:
        """Whether the reported container is an init container."""
        return (self.field_path or "").startswith("spec.initContainers{")


@dataclass(frozen=True, slots=True)
class ImagePulling:
    """A pull began."""

    origin: Origin
    image: str


@dataclass(frozen=True, slots=True)
class ImagePulled:
    """A pull succeeded, or the image was already present."""

    origin: Origin
    pulled: Pulled


@dataclass(frozen=True, slots=True)
class ImagePullFailed:
    """A pull failed; the kubelet retries it."""

    origin: Origin
    image: str
    failure: "PullFailure"


@dataclass(frozen=True, slots=True)
class ImagePullDelayed:
    """The kubelet waits before its next pull."""

    origin: Origin
    image: str


@dataclass(frozen=True, slots=True)
class ContainerFailed:
    """
    A container did not start.

    ``step`` is the failed step: the pull, which has its own event; the start, which follows a
    successful pull; or ``other`` if the text does not name it.
    """

    origin: Origin
    step: FailedStep


@dataclass(frozen=True, slots=True)
class PodEvicted:
    """The kubelet evicted a pod, for example because the disk of its node is full."""

    origin: Origin
    failure: "PullFailure"


@dataclass(frozen=True, slots=True)
class PodUnschedulable:
    """A pod does not fit any node (yet)."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class JobReported:
    """The Job controller reports on a Job."""

    origin: Origin
    reason: JobReason

    @property
    def has_ended(self) -> bool:
        """Whether the Job has ended; the controller retries the creation of a pod."""
        return self.reason != "FailedCreate"


@dataclass(frozen=True, slots=True)
class ImageStreamed:
    """A node's snapshotter reports how it serves an image."""

    origin: Origin
    statement: StreamingStatement


@dataclass(frozen=True, slots=True)
class LayerDownloadFailed:
    """A node could not download a layer for streaming."""

    origin: Origin
    failure: LayerFailure


NodeEvent = (
    ImagePulling
    | ImagePulled
    | ImagePullFailed
    | ImagePullDelayed
    | ContainerFailed
    | PodEvicted
    | PodUnschedulable
    | JobReported
    | ImageStreamed
    | LayerDownloadFailed
    | Irrelevant
)
