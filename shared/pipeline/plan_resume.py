"""
Whose turn it is: suspended Jobs are the queue, and Kubernetes keeps it.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from shared.domain.warmup_job import SELECTOR, JobName, JobState

NOT_PULLED = "status.successful=0"
"""
A field selector for the Jobs of which no pod has succeeded.

Warmups that pulled stand for as long as their period, and nearly all that stand are such; by this
the API server leaves them out. https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/batch/job/strategy.go
"""


class Jobs(Protocol):
    """The warmup Jobs of a cluster, as far as their turns need them."""

    def list_jobs(  # noqa: D102
        self, label_selector: str, field_selector: str = ""
    ) -> Iterable[dict[str, Any]]: ...
    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool: ...  # noqa: D102


def read_queue(jobs: Jobs) -> list[JobState]:
    """
    Return the warmups that have not ended, in the order of their turns.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    states = [JobState.from_body(body) for body in jobs.list_jobs(SELECTOR, NOT_PULLED)]
    standing = (state for state in states if not state.is_finished)
    return sorted(standing, key=lambda state: (not state.is_running, state.turn))


def find_excess(queue: Iterable[JobState], namespace_budget: int) -> frozenset[JobName]:
    """
    Return the warmups that wait though their namespace has as many before them as it may have.

    The budget is counted from the Jobs that stand, so it needs no store and no lock. Instances
    that make warmups at the same moment may each see room for one: then that many too many stand,
    and all but the first of them wait until there is room.

    Args:
        queue: In the order of their turns.
        namespace_budget: How many of a namespace may stand; 0 for no limit.
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


def resume_next(jobs: Jobs, max_running: int, *, namespace_budget: int = 0) -> list[JobName]:
    """
    Let the oldest waiting warmups run, up to the limit, and return which.

    Whoever makes a warmup or sees one end calls this after it.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    queue = read_queue(jobs)
    return resume_waiting(
        jobs, queue, max_running, passed_over=find_excess(queue, namespace_budget)
    )


def resume_waiting(
    jobs: Jobs, queue: Iterable[JobState], max_running: int, *, passed_over: frozenset[JobName]
) -> list[JobName]:
    """
    Let the first that wait in a queue run, up to the limit, and return which.

    Two that do so at once see the same oldest ones, and resuming one of them twice is resuming it
    once. Hence the patch names no resourceVersion: the Job controller writes the status of each
    new Job, and a turn that were lost to that write would come only with the next event.
    """
    standing = list(queue)
    room = max_running - sum(state.is_running for state in standing)
    resumed: list[JobName] = []
    for state in standing:
        if len(resumed) >= room:
            break
        if state.is_running or state.name in passed_over:
            continue
        # One that is gone by now leaves its turn to the next.
        if jobs.patch_job(state.name, {"spec": {"suspend": False}}):
            resumed.append(state.name)
    return resumed
