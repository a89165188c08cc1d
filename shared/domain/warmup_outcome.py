"""
The outcome of a warmup, from its Job, its pod and the reports on them.

A container that could not start after the pull has still warmed the image, so the pull decides, and
never the exit code alone. An image counts as pulled only if a report proves it. A failure is that
of the last pod: a disruption can lead to several pods.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeVar

from shared.domain.cluster_event import (
    ContainerFailed,
    ImagePullDelayed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    JobReported,
    NodeEvent,
    Origin,
    PodEvicted,
    PodUnschedulable,
)
from shared.domain.disposition import Irrelevant
from shared.domain.fact import (
    MISCONFIGURED,
    NO_NODE,
    POSTPONED,
    PULL_FAILED,
    PULLED,
    TIMED_OUT,
    WarmupOutcome,
)
from shared.domain.pull_failure import PullFailure, classify_pull_failure
from shared.domain.streaming_verdict import Evidence, EvidenceKind
from shared.domain.timestamp import parse_time
from shared.domain.upstream import DEFAULT_PAUSE
from shared.domain.warmup_job import CONTAINER
from shared.domain.warmup_pod import (
    Pod,
    failure_of,
    helper_exit,
    holds_image,
    node_of,
    pull_refusal,
    uid_of,
)

_Report = TypeVar(
    "_Report",
    ContainerFailed,
    ImagePullDelayed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    JobReported,
    PodEvicted,
    PodUnschedulable,
)

_DEADLINE: Final = "DeadlineExceeded"
_CHECK_HELPER: Final = "Check `helper_image` in prestream.yaml."
_RAISE_DEADLINE: Final = "Raise `deadline_minutes` in prestream.yaml if the image needs longer."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The outcome of a warmup, with its evidence."""

    outcome: WarmupOutcome
    reason: str | None = None
    hint: str | None = None
    node: str | None = None
    pulled: ImagePulled | None = None
    """The kubelet's report of the pull; ``None`` if it was lost, or nothing was pulled."""
    evidence: tuple[Evidence, ...] = ()
    """The evidence of a failure; the verdict on a pull has its own evidence."""
    not_before: datetime | None = None
    """The earliest time for a retry, if the registry limits the rate."""

    @property
    def was_pulled(self) -> bool:
        """Whether a report proves that the image is on the node."""
        return self.outcome == PULLED


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """The end of a Job: its time, and the reason from the Job controller."""

    is_complete: bool
    at: datetime
    reason: str
    message: str

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self | None:
        """Read the end of a Job; ``None`` if the Job has not finished."""
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


def diagnose(job: FinishedJob, pod: Pod | None, reports: Sequence[NodeEvent]) -> Diagnosis:
    """
    Determine the outcome of a warmup.

    Args:
        job: The finished Job.
        pod: Its last pod; ``None`` if it was deleted or never existed.
        reports: The reports on the Job and its pods, in any order.
    """
    pulled = _find_pull(reports)
    started = _last(reports, ContainerFailed, _could_not_start)
    if pulled or started or job.is_complete or (pod is not None and holds_image(pod)):
        seen = pulled or started
        node = (seen.origin.node if seen else None) or _find_node(pod, _of_last_pod(pod, reports))
        reason = None
        if started is not None and not job.is_complete:
            said = started.origin.message
            reason = f"the container did not start, after its image was pulled: {said}"
        return Diagnosis(PULLED, reason, node=node, pulled=pulled)
    last = _of_last_pod(pod, reports)
    return _diagnose_eviction(job, pod, reports) or _diagnose_failure(job, pod, last)


def _diagnose_eviction(
    job: FinishedJob, pod: Pod | None, reports: Sequence[NodeEvent]
) -> Diagnosis | None:
    """Return the outcome of a pod that was evicted because the disk of its node is full."""
    evicted = _last(reports, PodEvicted, lambda each: each.failure.kind == "disk_full")
    if evicted is not None:
        node = evicted.origin.node
        return _from_failure(job, evicted.failure, node, _quote("container", evicted))
    text = failure_of(pod) if pod is not None else None
    if pod is None or text is None:
        return None
    failure = classify_pull_failure(text)
    evidence = (Evidence("container", text),)
    is_full = failure.kind == "disk_full"
    return _from_failure(job, failure, node_of(pod), evidence) if is_full else None


def _diagnose_failure(job: FinishedJob, pod: Pod | None, reports: Sequence[NodeEvent]) -> Diagnosis:
    node = _find_node(pod, reports)
    return (
        _diagnose_pull_failure(job, pod, reports, node)
        or _diagnose_helper_failure(job, pod, reports, node)
        or (
            _diagnose_deadline(pod, reports, node)
            if job.reason == _DEADLINE
            else _diagnose_pod_failure(job, pod, node)
        )
    )


def _diagnose_pull_failure(
    job: FinishedJob, pod: Pod | None, reports: Sequence[NodeEvent], node: str | None
) -> Diagnosis | None:
    """Return the outcome of a failed pull of the image, if there was one."""
    failed = _last(reports, ImagePullFailed, _is_of_image)
    if failed is None:
        return _diagnose_lost_pull_failure(job, pod, reports, node)
    failure = failed.failure
    again = _last(reports, ImagePulling, _is_of_image)
    resumed = again is not None and again.origin.timestamp > failed.origin.timestamp
    if resumed and not failure.permanent and job.reason == _DEADLINE:
        reason = (
            "the image was still being pulled at the deadline, after an attempt that"
            f" failed: {failure.reason}"
        )
        return Diagnosis(TIMED_OUT, reason, _RAISE_DEADLINE, node, evidence=_quote("pull", failed))
    return _from_failure(job, failure, node, _quote("pull", failed))


def _diagnose_lost_pull_failure(
    job: FinishedJob, pod: Pod | None, reports: Sequence[NodeEvent], node: str | None
) -> Diagnosis | None:
    """Return the outcome of a failed pull whose report was lost, from its consequences."""
    delayed = _last(reports, ImagePullDelayed, _is_of_image) or _last(
        reports,
        ContainerFailed,
        lambda each: each.step == "pull" and _is_of_image(each),
    )
    refusal = pull_refusal(pod) if pod is not None else None
    if refusal is not None:
        evidence: tuple[Evidence, ...] = (Evidence("pull", refusal),)
    elif delayed is not None:
        refusal, evidence = delayed.origin.message, _quote("pull", delayed)
    else:
        return None
    return _from_failure(job, classify_pull_failure(refusal), node, evidence)


def _from_failure(
    job: FinishedJob, failure: PullFailure, node: str | None, evidence: tuple[Evidence, ...]
) -> Diagnosis:
    return Diagnosis(
        failure.outcome,
        failure.reason,
        failure.hint,
        node,
        evidence=evidence,
        not_before=_not_before(job, failure),
    )


def _not_before(job: FinishedJob, failure: PullFailure) -> datetime | None:
    return job.at + DEFAULT_PAUSE if failure.outcome == POSTPONED else None


def _diagnose_helper_failure(
    job: FinishedJob, pod: Pod | None, reports: Sequence[NodeEvent], node: str | None
) -> Diagnosis | None:
    """Return the outcome of a helper that did not run, so that the image was not pulled."""
    failed = _last(reports, ImagePullFailed, _is_of_helper)
    if failed is not None:
        failure = failed.failure
        return Diagnosis(
            POSTPONED if failure.outcome == POSTPONED else MISCONFIGURED,
            f"the helper image could not be pulled: {failure.reason}",
            _CHECK_HELPER if failure.permanent else failure.hint,
            node,
            evidence=_quote("pull", failed),
            not_before=_not_before(job, failure),
        )
    stopped = _last(reports, ContainerFailed, _is_of_helper)
    if stopped is not None:
        reason = f"the helper could not start: {stopped.origin.message}"
        evidence = _quote("container", stopped)
        return Diagnosis(MISCONFIGURED, reason, _CHECK_HELPER, node, evidence=evidence)
    ended = helper_exit(pod) if pod is not None else None
    if ended is None:
        return None
    said = (Evidence("container", ended),)
    return Diagnosis(
        MISCONFIGURED, f"the helper failed: {ended}", _CHECK_HELPER, node, evidence=said
    )


def _diagnose_deadline(
    pod: Pod | None, reports: Sequence[NodeEvent], node: str | None
) -> Diagnosis:
    if node is None:
        return _diagnose_waiting(pod, reports)
    pulling = _last(reports, ImagePulling, _is_of_image)
    if pulling is not None:
        reason = "the image was still being pulled at the deadline"
        return Diagnosis(TIMED_OUT, reason, _RAISE_DEADLINE, node, evidence=_quote("pull", pulling))
    reason = "no event shows that the pull of the image began before the deadline"
    return Diagnosis(TIMED_OUT, reason, f"Check the log of the kubelet on node {node}.", node)


def _diagnose_waiting(pod: Pod | None, reports: Sequence[NodeEvent]) -> Diagnosis:
    """Return the outcome of a warmup that had no node until its deadline."""
    unschedulable = _last(reports, PodUnschedulable, _is_any)
    if unschedulable is not None or pod is not None:
        reason = unschedulable.origin.message if unschedulable else "no node took the pod"
        hint = "Start a node of the target, or let another rung serve it."
        evidence = _quote("scheduling", unschedulable) if unschedulable else ()
        return Diagnosis(NO_NODE, reason, hint, evidence=evidence)
    refused = _last(reports, JobReported, lambda each: each.reason == "FailedCreate")
    if refused is None:
        reason = "the deadline passed, and no event or pod shows the progress of the warmup"
        return Diagnosis(TIMED_OUT, reason)
    # A quota is exhausted only for a while; the refusal of another policy is permanent.
    waits = "exceeded quota" in refused.origin.message
    return Diagnosis(
        TIMED_OUT if waits else MISCONFIGURED,
        f"the warmup's pod could not be created: {refused.origin.message}",
        "Check the quota and the policies of Prestream's namespace.",
        evidence=_quote("job", refused),
    )


def _diagnose_pod_failure(job: FinishedJob, pod: Pod | None, node: str | None) -> Diagnosis:
    """Return the outcome of a pod that failed for another reason than a pull or the helper."""
    failure = failure_of(pod) if pod is not None else None
    if failure is None:
        reason = (
            "the warmup's pod failed, and no event shows whether the image was pulled:"
            f" {job.message}"
        )
        return Diagnosis(PULL_FAILED, reason, node=node)
    return Diagnosis(
        NO_NODE,
        f"the pod failed on its node before the image was pulled: {failure}",
        "Check that the node has room for one more pod, and space on its disk.",
        node,
        evidence=(Evidence("container", failure),),
    )


def _last(
    reports: Iterable[NodeEvent], kind: type[_Report], fits: Callable[[_Report], bool]
) -> _Report | None:
    found = [each for each in reports if isinstance(each, kind) and fits(each)]
    return max(found, key=lambda each: each.origin.timestamp, default=None)


def _find_pull(reports: Sequence[NodeEvent]) -> ImagePulled | None:
    """
    Return the pull of the image, preferred to a report that it was present.

    If there are several nodes, the last one counts. Its first pull brought the image.
    """
    found = [each for each in reports if isinstance(each, ImagePulled) and _is_of_image(each)]
    pulls = [each for each in found if not each.pulled.already_present] or found
    last = max(pulls, key=lambda each: each.origin.timestamp, default=None)
    on_node = [each for each in pulls if last and each.origin.node == last.origin.node]
    return min(on_node, key=lambda each: each.origin.timestamp, default=None)


def _of_last_pod(pod: Pod | None, reports: Sequence[NodeEvent]) -> list[NodeEvent]:
    """Skip the reports on earlier pods, which ran on other nodes."""
    pods = [
        each.origin
        for each in reports
        if not isinstance(each, Irrelevant) and each.origin.kind == "Pod"
    ]
    uid = uid_of(pod) if pod is not None else None
    if pod is None and pods:
        uid = max(pods, key=lambda origin: origin.timestamp).uid
    earlier = [origin for origin in pods if origin.uid not in {uid, None}]
    return [each for each in reports if isinstance(each, Irrelevant) or each.origin not in earlier]


def _is_any(_: object) -> bool:
    return True


def _is_of_image(report: Any) -> bool:
    origin: Origin = report.origin
    return origin.container == CONTAINER and not origin.is_init


def _is_of_helper(report: Any) -> bool:
    origin: Origin = report.origin
    return origin.is_init


def _could_not_start(report: ContainerFailed) -> bool:
    """Whether the runtime tried to start the image's container, which follows the pull."""
    return report.step == "start" and _is_of_image(report)


def _quote(kind: EvidenceKind, report: Any) -> tuple[Evidence, ...]:
    origin: Origin = report.origin
    return (Evidence(kind, origin.message, origin.log, origin.insert_id),)


def _find_node(pod: Pod | None, reports: Iterable[NodeEvent]) -> str | None:
    """Return the pod's node, for a deleted pod from the kubelet's reports."""
    if pod is not None and (node := node_of(pod)):
        return node
    kubelet = ImagePulled | ImagePullFailed | ImagePulling | ImagePullDelayed | ContainerFailed
    named = (each.origin.node for each in reports if isinstance(each, kubelet))
    return next((node for node in named if node), None)
