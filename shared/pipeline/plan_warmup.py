"""Decide whether a warmup Job is created: a pure function from what was read to actions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from shared.domain.action import Action, CreateJob, DeleteJob, ShareJob
from shared.domain.image_reference import ImageReference
from shared.domain.job_state import JobState
from shared.domain.json_access import number_of
from shared.domain.ladder import PREWARM_RUNG, Strategy
from shared.domain.request import ReferenceRequest
from shared.domain.tenant import (
    Tenant,
    TenantUsage,
    check_budgets,
    find_moved_bytes,
    find_tenant,
)
from shared.domain.warmup_job import (
    SIZE_ANNOTATION,
    STRATEGY_ANNOTATION,
    JobName,
    Warmup,
    time_to_live_s,
)
from shared.pipeline.resolved_request import SECONDS_PER_HOUR, ResolvedRequest, Target
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.choose_rung import RungChoice

PlanResult = Literal[
    "warm",
    "warm_unless_small",
    "waiting",
    "known",
    "postponed",
    "too_small",
    "prewarming",
    "prewarmed",
    "would_create",
]
"""
``warm``: a Job is created. ``warm_unless_small``: a Job is created if the image, whose size is
unknown, is large enough. ``waiting`` and ``known``: the Job of this period exists, suspended or
not. ``postponed``: the Job failed, and the registry named a later time for a retry. The other
results are for an image that Artifact Registry prewarms; in a dry run it is ``would_create``.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupSnapshot:
    """The known facts about an image on a target; None is unknown, or does not exist."""

    target: Target
    resolved: ResolvedRequest | None = None
    """None if the digest is unknown, as for a mirror that does not exist yet."""
    name: JobName | None = None
    """The name of the Job; None if the digest or the cluster is unknown."""
    job: Mapping[str, Any] | None = None
    """The Job of that name."""
    image_bytes: int | None = None
    """Compressed, on the requested platform or that of the chosen node."""
    choice: "RungChoice | None" = None
    """None if no cluster was asked, or if no rung is needed."""
    usage: TenantUsage | None = None
    """The usage of the tenant that requests it; None if no budget applies."""
    helper: ImageReference | None = None
    """The helper image by digest."""
    report: tuple[Action, ...] = ()
    """The actions that report the earlier Job of that name."""
    read_at: datetime | None = None
    """The time of the decision."""

    @property
    def tenant(self) -> Tenant | None:
        """The tenant that requests the image; None for a person."""
        if self.resolved is None:
            return None
        return find_tenant(self.resolved.request.cause, self.resolved.source.image)

    @property
    def state(self) -> JobState | None:
        """The state of the Job."""
        return None if self.job is None else JobState.from_body(self.job)

    @property
    def is_served(self) -> bool:
        """Whether the Job of this period exists and is not replaced, or not yet."""
        state = self.state
        return state is not None and (not state.is_replaceable or self.is_postponed)

    @property
    def is_postponed(self) -> bool:
        """Whether the Job failed and a retry is useless now; ``force`` tries all the same."""
        state, is_forced = self.state, self.resolved is not None and self.resolved.request.force
        if state is None or self.read_at is None or is_forced:
            return False
        return state.is_postponed(self.read_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupPlan:
    """The decision about an image on a target."""

    result: PlanResult
    job: JobName | None = None
    """The Job that exists or is created; None if its name is unknown."""
    rung: str | None = None
    image_bytes: int | None = None
    artifact: str | None = None
    """What Artifact Registry prewarms, instead of a Job."""
    passed: str | None = None
    """Why Artifact Registry does not, if the log line has to include it."""
    is_complete: bool = False
    """Whether the Job that exists has pulled the image."""
    actions: tuple[Action, ...] = ()


def plan_warmup(snapshot: WarmupSnapshot, settings: Settings) -> WarmupPlan:
    """
    Return what is done for an image on a target.

    A Job is created if none of this period exists, it failed or did not provably fill the cache,
    the image is not too small, a rung that needs a Job serves, and the budgets of the tenant allow
    it. The earlier Job is reported before it is deleted, so that its fact is not lost.

    Raises:
        ImageError: A budget of the tenant is used up (``postponed``).
    """
    plan = WarmupPlan(result="warm", job=snapshot.name, image_bytes=snapshot.image_bytes)
    state, choice = snapshot.state, snapshot.choice
    if snapshot.is_served and state is not None:
        plan = _describe_existing(plan, state, snapshot)
        return replace(plan, result="postponed") if snapshot.is_postponed else plan
    if _is_small(snapshot, settings):
        return replace(plan, result="too_small")
    if choice is not None and choice.prewarm is not None:
        step = choice.prewarm
        return replace(plan, result=step.result, rung=PREWARM_RUNG, artifact=step.artifact)
    strategy = choice.strategy if choice is not None else None
    if snapshot.image_bytes is None:
        plan = replace(plan, result="warm_unless_small")
    if strategy is None or choice is None:
        return plan
    tenant = snapshot.tenant
    if tenant is not None and snapshot.usage is not None:
        check_budgets(
            tenant,
            snapshot.usage,
            snapshot.image_bytes,
            number=settings.namespace_budget,
            daily_bytes=settings.namespace_daily_budget,
        )
    plan = replace(plan, rung=strategy.rung, passed=choice.passed)
    warmup = _make_warmup(snapshot, strategy, settings)
    if warmup is None:
        return plan
    deletion = () if state is None else (DeleteJob(state.name, state.uid),)
    creation = CreateJob(warmup, replaces=None if state is None else state.uid)
    return replace(plan, actions=(*snapshot.report, *deletion, creation))


def is_too_small(settings: Settings, request: ReferenceRequest, image_bytes: int | None) -> bool:
    """Whether an image starts fast anyway, and its request does not bypass the rule."""
    is_small = image_bytes is not None and image_bytes < settings.min_image_bytes
    return is_small and not request.overrides_rules


def _is_small(snapshot: WarmupSnapshot, settings: Settings) -> bool:
    resolved = snapshot.resolved
    return resolved is not None and is_too_small(settings, resolved.request, snapshot.image_bytes)


def _describe_existing(plan: WarmupPlan, state: JobState, snapshot: WarmupSnapshot) -> WarmupPlan:
    annotations = ((snapshot.job or {}).get("metadata") or {}).get("annotations") or {}
    tenant = snapshot.tenant
    is_shared = state.is_waiting and tenant is not None and tenant.label not in state.tenants
    return replace(
        plan,
        result="waiting" if state.is_waiting else "known",
        rung=annotations.get(STRATEGY_ANNOTATION),
        image_bytes=number_of(annotations.get(SIZE_ANNOTATION)),
        is_complete=state.is_complete,
        actions=(ShareJob(state.name, tenant.label),) if is_shared and tenant else (),
    )


def _make_warmup(snapshot: WarmupSnapshot, strategy: Strategy, settings: Settings) -> Warmup | None:
    """Return the warmup of a snapshot; None if the snapshot lacks what a Job needs."""
    resolved, name, at = snapshot.resolved, snapshot.name, snapshot.read_at
    tenant = snapshot.tenant
    if resolved is None or name is None or snapshot.image_bytes is None or at is None:
        return None
    return Warmup(
        name=name,
        namespace=settings.namespace,
        image=resolved.request.image,
        mirror=resolved.pulled,
        digest=resolved.manifest.digest,
        helper=snapshot.helper,
        tenant_label=None if tenant is None else tenant.label,
        spent_bytes=0 if snapshot.job is None else find_moved_bytes(snapshot.job, at),
        image_bytes=snapshot.image_bytes,
        target_name=snapshot.target.name,
        strategy=strategy,
        cause=resolved.request.cause,
        deadline_s=round(settings.deadline_minutes * 60),
        time_to_live_s=time_to_live_s(
            settings.period_hours * SECONDS_PER_HOUR,
            settings.max_event_age_hours * SECONDS_PER_HOUR,
        ),
        queued_at=at,
    )
