"""How the pods of a Job ended: each counted once, also when it is gone by now."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.gke.job_failures import judge
from sandbox.gke.owners import is_deleting
from sandbox.kubernetes.bodies import Body, dig, items

_BACKOFF_FIRST_S = 10.0
_BACKOFF_MOST_S = 600.0


@dataclass(slots=True)
class Tally:
    """
    What the controller remembers of one Job's pods.

    The real one holds each pod by a finalizer until it is counted; here the last state of a
    deleted pod is kept instead.
    """

    succeeded: int = 0
    failed: int = 0
    failure: str | None = None
    """Why the podFailurePolicy fails the Job."""
    last_failure: datetime | None = None
    gone: list[Body] = field(default_factory=list)
    dismissed: set[str] = field(default_factory=set)
    """Pods that the controller itself took away; they count for nothing."""
    _counted: set[str] = field(default_factory=set)

    def count(self, job: Body, pods: Iterable[Body], now: datetime) -> None:
        """Count the pods that ended since the last time."""
        gone, self.gone = self.gone, []
        lost = {pod["metadata"]["uid"] for pod in gone}
        for pod in (*pods, *gone):
            uid = pod["metadata"]["uid"]
            if uid in self._counted:
                continue
            phase = dig(pod, "status", "phase")
            if phase == "Succeeded":
                self.succeeded += 1
            elif phase == "Failed" or uid in lost or _counts_early(job, pod):
                self._count_failure(job, pod, now)
            else:
                continue
            self._counted.add(uid)

    def backoff_s(self, now: datetime) -> float:
        """Return how long to wait before the next pod, after pods that failed."""
        if not self.failed or self.last_failure is None:
            return 0.0
        delay = min(_BACKOFF_FIRST_S * 2.0 ** (self.failed - 1), _BACKOFF_MOST_S)
        return max(delay - (now - self.last_failure).total_seconds(), 0.0)

    def _count_failure(self, job: Body, pod: Body, now: datetime) -> None:
        if pod["metadata"]["uid"] in self.dismissed:
            return
        judgement = judge(job, pod)
        self.failure = self.failure or judgement.failure
        if judgement.counts:
            self.failed += 1
            self.last_failure = now


def _counts_early(job: Body, pod: Body) -> bool:
    """Whether a pod that is being deleted has failed already; with a policy, its end is awaited."""
    return is_deleting(pod) and not replaces_failed_only(job)


def replaces_failed_only(job: Body) -> bool:
    """Whether a pod that is being deleted is replaced only once it has ended."""
    policy = dig(job, "spec", "podReplacementPolicy")
    has_rules = bool(items(job, "spec", "podFailurePolicy", "rules"))
    return policy == "Failed" or (policy is None and has_rules)
