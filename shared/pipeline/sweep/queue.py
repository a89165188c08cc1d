"""
Repair the warmup queue: write the facts and remove the Jobs that a lost event left behind.

Jobs end by themselves and expire by their TTL; only their facts can be missing.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.domain.action import Action, DeleteJob, WriteFact
from shared.domain.cluster import ClusterName
from shared.domain.fact import Fact
from shared.domain.image_state import WarmupRecord, read_job_progress
from shared.domain.job_state import JobState
from shared.domain.json_access import field_at, mapping_of, text_of
from shared.domain.ladder import platform_of
from shared.domain.placement import Placement
from shared.domain.postponement import Postponement
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import (
    APP_LABELS,
    IMAGE_ANNOTATION,
    MIRROR_ANNOTATION,
    OWN_SELECTOR,
    TARGET_LABEL,
    JobName,
    has_labels,
)
from shared.domain.warmup_outcome import FinishedJob
from shared.pipeline.execute import ConflictError, Executor
from shared.pipeline.read_warmup import is_warmup
from shared.pipeline.report_warmup import make_lapsed_fact, report_job
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import ClusterApi

_ANNOTATIONS = ("metadata", "annotations")
_LABELS = ("metadata", "labels")
_NODE_SELECTOR = ("spec", "template", "spec", "nodeSelector")

_RETRIES_PER_PERIOD = 8
"""How often a failed warmup is tried again in a period: the cause may have passed."""


@dataclass(frozen=True, slots=True)
class ExistingWarmup:
    """A warmup Job that exists, as far as it decides what is due."""

    name: JobName
    image: str
    """The image as the user wrote it."""
    is_complete: bool
    retry_at: datetime | None
    """When the image is due again before its period ends; None if it is not."""
    pulled: str
    """The reference that nodes pull: the mirror's, by digest."""
    target: str
    """The name of the target."""
    platform: str | None
    """The platform of the nodes that may pull it; None if any may."""
    record: WarmupRecord
    is_recent: bool = True
    """Whether it was created within a period."""


@dataclass(slots=True)
class WarmupQueue:
    """The warmup Jobs that exist in a cluster, and what the repair did."""

    warmups: dict[JobName, ExistingWarmup] = field(default_factory=dict)
    postponements: dict[JobName, Postponement] = field(default_factory=dict)
    """The images that their registries still postpone."""
    reported: int = 0
    removed: int = 0

    @property
    def images(self) -> frozenset[str]:
        """The images that a recent warmup is of, as users wrote them."""
        return frozenset(each.image for each in self.warmups.values() if each.is_recent)

    def is_served(self, name: JobName, now: datetime) -> bool:
        """Whether a Job of that name exists and is not due again."""
        warmup = self.warmups.get(name)
        return warmup is not None and (warmup.retry_at is None or now < warmup.retry_at)

    def has_pulled(self, name: JobName) -> bool:
        """Whether a Job of that name exists and is complete."""
        warmup = self.warmups.get(name)
        return warmup is not None and warmup.is_complete


def repair_queue(
    cluster: "ClusterApi", settings: Settings, execute: Executor, now: datetime
) -> WarmupQueue:
    """
    Write missing facts, remove warmups that were not resumed in a period, and return the rest.

    Raises:
        TransientError: The cluster or Cloud Logging is unavailable.
        ConfigurationError: One of them refuses our identity.
    """
    queue = WarmupQueue()
    period = timedelta(hours=settings.period_hours)
    for body in cluster.list_jobs(OWN_SELECTOR):
        if not has_labels(body, APP_LABELS):
            _keep_postponement(queue, cluster, body, execute, now)
            continue
        removal = plan_removal(body, cluster.name, period, now)
        if removal:
            queue.removed += 1
            execute.perform(removal, cluster)
            continue
        fact = _report(cluster, body, execute)
        queue.reported += fact is not None
        warmup = read_warmup(body, fact, period, now)
        queue.warmups[warmup.name] = warmup
    return queue


def _keep_postponement(
    queue: WarmupQueue,
    cluster: "ClusterApi",
    body: Mapping[str, Any],
    execute: Executor,
    now: datetime,
) -> None:
    """Keep the record of a postponed image, or delete it once a retry can help."""
    postponement = Postponement.from_body(body)
    if postponement is None:
        return
    if postponement.not_before > now:
        queue.postponements[postponement.name] = postponement
        return
    state = JobState.from_body(body)
    execute.perform((DeleteJob(state.name, state.uid, state.resource_version),), cluster)


def plan_removal(
    body: Mapping[str, Any], cluster: ClusterName, period: timedelta, now: datetime
) -> tuple[Action, ...]:
    """
    Return the actions that remove a warmup which was not resumed in a period; else none.

    An image still in use has a newer warmup, or gets one in this sweep.
    """
    state = JobState.from_body(body)
    over = parse_time(state.created) + period
    if not state.is_waiting or over > now:
        return ()
    # Only in the version read: the Job may be resumed at this moment.
    deletion = DeleteJob(state.name, state.uid, state.resource_version)
    if not is_warmup(body):
        return (deletion,)
    return (WriteFact(make_lapsed_fact(cluster, body, over), of_change=True), deletion)


def read_warmup(
    body: Mapping[str, Any], fact: Fact | None, period: timedelta, now: datetime
) -> ExistingWarmup:
    """
    Return a warmup Job that exists.

    Args:
        body: The Job.
        fact: Its fact, if it was made in this sweep: the Job read has no mark of it.
        period: The time after which an image is due again.
        now: The time of a retry if the end of the Job is unknown.
    """
    state, finished = JobState.from_body(body), FinishedJob.from_body(body)
    selector = mapping_of(field_at(body, _NODE_SELECTOR))
    return ExistingWarmup(
        name=state.name,
        image=text_of(field_at(body, (*_ANNOTATIONS, IMAGE_ANNOTATION))) or "",
        is_complete=state.is_complete,
        retry_at=_find_retry(body, fact, period, now),
        is_recent=parse_time(state.created) + period > now,
        pulled=text_of(field_at(body, (*_ANNOTATIONS, MIRROR_ANNOTATION))) or "",
        target=text_of(field_at(body, (*_LABELS, TARGET_LABEL))) or "",
        platform=platform_of(Placement.of(selector)),
        record=WarmupRecord(
            read_job_progress(state, None if fact is None else fact.payload),
            parse_time(state.created) if finished is None else finished.at,
        ),
    )


def _report(cluster: "ClusterApi", body: Mapping[str, Any], execute: Executor) -> Fact | None:
    try:
        return report_job(cluster, body, execute)
    except ConflictError:
        # The fact is written. The other writer, or the next sweep, marks the Job.
        return None


def _find_retry(
    body: Mapping[str, Any], fact: Fact | None, period: timedelta, now: datetime
) -> datetime | None:
    """
    Return when an image is due again before its period ends.

    A failed warmup is retried at the time that the registry named, or later. If a warmup found
    the image on its node, or it is unknown whether it did, the image is due now.
    """
    state = JobState.from_body(body)
    if not state.is_failed:
        is_known = state.outcome is not None or fact is not None
        progress = read_job_progress(state, None if fact is None else fact.payload)
        return now if is_known and progress == "held" else None
    not_before = state.not_before if fact is None else fact.payload["not_before"]
    with contextlib.suppress(ValueError):
        return parse_time(not_before or "")
    finished = FinishedJob.from_body(body)
    return now if finished is None else finished.at + period / _RETRIES_PER_PERIOD
