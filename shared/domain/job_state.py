"""The state of an existing warmup Job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from shared.domain.json_access import number_of
from shared.domain.placement import SCALING_PRIORITY_CLASS
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import (
    ATTEMPTS_ANNOTATION,
    CACHE_ANNOTATION,
    FIRST_TENANT,
    NOT_BEFORE_ANNOTATION,
    OUTCOME_ANNOTATION,
    QUEUED_ANNOTATION,
    REPORTED_ANNOTATION,
    REQUEUED_ANNOTATION,
    TENANT_PREFIX,
    JobName,
)

_EXISTING_NODE_WAIT = timedelta(minutes=2)
_NEW_NODE_WAIT = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class JobState:
    """The state of an existing warmup Job that decides on its resumption and its end."""

    name: JobName
    uid: str
    resource_version: str
    created: str
    queued: str
    is_suspended: bool
    is_complete: bool
    is_failed: bool
    is_reported: bool
    outcome: str | None = None
    """The outcome in its fact; None if it is not reported yet."""
    fills_cache: bool = False
    """Whether it provably filled the streaming cache; false if it is not reported yet."""
    not_before: str | None = None
    """The earliest time for a retry, in RFC 3339."""
    tenants: tuple[str, ...] = ()
    """The labels of the tenants that requested it, the first one first; empty for a person."""
    started: str = ""
    """When it was resumed; empty while it is suspended."""
    may_add_node: bool = False
    """Whether the cluster may add a node for its pod."""
    attempts: int = 0
    requeued: str = ""
    body: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The Job as it was read."""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a Job from its body in the Kubernetes API."""
        metadata, status, spec = (body.get(each) or {} for each in ("metadata", "status", "spec"))
        pod = (spec.get("template") or {}).get("spec") or {}
        annotations = metadata.get("annotations") or {}
        conditions = {
            condition.get("type")
            for condition in status.get("conditions") or []
            if condition.get("status") == "True"
        }
        labels = metadata.get("labels") or {}
        return cls(
            name=JobName(metadata.get("name") or ""),
            uid=metadata.get("uid") or "",
            resource_version=metadata.get("resourceVersion") or "",
            created=metadata.get("creationTimestamp") or "",
            queued=annotations.get(QUEUED_ANNOTATION) or "",
            is_suspended=bool(spec.get("suspend")),
            is_complete="Complete" in conditions,
            is_failed="Failed" in conditions,
            is_reported=REPORTED_ANNOTATION in annotations,
            outcome=annotations.get(OUTCOME_ANNOTATION),
            fills_cache=annotations.get(CACHE_ANNOTATION) == "true",
            not_before=annotations.get(NOT_BEFORE_ANNOTATION),
            tenants=_find_tenants(labels),
            started=status.get("startTime") or "",
            may_add_node=pod.get("priorityClassName") == SCALING_PRIORITY_CLASS,
            attempts=number_of(annotations.get(ATTEMPTS_ANNOTATION)) or 0,
            requeued=annotations.get(REQUEUED_ANNOTATION) or "",
            body=body,
        )

    @property
    def is_finished(self) -> bool:
        """Whether it has finished, with success or failure."""
        return self.is_complete or self.is_failed

    @property
    def is_replaceable(self) -> bool:
        """Whether another warmup may replace it: it failed, or did not provably fill the cache."""
        is_reported = self.outcome is not None
        return self.is_failed or (self.is_complete and is_reported and not self.fills_cache)

    def is_postponed(self, now: datetime) -> bool:
        """Whether it failed, and the registry named a later time for a retry."""
        try:
            return self.is_failed and parse_time(self.not_before or "") > now
        except ValueError:
            return False

    @property
    def is_waiting(self) -> bool:
        """Whether it is suspended in the queue."""
        return self.is_suspended and not self.is_finished

    @property
    def is_running(self) -> bool:
        """Whether it was resumed, with or without a pod."""
        return not self.is_suspended and not self.is_finished

    @property
    def max_node_wait(self) -> timedelta:
        """How long its pod may wait for a node."""
        return _NEW_NODE_WAIT if self.may_add_node else _EXISTING_NODE_WAIT

    @property
    def turn(self) -> tuple[str, str, JobName]:
        """The sort key of waiting warmups: the time of the request, or of the last suspension."""
        return self.requeued or self.created, self.queued, self.name


def _find_tenants(labels: Mapping[str, Any]) -> tuple[str, ...]:
    tenants = [key for key in labels if key.startswith(TENANT_PREFIX)]
    return tuple(sorted(tenants, key=lambda key: (labels[key] != FIRST_TENANT, key)))
