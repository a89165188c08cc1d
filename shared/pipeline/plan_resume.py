"""
Decide which waiting warmups run: suspended Jobs are the warmup queue.

A running warmup whose pod finds no node in time gives up its place and moves to the end of the
queue; after its last attempt it ends.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from shared.domain.action import EndJob, ResumeJobs, SuspendJob
from shared.domain.job_state import JobState
from shared.domain.queue_order import limit_tenants, take_turns
from shared.domain.timestamp import format_time, parse_time
from shared.domain.warmup_job import QUEUE_LABEL, RUNNING, SELECTOR, JobName

if TYPE_CHECKING:
    from datetime import datetime

    from shared.domain.cluster import ClusterName
    from shared.domain.node_wait import UnscheduledWarmup
    from shared.pipeline.ports import ClusterApi
    from shared.settings.keys import Settings

NODES_CURRENT_FOR = timedelta(minutes=2)
"""How long the nodes that were read for a new Job count as current."""

ACTIVE_READ = 500
"""How many warmups a launch with room reads: one page."""

NOT_PULLED = "status.successful=0"
"""
The field selector of Jobs without a pod that succeeded.

A Job that pulled its image exists for as long as its period, and most Jobs have; the API server
leaves these out. https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/batch/job/strategy.go
"""


def read_queue(cluster: "ClusterApi") -> list[JobState]:
    """
    Return the warmups that have not ended: the running ones, then the waiting ones, oldest first.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    queue = _sort(cluster.list_jobs(SELECTOR, NOT_PULLED))
    return [state for state in queue if not state.is_finished]


def read_active(cluster: "ClusterApi") -> list[JobState]:
    """
    Return the warmups that are not reported: those that wait, run, or have just ended.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    return _sort(cluster.list_jobs(f"{SELECTOR},{QUEUE_LABEL}"))


def read_for_launch(cluster: "ClusterApi", settings: "Settings") -> list[JobState]:
    """
    Return the running warmups and, if there is room for one more, a page of all.

    The cost does not depend on the number of warmups that wait: the end of a running one, which
    reads all of them, serves the others.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    running = list(cluster.list_jobs(f"{SELECTOR},{QUEUE_LABEL}={RUNNING}"))
    if sum(JobState.from_body(body).is_running for body in running) >= settings.max_running:
        return _sort(running)
    # One list shows which of them another instance has just resumed.
    active = islice(cluster.list_jobs(f"{SELECTOR},{QUEUE_LABEL}"), ACTIVE_READ)
    states = {body["metadata"]["name"]: body for body in (*running, *active)}
    return _sort(states.values())


def _sort(bodies: Iterable[Mapping[str, Any]]) -> list[JobState]:
    states = map(JobState.from_body, bodies)
    return sorted(states, key=lambda state: (not state.is_running, state.turn))


def read_unscheduled(
    cluster: "ClusterApi", queue: Iterable[JobState], now: "datetime"
) -> "list[UnscheduledWarmup]":
    """
    Return the running warmups whose pods have waited too long for a node.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    overdue = [each for each in queue if each.is_running and _may_be_overdue(each, now)]
    if not overdue:
        return []
    # Most deliveries need neither these modules nor the pods.
    from shared.domain.node_wait import UnscheduledWarmup
    from shared.pipeline.read_warmup import find_pods

    found = (UnscheduledWarmup.find(each, find_pods(cluster, each), now) for each in overdue)
    return [each for each in found if each is not None]


def _may_be_overdue(state: JobState, now: "datetime") -> bool:
    """Whether a Job runs for longer than its pod may wait for a node."""
    try:
        return now - parse_time(state.started) >= state.max_node_wait
    except ValueError:
        return False


def read_resumption(cluster: "ClusterApi", settings: "Settings", now: "datetime") -> ResumeJobs:
    """
    Return what happens to the queue of a cluster.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    queue = read_queue(cluster)
    plan = plan_resume(queue, settings, cluster.name, read_unscheduled(cluster, queue, now))
    return _refresh_nodes(cluster, queue, plan, now)


def resume_queue(
    cluster: "ClusterApi",
    queue: Sequence[JobState],
    settings: "Settings",
    now: "datetime",
    created: Collection[JobName] = (),
) -> ResumeJobs:
    """
    Return what happens to a queue that was read, with the nodes of warmups that waited for long.

    Warmups without a node keep their places: a report of the scheduler, and each sweep, look at
    their pods.

    Args:
        cluster: The cluster of the queue.
        queue: In the order of ``read_queue``.
        settings: How many warmups may run.
        now: The time of the event that is being handled.
        created: The Jobs that this delivery created: their nodes were just read.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    return _refresh_nodes(cluster, queue, plan_resume(queue, settings, cluster.name), now, created)


def _refresh_nodes(
    cluster: "ClusterApi",
    queue: Iterable[JobState],
    plan: ResumeJobs,
    now: "datetime",
    created: Collection[JobName] = (),
) -> ResumeJobs:
    resumed = set(plan.names[: max(plan.limit, 0)]) - set(created)
    waited = [each for each in queue if each.name in resumed and _may_be_stale(each, now)]
    if not waited:
        return plan
    # Most warmups are resumed as soon as they are created.
    from shared.pipeline.refresh_nodes import read_node_patch

    return replace(plan, patches={each.name: read_node_patch(cluster, each) for each in waited})


def _may_be_stale(state: JobState, now: "datetime") -> bool:
    """Whether a waiting warmup names nodes that were read long ago, and may still change them."""
    return not state.started and now - parse_time(state.created) > NODES_CURRENT_FOR


def plan_resume(
    queue: Sequence[JobState],
    settings: "Settings",
    cluster: "ClusterName",
    unscheduled: "Sequence[UnscheduledWarmup]" = (),
) -> ResumeJobs:
    """
    Return the waiting warmups to resume, in the order of their turns, and how many may run.

    Warmups without a node come last. One that ends keeps its place until it has ended.
    """
    again = [each.state for each in unscheduled if not each.is_exhausted]
    running = [each for each in queue if each.is_running]
    kept = [each for each in running if each not in again]
    turns = limit_tenants([*take_turns(queue), *again], kept, settings.max_running)
    releases = tuple(plan_release(each, cluster) for each in unscheduled)
    room = settings.max_running - len(running)
    return ResumeJobs(tuple(each.name for each in turns), room, releases)


def plan_release(unscheduled: "UnscheduledWarmup", cluster: "ClusterName") -> SuspendJob | EndJob:
    """Return the action that takes the place of a warmup without a node."""
    state = unscheduled.state
    if not unscheduled.is_exhausted:
        requeued = format_time(unscheduled.at.replace(microsecond=0))
        return SuspendJob(state.name, state.resource_version, unscheduled.attempts, requeued)
    from shared.domain.warmup_refusal import write_refusal

    refusal = write_refusal(unscheduled.as_report(str(cluster)))
    return EndJob(state.name, state.resource_version, refusal)
