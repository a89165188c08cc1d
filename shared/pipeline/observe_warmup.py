"""Act on the reports of warmups: an ended Job, or a failed pull, which may also be a workload's."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.domain.action import Action, DistrustMirror, EndJob
from shared.domain.cluster_event import ImagePullFailed, JobReported, PodEvicted, PodUnschedulable
from shared.domain.disposition import Outcome, ignored
from shared.domain.job_state import JobState
from shared.domain.proven_mirrors import PARAMETER_NAME
from shared.domain.warmup_job import MIRROR_ANNOTATION
from shared.domain.warmup_pod import Pod, holds_image, uid_of
from shared.domain.warmup_refusal import write_refusal
from shared.errors import TransientError
from shared.pipeline.plan_resume import read_resumption
from shared.pipeline.read_warmup import find_pods, is_warmup
from shared.pipeline.report_warmup import report_job
from shared.pipeline.track_proven import (
    counts_against_mirror,
    find_mirror_pull,
    plan_distrust,
    plan_proof,
)
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.execute import Executor
    from shared.pipeline.ports import ClusterApi

Connect = Callable[[], "ClusterApi"]


def observe_job(
    event: JobReported, connect: Connect, settings: Settings, execute: "Executor"
) -> Outcome:
    """
    Write the fact of a warmup that ended, prove its mirror, and resume waiting warmups.

    Raises:
        TransientError: A service is unavailable, or the Job has no end yet.
        ConfigurationError: A service refuses our identity.
    """
    origin = event.origin
    if origin.namespace != settings.namespace:
        return ignored("the Job is not a warmup's", job=origin.name)
    if not event.has_ended:
        return ignored(f"the Job goes on after {event.reason}", job=origin.name)
    cluster = connect()
    body = cluster.fetch_job(origin.name)
    if body is None or (origin.uid and JobState.from_body(body).uid != origin.uid):
        return ignored("the Job is gone", job=origin.name)
    if not is_warmup(body):
        return ignored("the Job is not a warmup's", job=origin.name)
    if not JobState.from_body(body).is_finished:
        raise TransientError(
            f"an event reports the end of Job {origin.name}, which has not ended yet"
        )
    return Outcome("handled", _finish(cluster, body, origin.timestamp, settings, execute))


def observe_failure(
    event: ImagePullFailed, connect: Connect, settings: Settings, execute: "Executor"
) -> Outcome:
    """
    Count a failed pull against its mirror, and end a warmup that cannot succeed.

    Raises:
        TransientError: A service is unavailable, or an object changed after it was read.
        ConfigurationError: A service refuses our identity.
    """
    distrusted = _distrust(event, connect, settings, execute)
    outcome = end_warmup(event, connect, settings, execute)
    if distrusted is None:
        return outcome
    return Outcome("handled", {**outcome.details, "distrusted": distrusted})


def _is_of_warmup(event: ImagePullFailed, cluster: "ClusterApi", settings: Settings) -> bool:
    """Whether a pod of a warmup has the uid in the event, whose claim is not trusted."""
    origin = event.origin
    if origin.namespace != settings.namespace:
        return False
    job = origin.name.rpartition("-")[0]
    pods = cluster.list_pods(f"batch.kubernetes.io/job-name={job}")
    return any(uid_of(pod) == origin.uid for pod in pods)


def observe_unschedulable(
    event: PodUnschedulable, connect: Connect, settings: Settings, execute: "Executor"
) -> Outcome:
    """
    Let warmups without a node give up their places.

    A pod is reported when the scheduler tries it, so this report is the occasion to look at the
    pods that have waited before.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    cluster, at = connect(), event.origin.timestamp
    details = execute.resume(cluster, lambda: read_resumption(cluster, settings, at))
    if not any(details.values()):
        return ignored("no warmup has waited too long for a node", pod=event.origin.name)
    return Outcome("handled", {"pod": event.origin.name, **details})


def end_warmup(
    event: ImagePullFailed | PodEvicted, connect: Connect, settings: Settings, execute: "Executor"
) -> Outcome:
    """
    End a running warmup after a permanent failure, so that no other node tries it.

    Raises:
        TransientError: The cluster is unavailable, or the Job changed after it was read.
        ConfigurationError: The cluster refuses our identity.
    """
    origin = event.origin
    if origin.namespace != settings.namespace:
        return ignored("only pulls that ended well are written of", pod=origin.name)
    if not event.failure.permanent:
        return ignored("a warmup is told of when its Job ends", pod=origin.name)
    cluster = connect()
    job = cluster.fetch_job(origin.name.rpartition("-")[0])
    if job is None or not is_warmup(job) or not JobState.from_body(job).is_running:
        return ignored("the warmup has ended", pod=origin.name)
    state = JobState.from_body(job)
    actions = plan_end(event, state, find_pods(cluster, state))
    if not actions:
        return ignored("the pod is gone, or has its image by now", pod=origin.name)
    if not execute.perform(actions, cluster):
        return ignored("a dry run leaves the warmup to its deadline", job=state.name)
    details = {"job": state.name, "reason": event.failure.reason}
    if isinstance(event, ImagePullFailed):
        details["image"] = event.image
    return Outcome("handled", {"ended": state.name, **details})


def plan_end(
    event: ImagePullFailed | PodEvicted, state: JobState, pods: Sequence[Pod]
) -> tuple[EndJob, ...]:
    """
    Return the action that ends a running warmup whose pull cannot succeed.

    The warmup goes on if the pod belongs to an earlier Job of the same name, or has its image.
    """
    own = [pod for pod in pods if uid_of(pod) == event.origin.uid]
    if not own or holds_image(own[-1]):
        return ()
    return (EndJob(state.name, state.resource_version, write_refusal(event)),)


def _finish(
    cluster: "ClusterApi",
    body: Mapping[str, Any],
    at: datetime,
    settings: Settings,
    execute: "Executor",
) -> dict[str, Any]:
    details: dict[str, Any] = {"job": JobState.from_body(body).name}
    if proven := _prove(cluster, body, settings, execute):
        details["proven"] = proven
    # Before the fact, so that no warmup waits until Cloud Logging takes it.
    details |= execute.resume(cluster, lambda: read_resumption(cluster, settings, at))
    fact = report_job(cluster, body, execute)
    if fact is None:
        return details | {"reason": "its fact was written before"}
    names = ("image", "outcome", "streamed", "reason")
    return details | {"fact": fact.event, **{name: fact.payload[name] for name in names}}


def _prove(
    cluster: "ClusterApi", body: Mapping[str, Any], settings: Settings, execute: "Executor"
) -> str | None:
    """Return the upstream of a mirror that a complete warmup proves: its image was pulled."""
    mirror = body["metadata"]["annotations"].get(MIRROR_ANNOTATION) or ""
    pull = find_mirror_pull(mirror, settings)
    if pull is None or not JobState.from_body(body).is_complete:
        return None
    done = execute.change(
        cluster, lambda: plan_proof(pull, cluster.fetch_config_map(PARAMETER_NAME))
    )
    return pull.host if done else None


def _distrust(
    event: ImagePullFailed, connect: Connect, settings: Settings, execute: "Executor"
) -> str | None:
    """Return the upstream of a mirror that the failed pull makes distrusted."""
    pull = find_mirror_pull(event.image, settings)
    if pull is None or not counts_against_mirror(event):
        return None
    cluster = connect()
    is_warmup = event.failure.at_fault == "access" and _is_of_warmup(event, cluster, settings)

    def plan() -> tuple[Action, ...]:
        config_map = cluster.fetch_config_map(PARAMETER_NAME)
        return plan_distrust(event, pull, config_map, cluster.name, is_warmup=is_warmup)

    done = execute.change(cluster, plan)
    return next((each.upstream for each in done if isinstance(each, DistrustMirror)), None)
