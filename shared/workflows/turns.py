"""
Whose turn it is: suspended Jobs are the queue, and Kubernetes keeps it.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from shared.domain.jobs import SELECTOR, JobName, JobState


class Jobs(Protocol):
    """The warmup Jobs of a cluster, as far as their turns need them."""

    def list_jobs(self, label_selector: str) -> Iterable[dict[str, Any]]: ...  # noqa: D102
    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool: ...  # noqa: D102


def resume_next(jobs: Jobs, max_running: int) -> list[JobName]:
    """
    Let the oldest waiting warmups run, up to the limit, and return which.

    Whoever makes a warmup or sees one end calls this after it. Two that do so at once see the
    same oldest ones, and resuming one of them twice is resuming it once. Hence the patch names no
    resourceVersion: the Job controller writes the status of each new Job, and a turn that were
    lost to that write would come only with the next event.
    """
    states = [JobState.from_body(body) for body in jobs.list_jobs(SELECTOR)]
    room = max_running - sum(state.is_running for state in states)
    waiting = sorted(
        (state for state in states if state.is_waiting),
        key=lambda state: (state.created, state.queued, state.name),
    )
    resumed: list[JobName] = []
    for state in waiting:
        if len(resumed) >= room:
            break
        # One that is gone by now leaves its turn to the next.
        if jobs.patch_job(state.name, {"spec": {"suspend": False}}):
            resumed.append(state.name)
    return resumed
