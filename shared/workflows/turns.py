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
    same oldest ones, and resuming one of them twice is resuming it once.
    """
    states = [JobState.from_body(body) for body in jobs.list_jobs(SELECTOR)]
    running = sum(state.is_running for state in states)
    waiting = sorted(
        (state for state in states if state.is_waiting),
        key=lambda state: (state.created, state.name),
    )
    resumed = []
    for state in waiting[: max(max_running - running, 0)]:
        patch = {
            "metadata": {"resourceVersion": state.resource_version},
            "spec": {"suspend": False},
        }
        if jobs.patch_job(state.name, patch):
            resumed.append(state.name)
    return resumed
