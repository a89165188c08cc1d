"""
What nodes, the scheduler and the Job controller report, told apart by what it means.

One frozen value for each kind of report, all of them with their origin.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.domain.disposition import Irrelevant
from shared.domain.kubelet_messages import Pulled, PullFailure
from shared.domain.snapshotter_messages import LayerFailure, StreamingStatement

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
    """Where and when something was reported; None is for what the report does not say."""

    cluster: str
    """``projects/P/locations/L/clusters/C``, whose location may be a zone."""
    kind: str
    """Of the object that it is about: ``Pod``, ``Job`` or ``Node``."""
    name: str
    namespace: str | None = None
    uid: str | None = None
    field_path: str | None = None
    node: str | None = None
    event_name: str | None = None
    event_uid: str | None = None
    timestamp: datetime
    """When it last happened."""
    message: str
    """The text, without the prefix of a combined event or the frame of a log line."""
    log: str | None = None
    """Full name of the log; None where the event was read from the Kubernetes API."""
    insert_id: str | None = None

    @property
    def container(self) -> str | None:
        """
        Name of the container that it is about.

        >>> where = dict(cluster="c", kind="Pod", name="p", timestamp=datetime.min, message="")
        >>> Origin(field_path="spec.initContainers{helper}", **where).container
        'helper'
        """
        match = _CONTAINER.fullmatch(self.field_path or "")
        return match["name"] if match else None

    @property
    def is_init(self) -> bool:
        """Whether it is about an init container."""
        return (self.field_path or "").startswith("spec.initContainers{")


@dataclass(frozen=True, slots=True)
class ImagePulling:
    """A pull began."""

    origin: Origin
    image: str


@dataclass(frozen=True, slots=True)
class ImagePulled:
    """A pull ended well, or the image was there."""

    origin: Origin
    pulled: Pulled


@dataclass(frozen=True, slots=True)
class ImagePullFailed:
    """A pull failed; the kubelet tries again."""

    origin: Origin
    image: str
    failure: PullFailure


@dataclass(frozen=True, slots=True)
class ImagePullDelayed:
    """The kubelet waits before it pulls again."""

    origin: Origin
    image: str


@dataclass(frozen=True, slots=True)
class ContainerFailed:
    """
    A container did not start.

    ``step`` says where it stopped: at the pull, which has an event of its own; at the start, to
    which a container comes only once its image was pulled; or where the text does not tell.
    """

    origin: Origin
    step: FailedStep


@dataclass(frozen=True, slots=True)
class PodUnschedulable:
    """No node takes a pod (yet)."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class JobReported:
    """The Job controller says something about a Job."""

    origin: Origin
    reason: JobReason

    @property
    def has_ended(self) -> bool:
        """Whether the Job ended by it: a pod that could not be created is tried again."""
        return self.reason != "FailedCreate"


@dataclass(frozen=True, slots=True)
class ImageStreamed:
    """A node's snapshotter says how it serves an image."""

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
    | PodUnschedulable
    | JobReported
    | ImageStreamed
    | LayerDownloadFailed
    | Irrelevant
)
