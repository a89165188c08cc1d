"""
Decide whether a warmup Job is created: a pure function from what was read to actions.

Any field of a snapshot may be unknown. The step reads until the plan is certain; ``prestream plan``
also shows plans that are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from shared.domain.action import Action, CreateJob, DeleteJob
from shared.domain.ladder import Strategy
from shared.domain.warmup_job import JobName, JobState, Warmup, time_to_live_s
from shared.pipeline.order import SECONDS_PER_HOUR, Order, Target

if TYPE_CHECKING:
    from shared.pipeline.prewarm_artifact import PrewarmStep
    from shared.settings.keys import Settings

PlannedResult = Literal[
    "create", "waiting", "known", "too_small", "prewarming", "prewarmed", "would_create", "unknown"
]
"""
The decision about one image on one target.

``waiting`` and ``known``: the Job of this period exists, and is suspended or not. The results of
the rung ``prewarm-api`` are those of ``PrewarmStep``. ``unknown``: more has to be read.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupSnapshot:
    """Everything that was read about the warmup of one image on one target."""

    name: JobName
    body: Mapping[str, Any] | None = None
    """The Job of that name, if it exists."""
    image_bytes: int | None = None
    """Compressed, on the platform of the node; ``None`` if unknown."""
    min_image_bytes: int = 0
    """Size below which the image is skipped; 0 if the request bypasses the rule."""
    prewarm: "PrewarmStep | None" = None
    """The progress of prewarming, if that rung serves."""
    warmup: Warmup | None = None
    """The Job to create; ``None`` if no node was chosen yet."""
    passed: str | None = None
    """Why the rung ``prewarm-api`` does not serve, if the log line has to include it."""

    @property
    def existing(self) -> JobState | None:
        """The state of the existing Job."""
        return None if self.body is None else JobState.from_body(self.body)


@dataclass(frozen=True, slots=True)
class WarmupPlan:
    """The decision, and the actions that carry it out."""

    result: PlannedResult
    actions: tuple[Action, ...] = ()


def plan_warmup(snapshot: WarmupSnapshot) -> WarmupPlan:
    """Return whether a Job is created, and the actions for it."""
    existing = snapshot.existing
    if existing is not None and not existing.is_failed:
        return WarmupPlan("waiting" if existing.is_waiting else "known")
    if snapshot.image_bytes is not None and snapshot.image_bytes < snapshot.min_image_bytes:
        return WarmupPlan("too_small")
    if snapshot.prewarm is not None:
        return WarmupPlan(snapshot.prewarm.result)
    if snapshot.warmup is None:
        return WarmupPlan("unknown")
    replaced = () if existing is None else (DeleteJob(existing.name, existing.uid),)
    return WarmupPlan("create", (*replaced, CreateJob(snapshot.warmup)))


def make_warmup(  # noqa: PLR0913  # each value has another source
    settings: "Settings",
    name: JobName,
    order: Order,
    target: Target,
    strategy: Strategy,
    *,
    image_bytes: int,
    now: datetime,
) -> Warmup:
    """Return the warmup Job of one image on one target; its helper image is resolved later."""
    return Warmup(
        name=name,
        namespace=settings.namespace,
        image=order.request.image,
        mirror=order.pulled,
        digest=order.manifest.digest,
        image_bytes=image_bytes,
        target_name=target.name,
        strategy=strategy,
        cause=order.request.cause,
        deadline_s=round(settings.deadline_minutes * 60),
        time_to_live_s=time_to_live_s(
            settings.period_hours * SECONDS_PER_HOUR,
            settings.max_event_age_hours * SECONDS_PER_HOUR,
        ),
        queued_at=now,
    )


def with_strategy(snapshot: WarmupSnapshot, warmup: Warmup, passed: str | None) -> WarmupSnapshot:
    """Return a snapshot in which the node is chosen."""
    return replace(snapshot, warmup=warmup, image_bytes=warmup.image_bytes, passed=passed)
