"""Act on the reports of warmups: an ended Job, or a failed pull, which may also be a workload's."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.domain.action import Action, DistrustMirror, EndJob, ProveMirror, ResumeJobs
from shared.domain.cluster_event import ImagePullFailed, JobReported, PodEvicted, PodUnschedulable
from shared.domain.disposition import NOT_CONFIRMED, Outcome, ignored
from shared.domain.job_state import JobState
from shared.domain.node_accounts import MirrorPulls
from shared.domain.proven_mirrors import PARAMETER_NAME
from shared.domain.reported_pod import (
    confirm_eviction,
    confirm_failure,
    find_waiting_pods,
    has_pull_secrets,
    is_rewritten,
)
from shared.domain.warmup_job import MIRROR_ANNOTATION
from shared.domain.warmup_pod import Pod, belongs_to, holds_image, job_of, node_of
from shared.domain.warmup_refusal import write_refusal
from shared.errors import TransientError
from shared.pipeline.plan_resume import read_active, read_resumption, resume_queue
from shared.pipeline.read_accounts import read_failed_puller, read_puller
from shared.pipeline.read_warmup import find_pods, is_warmup
from shared.pipeline.report_warmup import report_job
from shared.pipeline.track_proven import (
    MirrorPull,
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
    queue = execute.read_for_change(lambda: read_active(cluster)) or []
    listed = (state.body for state in queue if state.name == origin.name)
    body = next(listed, None) or cluster.fetch_job(origin.name)
    if body is None or (origin.uid and JobState.from_body(body).uid != origin.uid):
        return ignored("the Job is gone", job=origin.name)
    if not is_warmup(body):
        return ignored("the Job is not a warmup's", job=origin.name)
    if not JobState.from_body(body).is_finished:
        raise TransientError(
            f"an event reports the end of Job {origin.name}, which has not ended yet"
        )

    def plan() -> ResumeJobs:
        return resume_queue(cluster, queue, settings, origin.timestamp)

    return Outcome("handled", _finish(cluster, body, plan, settings, execute))


def observe_failure(
    event: ImagePullFailed, connect: Connect, settings: Settings, execute: "Executor"
) -> Outcome:
    """
    Count a failed pull against its mirror, and end a warmup that cannot succeed.

    Raises:
        TransientError: A service is unavailable, or an object changed after it was read.
        ConfigurationError: A service refuses our identity.
    """
    pull = find_mirror_pull(event.image, settings) if counts_against_mirror(event) else None
    idle = _find_idle_reason(event, settings)
    if pull is None and idle is not None:
        return idle
    cluster, origin = connect(), event.origin
    pod = cluster.fetch_pod(origin.name, origin.namespace or "")
    confirmed = confirm_failure(pod, event)
    if pod is None or confirmed is None:
        return ignored(NOT_CONFIRMED, pod=origin.name)
    is_ours = origin.namespace == settings.namespace or is_rewritten(pod, event.image)
    distrusted = None
    if pull is not None and is_ours and not has_pull_secrets(pod):
        distrusted = _distrust(confirmed, pull, cluster, execute)
    outcome = idle or _end_warmup(confirmed, pod, cluster, execute)
    if distrusted is None:
        return outcome
    return Outcome("handled", {**outcome.details, "distrusted": distrusted})


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


def observe_eviction(
    event: PodEvicted, connect: Connect, settings: Settings, execute: "Executor"
) -> Outcome:
    """
    End a running warmup whose pod has no room on its node, so that no other node tries it.

    Raises:
        TransientError: The cluster is unavailable, or the Job changed after it was read.
        ConfigurationError: The cluster refuses our identity.
    """
    idle = _find_idle_reason(event, settings)
    if idle is not None:
        return idle
    cluster, origin = connect(), event.origin
    pod = cluster.fetch_pod(origin.name, origin.namespace or "")
    confirmed = confirm_eviction(pod, event)
    if pod is None or confirmed is None:
        return ignored(NOT_CONFIRMED, pod=origin.name)
    return _end_warmup(confirmed, pod, cluster, execute)


def _find_idle_reason(event: ImagePullFailed | PodEvicted, settings: Settings) -> Outcome | None:
    """Return why a failure ends no warmup; None if it may."""
    origin = event.origin
    if origin.namespace != settings.namespace:
        return ignored("only pulls that ended well are written of", pod=origin.name)
    if not event.failure.permanent:
        return ignored("a warmup is told of when its Job ends", pod=origin.name)
    return None


def _end_warmup(
    event: ImagePullFailed | PodEvicted, pod: Pod, cluster: "ClusterApi", execute: "Executor"
) -> Outcome:
    origin = event.origin
    name = job_of(pod)
    job = None if name is None else cluster.fetch_job(name)
    if job is None or not is_warmup(job) or not JobState.from_body(job).is_running:
        return ignored("the warmup has ended", pod=origin.name)
    state = JobState.from_body(job)
    actions = plan_end(event, state, pod)
    if not actions:
        return ignored("the pod is gone, or has its image by now", pod=origin.name)
    if not execute.perform(actions, cluster):
        return ignored("a dry run leaves the warmup to its deadline", job=state.name)
    details = {"job": state.name, "reason": event.failure.reason}
    if isinstance(event, ImagePullFailed):
        details["image"] = event.image
    return Outcome("handled", {"ended": state.name, **details})


def plan_end(event: ImagePullFailed | PodEvicted, state: JobState, pod: Pod) -> tuple[EndJob, ...]:
    """
    Return the action that ends a running warmup whose pull cannot succeed.

    The warmup goes on if the pod belongs to an earlier Job of the same name, or has its image.
    """
    if not belongs_to(pod, state.uid) or holds_image(pod):
        return ()
    return (EndJob(state.name, state.resource_version, write_refusal(event)),)


def _finish(
    cluster: "ClusterApi",
    body: Mapping[str, Any],
    plan: Callable[[], ResumeJobs],
    settings: Settings,
    execute: "Executor",
) -> dict[str, Any]:
    details: dict[str, Any] = {"job": JobState.from_body(body).name}
    if proven := _prove(cluster, body, settings, execute):
        details["proven"] = proven
    # Before the fact, so that no warmup waits until Cloud Logging takes it.
    details |= execute.resume(cluster, plan)
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

    def plan() -> tuple[Action, ...]:
        config_map = cluster.fetch_config_map(PARAMETER_NAME)
        actions = plan_proof(pull, config_map)
        if not actions or config_map is None or (accounts := cluster.accounts) is None:
            return actions
        pods = find_pods(cluster, JobState.from_body(body))
        node = node_of(pods[-1]) if pods else None
        pulls = MirrorPulls.read(config_map, pull.host)
        return plan_proof(pull, config_map, read_puller(cluster, accounts, node, pulls))

    done = execute.change(cluster, plan)
    return pull.host if any(isinstance(each, ProveMirror) for each in done) else None


def _distrust(
    event: ImagePullFailed, pull: MirrorPull, cluster: "ClusterApi", execute: "Executor"
) -> str | None:
    """Return the upstream of a mirror that the failed pull makes distrusted."""

    def plan() -> tuple[Action, ...]:
        config_map = cluster.fetch_config_map(PARAMETER_NAME)
        if not plan_distrust(event, pull, config_map, cluster.name):
            return ()
        puller = read_failed_puller(cluster, cluster.accounts, event.origin.node)
        actions = plan_distrust(event, pull, config_map, cluster.name, puller)
        if not any(isinstance(each, DistrustMirror) for each in actions):
            return actions
        waiting = find_waiting_pods(cluster.list_pending_pods(), pull.mirror)
        named = replace(puller, waiting=waiting)
        return plan_distrust(event, pull, config_map, cluster.name, named)

    done = execute.change(cluster, plan)
    return next((each.upstream for each in done if isinstance(each, DistrustMirror)), None)
