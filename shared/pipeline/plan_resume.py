"""
Decide which warmups run next: suspended Jobs are the warmup queue.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shared.domain.action import ResumeJobs
from shared.domain.warmup_job import SELECTOR, JobName, JobState
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import JobsCluster

NOT_PULLED = "status.successful=0"
"""
A field selector for Jobs without a successful pod.

Successful warmups exist for a whole period and are nearly all of the Jobs; the API server leaves
them out. https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/batch/job/strategy.go
"""


def read_queue(cluster: "JobsCluster") -> list[JobState]:
    """
    Return the warmups that have not ended: running ones first, then in queue order.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    states = [JobState.from_body(body) for body in cluster.list_jobs(SELECTOR, NOT_PULLED)]
    unfinished = (state for state in states if not state.is_finished)
    return sorted(unfinished, key=lambda state: (not state.is_running, state.turn))


def find_excess(queue: Iterable[JobState], namespace_budget: int) -> frozenset[JobName]:
    """
    Return the waiting warmups over the budget of the namespace that requested them.

    The budget is counted from existing Jobs, so it needs no store and no lock. Two instances that
    create warmups at the same moment may exceed it together; the excess waits.

    Args:
        queue: In queue order.
        namespace_budget: How many warmups a namespace may have; 0 for no limit.
    """
    excess: set[JobName] = set()
    counts: Counter[str] = Counter()
    for state in queue:
        if not namespace_budget or state.asked_by is None:
            continue
        counts[state.asked_by] += 1
        if state.is_waiting and counts[state.asked_by] > namespace_budget:
            excess.add(state.name)
    return frozenset(excess)


def plan_next(queue: Sequence[JobState], settings: Settings) -> ResumeJobs:
    """Return the waiting warmups to resume, oldest first, and how many may run."""
    excess = find_excess(queue, settings.namespace_budget)
    names = [each.name for each in queue if each.is_waiting and each.name not in excess]
    room = settings.max_running - sum(each.is_running for each in queue)
    return ResumeJobs(tuple(names), room)
