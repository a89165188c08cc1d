"""
Mend the queue of warmups: what a lost event kept from being written or removed is done here.

Jobs end and are removed by themselves; what can be missing is that somebody took note of it.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.domain.fact import Fact
from shared.domain.json_access import field_at, text_of
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import (
    IMAGE_ANNOTATION,
    NOT_BEFORE_ANNOTATION,
    SELECTOR,
    JobName,
    JobState,
)
from shared.domain.warmup_outcome import FinishedJob
from shared.pipeline.plan_resume import Jobs
from shared.pipeline.report_warmup import Cluster as ReportedCluster
from shared.pipeline.report_warmup import JobChangedError, Reporting
from shared.settings.keys import Settings

_ANNOTATIONS = ("metadata", "annotations")

_RETRIES_A_PERIOD = 8
"""How often in a period a warmup that failed is tried again: its reason may have passed."""


class Cluster(ReportedCluster, Jobs, Protocol):
    """A cluster's API, as far as mending the queue needs it."""

    def delete_job(self, name: str, uid: str, version: str | None = None) -> None: ...  # noqa: D102


@dataclass(slots=True)
class Queue:
    """The warmup Jobs that stand in a cluster, as far as what is due depends on them."""

    retry_at: dict[JobName, datetime | None] = field(default_factory=dict)
    """Of each, when its warmup is due again; None where it is not: it warms, or has warmed."""
    complete: set[JobName] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    """What they warm or warmed, as users wrote it."""
    reported: int = 0
    removed: int = 0

    def is_served(self, name: JobName, now: datetime) -> bool:
        """Whether nothing is due, as a Job of that name stands and did not fail long ago."""
        if name not in self.retry_at:
            return False
        retry_at = self.retry_at[name]
        return retry_at is None or now < retry_at

    def has_warmed(self, name: JobName) -> bool:
        """Whether a Job of that name stands and is complete."""
        return name in self.complete


def mend_queue(cluster: Cluster, settings: Settings, reporting: Reporting, now: datetime) -> Queue:
    """
    Write the facts that are missing, remove what waited for too long, and return what stands.

    Raises:
        TransientError: The cluster or Cloud Logging is unavailable.
        ConfigurationError: One of them refuses our identity.
    """
    queue = Queue()
    period = timedelta(hours=settings.period_hours)
    for body in cluster.list_jobs(SELECTOR):
        state = JobState.from_body(body)
        over = parse_time(state.created) + period
        if state.is_waiting and over <= now:
            # What is still in use has another one by now, or gets it in this sweep.
            queue.removed += 1
            if not settings.dry_run:
                reporting.report_lapsed(cluster, body, over)
                # On that version only: its turn may have come in this very moment.
                cluster.delete_job(state.name, state.uid, state.resource_version)
            continue
        fact = _report(cluster, reporting, body)
        queue.reported += fact is not None
        queue.retry_at[state.name] = _retry_at(body, fact, period, now) if state.is_failed else None
        if state.is_complete:
            queue.complete.add(state.name)
        queue.images.add(text_of(field_at(body, (*_ANNOTATIONS, IMAGE_ANNOTATION))) or "")
    return queue


def _report(cluster: Cluster, reporting: Reporting, body: Mapping[str, Any]) -> Fact | None:
    try:
        return reporting.report_job(cluster, body)
    except JobChangedError:
        # The fact is written. Whoever was faster has marked the Job, or the next sweep does.
        return None


def _retry_at(
    body: Mapping[str, Any], fact: Fact | None, period: timedelta, now: datetime
) -> datetime:
    """Return when a warmup that failed is tried again: when that can help, or after a while."""
    marked = text_of(field_at(body, (*_ANNOTATIONS, NOT_BEFORE_ANNOTATION)))
    said = marked if fact is None else fact.payload["not_before"]
    with contextlib.suppress(ValueError):
        return parse_time(said or "")
    finished = FinishedJob.from_body(body)
    return now if finished is None else finished.at + period / _RETRIES_A_PERIOD
