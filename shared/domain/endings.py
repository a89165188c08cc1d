"""
How a warmup ended, told from its Job, its pod and what was reported of them.

A container that could not start after its image was pulled has still warmed the image, so it is
the pull that counts, and never the exit code alone. Nothing is said to be pulled that was not
seen pulled.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar

from shared.domain.facts import (
    ALREADY_PRESENT,
    MISCONFIGURED,
    NO_NODE,
    PULLED,
    TIMED_OUT,
    WarmupOutcome,
)
from shared.domain.jobs import CONTAINER
from shared.domain.reports import (
    ContainerFailed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    JobReported,
    NodeEvent,
    Origin,
    PodUnschedulable,
)
from shared.domain.times import parse_time

_Report = TypeVar(
    "_Report", ImagePulled, ImagePullFailed, ImagePulling, JobReported, PodUnschedulable
)

_DEADLINE = "DeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a warmup, with the reports that say so."""

    outcome: WarmupOutcome
    reason: str | None = None
    hint: str | None = None
    node: str | None = None
    pulled: ImagePulled | None = None
    """The kubelet's report of the pull; None where it was lost, or nothing was pulled."""

    @property
    def was_pulled(self) -> bool:
        """Whether the image was seen to be on the node."""
        return self.outcome in {PULLED, ALREADY_PRESENT}


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A Job that ended: when, and how the Job controller says it did."""

    is_complete: bool
    at: datetime
    reason: str
    message: str

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self | None:
        """Read it out of a Job; None for one that has not ended."""
        status = body.get("status") or {}
        for condition in status.get("conditions") or []:
            kind = condition.get("type")
            if kind not in {"Complete", "Failed"} or condition.get("status") != "True":
                continue
            time = (kind == "Complete" and status.get("completionTime")) or condition.get(
                "lastTransitionTime"
            )
            if not time:
                return None
            return cls(
                is_complete=kind == "Complete",
                at=parse_time(str(time)),
                reason=condition.get("reason") or "",
                message=condition.get("message") or "",
            )
        return None


def tell_ending(
    job: FinishedJob, pod: Mapping[str, Any] | None, reports: Sequence[NodeEvent]
) -> Ending:
    """
    Tell how a warmup ended.

    Args:
        job: The Job, once it ended.
        pod: Its last pod; None if it is gone, or there never was one.
        reports: What was reported of the Job and its pods, in any order.
    """
    pulled = _last(reports, ImagePulled, _is_of_image)
    node = _find_node(pod, reports)
    if pulled is not None and pulled.pulled.already_present:
        return Ending(ALREADY_PRESENT, node=node, pulled=pulled)
    if pulled is not None or job.is_complete or _holds_image(pod) or _started(reports):
        return Ending(PULLED, _start_failure(reports), node=node, pulled=pulled)
    return _tell_failure(job, pod, reports, node)


def _tell_failure(
    job: FinishedJob,
    pod: Mapping[str, Any] | None,
    reports: Sequence[NodeEvent],
    node: str | None,
) -> Ending:
    failed = _last(reports, ImagePullFailed, _is_of_image)
    if failed is not None:
        failure = failed.failure
        return Ending(failure.outcome, failure.reason, failure.hint, node)
    helper = _last(reports, ImagePullFailed, lambda origin: origin.is_init)
    if helper is not None:
        reason = f"the helper image could not be pulled: {helper.failure.reason}"
        return Ending(MISCONFIGURED, reason, "Check `helper_image` in prestream.yaml.", node)
    if job.reason != _DEADLINE:
        reason = f"the warmup's pod failed before the image was pulled: {job.message}"
        return Ending(MISCONFIGURED, reason, "Check `helper_image` in prestream.yaml.", node)
    if node is None:
        return _tell_waiting(pod, reports)
    pulling = _last(reports, ImagePulling, _is_of_image)
    doing = "still being pulled" if pulling else "not pulled"
    return Ending(
        TIMED_OUT,
        f"the image was {doing} when the deadline came",
        "Raise `deadline_minutes` in prestream.yaml if the image needs longer.",
        node,
    )


def _tell_waiting(pod: Mapping[str, Any] | None, reports: Sequence[NodeEvent]) -> Ending:
    """Tell why a warmup had no node until its deadline."""
    refused = _last(reports, JobReported, lambda _: True)
    unschedulable = _last(reports, PodUnschedulable, lambda _: True)
    if unschedulable is not None or pod is not None:
        reason = unschedulable.origin.message if unschedulable else "no node took the pod"
        return Ending(NO_NODE, reason, "Start a node of the target, or let another rung serve it.")
    if refused is not None and refused.reason == "FailedCreate":
        return Ending(
            TIMED_OUT,
            f"the warmup's pod could not be created: {refused.origin.message}",
            "Check the quota and the policies of Prestream's namespace.",
        )
    return Ending(NO_NODE, "no node took the pod before the deadline, and no event says why")


def _last(
    reports: Iterable[NodeEvent], kind: type[_Report], fits: Callable[[Origin], bool]
) -> _Report | None:
    found = [each for each in reports if isinstance(each, kind) and fits(each.origin)]
    return max(found, key=lambda each: each.origin.timestamp, default=None)


def _is_of_image(origin: Origin) -> bool:
    return origin.container == CONTAINER and not origin.is_init


def _started(reports: Iterable[NodeEvent]) -> bool:
    """Whether the runtime was asked to start the image's container: only once it is pulled."""
    return any(
        isinstance(each, ContainerFailed) and each.step == "start" and _is_of_image(each.origin)
        for each in reports
    )


def _start_failure(reports: Iterable[NodeEvent]) -> str | None:
    for each in reports:
        if isinstance(each, ContainerFailed) and each.step == "start":
            return f"the container did not start, after its image was pulled: {each.origin.message}"
    return None


def _holds_image(pod: Mapping[str, Any] | None) -> bool:
    """Whether the pod's status names the image that its container runs from."""
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or []
    return any(each.get("name") == CONTAINER and each.get("imageID") for each in statuses)


def _find_node(pod: Mapping[str, Any] | None, reports: Iterable[NodeEvent]) -> str | None:
    """Return the pod's node; the kubelet's reports outlive a pod that was deleted."""
    node = ((pod or {}).get("spec") or {}).get("nodeName")
    if node:
        return str(node)
    for each in reports:
        if isinstance(each, ImagePulled | ImagePullFailed | ImagePulling | ContainerFailed):
            return each.origin.node
    return None
