"""Warm an image in a cluster: from a reference to its Jobs, or to the fact that says why not."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from shared.domain.action import Action, CreateJob, DeleteJob, ResumeJobs, WriteFact
from shared.domain.cluster import ClusterName
from shared.domain.disposition import Outcome, ignored
from shared.domain.image_reference import ImageReference, parse_reference
from shared.domain.image_selection import Selection
from shared.domain.json_access import number_of
from shared.domain.ladder import PREWARM_RUNG
from shared.domain.manifest import Manifest
from shared.domain.request import ReferenceRequest
from shared.domain.warmup_job import (
    SIZE_ANNOTATION,
    STRATEGY_ANNOTATION,
    JobName,
    JobState,
)
from shared.errors import ConfigurationError, ImageError, TransientError
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import MissingMirrorError, Source
from shared.pipeline.order import Order, Target, given_targets, job_name
from shared.pipeline.plan_resume import find_excess, plan_next, read_queue
from shared.pipeline.plan_warmup import PlannedResult, WarmupPlan, WarmupSnapshot, plan_warmup
from shared.pipeline.ttl_cache import KeyedLock, TtlCache
from shared.pipeline.warmup_lookup import WarmupLookup, choose_targets
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import WarmedCluster

_MANIFEST_S = 300.0
"""How long a mirror's answer for a tag is reused; it is up to an hour old in any case."""

_COMPLETE_S = 300.0
"""How long a complete warmup is known without a read; any other warmup may fail at any time."""

Result = Literal[
    "created",
    "waiting",
    "known",
    "too_small",
    "would_create",
    "prewarming",
    "prewarmed",
]

_RESULTS: Mapping[PlannedResult, Result] = {
    "create": "would_create",
    "waiting": "waiting",
    "known": "known",
    "too_small": "too_small",
    "would_create": "would_create",
    "prewarming": "prewarming",
    "prewarmed": "prewarmed",
}
"""The result of each certain plan while it is not carried out."""

ReportJob = Callable[["WarmedCluster", Mapping[str, Any], Executor], object]
"""Writes the fact of a Job that ended, unless it is written already."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A reference message, as it arrived."""

    request: ReferenceRequest
    message_id: str
    publish_time: datetime


@dataclass(frozen=True, slots=True)
class WarmedTarget:
    """The result for one image on one target."""

    result: Result
    job: JobName
    rung: str | None = None
    """How the image is warmed; ``None`` if it is not, or if that is unknown."""
    image_bytes: int | None = None
    """Compressed size, on the platform of the node; ``None`` if unknown."""
    artifact: str | None = None
    """The artifact that Artifact Registry prewarms in place of a Job."""
    passed: str | None = None
    """Why the rung ``prewarm-api`` does not serve, if the log line has to include it."""
    is_complete: bool = False
    """Whether the existing Job has pulled the image."""

    @property
    def name(self) -> str:
        """The name in the log line."""
        return self.artifact or self.job


def describe_plan(snapshot: WarmupSnapshot, plan: WarmupPlan) -> WarmedTarget:
    """Return the result of a plan that is not carried out yet."""
    existing, step, warmup = snapshot.existing, snapshot.prewarm, snapshot.warmup
    target = WarmedTarget(
        _RESULTS[plan.result],
        snapshot.name,
        image_bytes=snapshot.image_bytes,
        passed=snapshot.passed,
    )
    if plan.result in {"waiting", "known"}:
        rung, size = _read_annotations(snapshot.body or {})
        is_complete = existing is not None and existing.is_complete
        return replace(target, rung=rung, image_bytes=size, is_complete=is_complete)
    if step is not None:
        return replace(target, rung=PREWARM_RUNG, artifact=step.artifact)
    return replace(target, rung=warmup.strategy.rung) if warmup and plan.actions else target


class Warmer:
    """
    Warms images in clusters.

    An event about an image that this instance has just read is answered from memory. A request of
    a person or of the schedule never is: it is made because something changed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        lookup: WarmupLookup,
        connect: "Callable[[ClusterName], WarmedCluster]",
        execute: Executor,
        report: ReportJob,
    ) -> None:
        """
        Wire the parts.

        Args:
            settings: The configuration.
            lookup: Reads mirrors, Jobs and nodes.
            connect: Connects to a cluster.
            execute: Performs the actions.
            report: Writes the fact of a Job that ended.
        """
        self._settings = settings
        self._mirrors = lookup.mirrors
        self._connect = connect
        self._execute = execute
        self._report = report
        self._lookup = lookup
        self._selection = Selection(include=settings.include, exclude=settings.exclude)
        self._manifests = TtlCache[Manifest](_MANIFEST_S)
        self._complete = TtlCache[bool](_COMPLETE_S)
        self._helpers: dict[str, ImageReference] = {}
        self._lock = KeyedLock()

    def warm(self, delivery: Delivery, cluster: ClusterName) -> Outcome:
        """
        Warm an image in a cluster, on every requested target.

        Raises:
            TransientError: A service is unavailable.
            ConfigurationError: Our identity is refused, or the cluster lacks our manifests.
            UnknownClusterError: The cluster does not exist.
        """
        request = delivery.request
        details: dict[str, Any] = {"image": request.image, "cluster": str(cluster)}
        try:
            source = self._mirrors.locate(request.reference, cluster.location)
            details["mirror"] = str(source.mirror)
            if not request.overrides_rules and not self._selection.admits(source.image):
                return ignored("the image is excluded by the configuration", **details)
            # Connect first: no mirror is created for a cluster that does not exist.
            connected = self._connect(cluster)
            with self._lock.hold((source.mirror, cluster)):
                manifest = self._resolve(source, request)
                details["digest"] = manifest.digest
                order = Order(request, delivery.message_id, delivery.publish_time, source, manifest)
                if names := self._recall_jobs(order, cluster):
                    details |= {"mirror": str(order.pulled), "known": names, "remembered": True}
                    return Outcome("handled", details)
                return self._warm_targets(order, connected, details)
        except MissingMirrorError as exc:
            would = {"would_create": [f"repository {exc.repository.name}"]}
            return Outcome("handled", details | {"dry_run": True} | would)
        except ImageError as exc:
            return Outcome("handled", details | self._settle(exc, delivery, details, target=None))

    def _resolve(self, source: Source, request: ReferenceRequest) -> Manifest:
        """Return the mirror's answer for an image, from memory if that is allowed."""
        known = self._manifests.get(source.mirror) if _may_be_recalled(request) else None
        if known is not None:
            return known
        manifest = self._mirrors.resolve(source)
        # A tag in a repository that people push to can move at any time.
        if source.repository is not None or source.mirror.digest is not None:
            self._manifests.put(source.mirror, manifest)
        return manifest

    def _recall_jobs(self, order: Order, cluster: ClusterName) -> list[JobName]:
        """Return the warmups of a request if all are known to be complete, else an empty list."""
        targets = given_targets(self._settings, order.request)
        if targets is None or not _may_be_recalled(order.request):
            return []
        names = [job_name(self._settings, cluster, order, target) for target in targets]
        return names if all(map(self._complete.get, names)) else []

    def _warm_targets(
        self, order: Order, cluster: "WarmedCluster", details: dict[str, Any]
    ) -> Outcome:
        warmed: dict[str, WarmedTarget] = {}
        failures: list[dict[str, Any]] = []
        details = details | {"mirror": str(order.pulled)}
        for target in choose_targets(self._settings, order.request, cluster):
            try:
                warmed[target.name] = self._warm_target(cluster, order, target)
            except ImageError as exc:
                failures.append(self._settle(exc, order, details, target=target.name))
        is_queued = any(each.result in {"created", "waiting"} for each in warmed.values())
        if is_queued and not self._execute.dry_run:
            failures += self._run_queue(cluster, order, warmed, details)
        return self._describe(warmed.values(), failures, details)

    def _warm_target(self, cluster: "WarmedCluster", order: Order, target: Target) -> WarmedTarget:
        """
        Create the Job of this period, unless it exists or is not needed.

        Raises:
            ImageError: The image has no manifest for the platform, or no rung can serve.
            TransientError: A service is unavailable, or the failed Job still exists.
            ConfigurationError: Our identity is refused, or the cluster lacks our manifests.
        """
        snapshot = self._lookup.look_up(cluster, order, target)
        plan = plan_warmup(snapshot)
        warmed = describe_plan(snapshot, plan)
        if not plan.actions:
            return warmed
        is_created = self._execute.create(
            cluster, lambda: self._prepare(cluster, snapshot, plan.actions)
        )
        if is_created is None:
            return warmed
        failed = snapshot.existing
        if not is_created and failed is not None:
            _check_replaced(failed, cluster.fetch_job(snapshot.name))
        return replace(warmed, result="created" if is_created else "waiting")

    def _prepare(
        self, cluster: "WarmedCluster", snapshot: WarmupSnapshot, actions: Iterable[Action]
    ) -> list[Action]:
        """Return the actions with the helper image; the fact of a replaced Job is written first."""
        helper = self._resolve_helper(cluster.name)
        if snapshot.body is not None:
            self._report(cluster, snapshot.body, self._execute)
        return [
            CreateJob(replace(each.warmup, helper=helper)) if isinstance(each, CreateJob) else each
            for each in actions
        ]

    def _resolve_helper(self, cluster: ClusterName) -> ImageReference:
        """Return the helper image by digest, from its mirror; read once per instance and region."""
        if cluster.location not in self._helpers:
            self._helpers[cluster.location] = self._read_helper(cluster)
        return self._helpers[cluster.location]

    def _read_helper(self, cluster: ClusterName) -> ImageReference:
        text = self._settings.helper_image
        try:
            # Also for a known digest: the mirror may have to be created.
            source = self._mirrors.locate(parse_reference(text), cluster.location)
            digest = self._mirrors.resolve(source).digest
            self._mirrors.confirm(source)
            return source.mirror.at(digest)
        except ImageError as exc:
            message = f"helper_image {text!r} cannot be used: {exc}. {exc.hint}"
            if exc.outcome == "postponed":
                raise TransientError(message) from exc
            raise ConfigurationError(message) from exc

    def _run_queue(
        self,
        cluster: "WarmedCluster",
        order: Order,
        warmed: dict[str, WarmedTarget],
        details: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Resume the next warmups; delete and report those over the budget of the namespace."""
        budget, failures = self._settings.namespace_budget, []
        queue = read_queue(cluster)
        excess = find_excess(queue, budget)
        # Warmups of another namespace are deleted by that namespace's own delivery.
        own = {
            each.name: each
            for each in queue
            if each.name in excess and each.asked_by == order.request.cause.namespace
        }
        for target, state in [
            (name, own[each.job]) for name, each in warmed.items() if each.job in own
        ]:
            error = _over_budget(state, budget)
            # The fact first: without a Job nothing else records the result.
            failures.append(self._settle(error, order, details, target=target))
            self._execute.perform((DeleteJob(state.name, state.uid),), cluster)
            del warmed[target]
        details["resumed"] = self._execute.resume(cluster, lambda: self._plan_next(queue))
        return failures

    def _plan_next(self, queue: list[JobState]) -> ResumeJobs:
        return plan_next(queue, self._settings)

    def _describe(
        self,
        warmed: Iterable[WarmedTarget],
        failures: list[dict[str, Any]],
        details: dict[str, Any],
    ) -> Outcome:
        targets = list(warmed)
        if not failures and all(each.result == "too_small" for each in targets):
            reason = f"the image is smaller than {self._settings.min_image_bytes} bytes"
            return ignored(reason, **details)
        for each in targets:
            self._complete.put(each.job, each.is_complete)
            details.setdefault(each.result, []).append(each.name)
            if each.passed is not None:
                details.setdefault("passed", []).append(each.passed)
        details |= self._execute.details
        # One target is the usual case: its failure is part of the line itself.
        failed = {"failures": failures} if len(failures) > 1 else dict(*failures)
        return Outcome("handled", details | failed)

    def _settle(
        self,
        error: ImageError,
        order: Order | Delivery,
        details: dict[str, Any],
        *,
        target: str | None,
    ) -> dict[str, Any]:
        """Write the fact of an image that cannot be warmed, and return the fields of the line."""
        from shared.domain.fact import Subject, WarmupFinished

        request = order.request
        at, key = order.publish_time, order.message_id
        if request.cause.kind == "schedule":
            # Each sweep requests an image that cannot be warmed again; one fact a day is enough.
            at, key = at.replace(hour=0, minute=0, second=0, microsecond=0), error.outcome
        finished = WarmupFinished(
            subject=Subject(
                image=request.image,
                mirror=details.get("mirror"),
                digest=details.get("digest"),
                cluster=details["cluster"],
                cause=request.cause,
            ),
            outcome=error.outcome,
            at=at,
            message_id=key,
            target=target,
            reason=str(error),
            hint=error.hint,
            not_before=error.not_before,
        )
        self._execute.perform((WriteFact(finished.as_fact(), of_change=True),))
        fields = {"outcome": error.outcome, "reason": str(error), "hint": error.hint}
        return fields | ({"target": target} if target else {})


def _may_be_recalled(request: ReferenceRequest) -> bool:
    """Whether the request comes from an event, of which a burst is likely."""
    return request.cause.kind in {"audit_log", "build", "push"} and not request.force


def _read_annotations(body: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """Return the rung and the image's size from the annotations of a Job."""
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    return annotations.get(STRATEGY_ANNOTATION), number_of(annotations.get(SIZE_ANNOTATION))


def _check_replaced(failed: JobState, body: Mapping[str, Any] | None) -> None:
    """Check that another instance has replaced a failed Job."""
    if body is None or JobState.from_body(body).uid == failed.uid:
        raise TransientError(f"failed Job {failed.name} is still being deleted")


def _over_budget(state: JobState, budget: int) -> ImageError:
    return ImageError(
        "postponed",
        f"namespace {state.asked_by!r} has {budget} warmups waiting or running already, which is"
        " its budget",
        hint="Nothing, if it can wait: a sweep asks again while the image is in use. Or raise"
        " `namespace_budget` in prestream.yaml.",
    )
