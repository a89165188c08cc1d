"""
The actions that a decision returns; ``execute`` performs them.

A step reads, decides and acts. A decision is a pure function from what was read to actions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.domain.fact import Fact
    from shared.domain.mirror import RemoteRepository
    from shared.domain.postponement import Postponement
    from shared.domain.prewarm import ArtifactVersion
    from shared.domain.request import ReferenceRequest
    from shared.domain.warmup_job import JobName, Warmup


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish references."""

    requests: "tuple[ReferenceRequest, ...]"


@dataclass(frozen=True, slots=True)
class WriteFact:
    """Write a fact."""

    fact: "Fact"
    of_change: bool = False
    """Whether the fact is about a change by Prestream, which a dry run does not make."""


@dataclass(frozen=True, slots=True)
class CreateMirror:
    """Create the repository of a mirror."""

    repository: "RemoteRepository"


@dataclass(frozen=True, slots=True)
class UpdateMirror:
    """Give a mirror the configured credentials, or remove its credentials."""

    repository: "RemoteRepository"


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Create a warmup Job; an existing one of the same name is success."""

    warmup: "Warmup"
    replaces: str | None = None
    """The UID of the deleted Job of the same name, which may not be gone yet."""


@dataclass(frozen=True, slots=True)
class Postpone:
    """Record that a registry postpones an image; a later record replaces an earlier one."""

    postponement: "Postponement"
    namespace: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a Job; with a version, only if it has not changed."""

    name: "JobName"
    uid: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ShareJob:
    """Add a tenant to a waiting Job, which then also runs at a turn of that tenant."""

    name: "JobName"
    tenant_label: str


@dataclass(frozen=True, slots=True)
class SuspendJob:
    """Suspend a running Job that gives up its place in the queue."""

    name: "JobName"
    version: str
    attempts: int
    requeued: str
    """The time."""


@dataclass(frozen=True, slots=True)
class EndJob:
    """End a running Job that cannot succeed."""

    name: "JobName"
    version: str
    refusal: str
    """The value of the annotation that keeps the reason."""


@dataclass(frozen=True, slots=True)
class ResumeJobs:
    """Resume the first waiting Jobs; one that no longer exists leaves its place to the next."""

    names: "tuple[JobName, ...]"
    limit: int
    releases: tuple[SuspendJob | EndJob, ...] = ()
    """Performed first, on running Jobs that have no node."""
    patches: "Mapping[JobName, Mapping[str, Any]]" = field(default_factory=dict)
    """The changes of Jobs that are resumed: the nodes that may pull the image."""


@dataclass(frozen=True, slots=True)
class MarkReported:
    """Mark a Job whose fact is written."""

    name: "JobName"
    version: str
    insert_id: str
    outcome: str
    fills_cache: bool
    not_before: str | None = None


@dataclass(frozen=True, slots=True)
class ProveMirror:
    """Add a mirror to the ConfigMap of the proven ones."""

    upstream: str
    patch: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordPull:
    """Record that an account pulled from a mirror that further accounts have to prove."""

    upstream: str
    patch: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CountPullFailure:
    """Count a pod that could not pull from a proven mirror."""

    upstream: str
    patch: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DistrustMirror:
    """Remove a mirror from the ConfigMap of the proven ones."""

    upstream: str
    patch: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prewarm:
    """Ask Artifact Registry to prewarm an image, or to keep it prewarmed."""

    version: "ArtifactVersion"
    location: str
    retention_days: int


@dataclass(frozen=True, slots=True)
class RemovePrewarmed:
    """Remove an artifact that Artifact Registry could not cache."""

    version: "ArtifactVersion"
    location: str


Action = (
    Publish
    | WriteFact
    | CreateMirror
    | UpdateMirror
    | CreateJob
    | Postpone
    | DeleteJob
    | ShareJob
    | SuspendJob
    | EndJob
    | ResumeJobs
    | MarkReported
    | ProveMirror
    | RecordPull
    | CountPullFailure
    | DistrustMirror
    | Prewarm
    | RemovePrewarmed
)
