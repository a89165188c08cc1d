"""The warmups whose pods have waited too long for a node."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from shared.domain.cluster_event import Origin, PodUnschedulable
from shared.domain.job_state import JobState
from shared.domain.json_access import field_at, mappings_of, text_of
from shared.domain.timestamp import parse_time
from shared.domain.warmup_pod import Pod, uid_of

MAX_ATTEMPTS: Final = 3
"""How often a warmup may wait for a node in vain before it ends."""

_BEHIND_WARMUP = "anti-affinity rules"
"""
The scheduler's words for a node that fits, and on which another warmup runs.

Prestream's pods have no other anti-affinity, and the scheduler checks it after everything else:
https://github.com/kubernetes/kubernetes/blob/master/pkg/scheduler/framework/plugins/interpodaffinity/filtering.go
"""


@dataclass(frozen=True, slots=True)
class UnscheduledWarmup:
    """A running warmup whose pod has waited too long for a node."""

    state: JobState
    at: datetime
    """When it was seen to wait."""
    pod: str
    pod_uid: str | None
    message: str
    """The scheduler's message."""

    @classmethod
    def find(cls, state: JobState, pods: Sequence[Pod], now: datetime) -> Self | None:
        """
        Return the warmup if its newest pod has waited too long; else ``None``.

        Args:
            state: The Job.
            pods: Its pods, oldest first.
            now: The time of the event that is being handled, so that a late one ends nothing.
        """
        message = _find_refusal(pods[-1]) if pods else None
        if message is None:
            return None
        since = _since(state, pods[-1])
        if since is None or now - since < state.max_node_wait:
            return None
        name = text_of(field_at(pods[-1], ["metadata", "name"])) or ""
        return cls(state, now, name, uid_of(pods[-1]), message)

    @property
    def attempts(self) -> int:
        """
        The number of attempts that failed, with this one.

        A warmup that only waits for another warmup to leave the node has not failed.
        """
        return self.state.attempts + (_BEHIND_WARMUP not in self.message)

    @property
    def is_exhausted(self) -> bool:
        """Whether it has no more attempts."""
        return self.attempts >= MAX_ATTEMPTS

    def as_report(self, cluster: str) -> PodUnschedulable:
        """Return the report of the scheduler that the fact quotes."""
        return PodUnschedulable(
            Origin(
                cluster=cluster,
                kind="Pod",
                name=self.pod,
                uid=self.pod_uid,
                timestamp=self.at,
                message=self.message,
            )
        )


def _find_refusal(pod: Pod) -> str | None:
    """Return the scheduler's message; ``None`` for a pod that has a node or was not tried yet."""
    for condition in mappings_of(field_at(pod, ["status", "conditions"])):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return text_of(condition.get("message")) or "no node took the pod"
    return None


def _since(state: JobState, pod: Pod) -> datetime | None:
    """Return since when a pod waits, which is at most since the Job was last suspended."""
    created = _parse(field_at(pod, ["metadata", "creationTimestamp"]))
    requeued = _parse(state.requeued)
    return max((each for each in (created, requeued) if each), default=None)


def _parse(value: Any) -> datetime | None:
    try:
        return parse_time(text_of(value) or "")
    except ValueError:
        return None
