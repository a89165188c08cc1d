"""Warm an image in a cluster: read, decide, and create its Jobs, or write the fact of a failure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from shared.domain.action import WriteFact
from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.domain.disposition import Outcome, ignored
from shared.domain.image_selection import Selection
from shared.domain.manifest import Manifest
from shared.domain.mirror import Source
from shared.domain.request import Delivery, ReferenceRequest
from shared.domain.warmup_job import JobName
from shared.errors import (
    ClusterRefusedError,
    ClusterUnavailableError,
    ImageError,
    TransientError,
)
from shared.pipeline.mirror_lookup import MissingMirrorError
from shared.pipeline.plan_resume import (
    read_for_launch,
    resume_queue,
)
from shared.pipeline.plan_warmup import WarmupPlan, plan_warmup
from shared.pipeline.resolved_request import ResolvedRequest, given_targets, job_name
from shared.pipeline.ttl_cache import KeyedLock, TtlCache
from shared.pipeline.upstream_limit import KnownLimitError, UpstreamLimits
from shared.pipeline.warmup_lookup import WarmupLookup

if TYPE_CHECKING:
    from shared.pipeline.execute import Executor
    from shared.pipeline.ports import ClusterApi

WarmupResult = Literal[
    "created",
    "waiting",
    "known",
    "postponed",
    "too_small",
    "would_create",
    "prewarming",
    "prewarmed",
]
"""The result for an image on a target, as the log line names it."""

_UNREACHABLE = (ClusterUnavailableError, ClusterRefusedError, UnknownClusterError)

_MANIFEST_S = 300.0
"""How long the answer of a mirror for a tag is reused; a mirror lags up to an hour behind."""

_COMPLETE_S = 300.0
"""How long a Job that was complete is assumed to exist; other Jobs may still fail."""


@dataclass(frozen=True, slots=True)
class _Warmed:
    """The result for an image on a target."""

    plan: WarmupPlan
    result: WarmupResult

    @property
    def name(self) -> str:
        """The entry in the log line: the Job, or the image that Artifact Registry prewarms."""
        return self.plan.artifact or self.plan.job or ""


class Warmer:
    """
    Warms images in clusters.

    A burst of events about one image is answered from caches of this instance. A manual or
    scheduled request never is, because it may follow a change.
    """

    def __init__(
        self,
        lookup: WarmupLookup,
        *,
        connect: "Callable[[ClusterName], ClusterApi]",
        is_watched: Callable[[ClusterName], bool],
        execute: "Executor",
    ) -> None:
        self._limits = UpstreamLimits(
            execute, lookup.settings.namespace, lookup.mirrors.may_be_limited
        )
        self._lookup = replace(lookup, limits=self._limits)
        self._settings = lookup.settings
        self._connect = connect
        self._is_watched = is_watched
        self._execute = execute
        self._selection = Selection(self._settings.include, self._settings.exclude)
        self._manifests = TtlCache[Manifest](_MANIFEST_S)
        self._complete = TtlCache[bool](_COMPLETE_S)
        self._lock = KeyedLock()

    def warm(self, delivery: Delivery, cluster: ClusterName) -> Outcome:
        """
        Warm an image in a cluster, or in the first of its fallbacks that can be reached.

        If none can be reached, the error is that of a cluster that may answer later, if there is
        one; otherwise it is the error of the cluster itself.

        Raises:
            TransientError: A service that is needed is unavailable.
            ConfigurationError: Our identity is refused.
            ClusterRefusedError: The cluster is not onboarded.
            UnknownClusterError: The cluster does not exist.
        """
        errors: list[Exception] = []
        for name in (cluster, *map(ClusterName.parse, delivery.request.fallbacks)):
            try:
                if errors and not self._is_watched(name):
                    continue
                outcome = self._warm_in(delivery, name)
            except _UNREACHABLE as exc:
                errors.append(exc)
            else:
                reached = {"unreachable": str(cluster)} if errors else {}
                return Outcome(outcome.disposition, {**outcome.details, **reached})
        # The others are final, and the delivery would be ignored.
        raise next((each for each in errors if isinstance(each, TransientError)), errors[0])

    def _warm_in(self, delivery: Delivery, cluster: ClusterName) -> Outcome:
        """
        Warm an image in a cluster, on every target that is wanted.

        Raises:
            TransientError: A service that is needed is unavailable.
            ConfigurationError: Our identity is refused, or the cluster lacks our manifests.
            UnknownClusterError: The cluster does not exist.
        """
        request = delivery.request
        details: dict[str, Any] = {"image": request.image, "cluster": str(cluster)}
        try:
            source = self._lookup.mirrors.locate(request.reference, cluster.location)
            details["mirror"] = str(source.mirror)
            if not request.overrides_rules and not self._selection.admits(source.image):
                return ignored("the image is excluded by the configuration", **details)
            # Before any mirror is created, because the cluster may not exist.
            connected = self._connect(cluster)
            with self._lock.hold((source.mirror, cluster)):
                try:
                    manifest = self._resolve(connected, source, delivery)
                except ImageError as exc:
                    failure = self._refuse(connected, delivery, source, details, exc)
                    return Outcome("handled", details | failure)
                details["digest"] = manifest.digest
                resolved = ResolvedRequest(
                    request, delivery.message_id, delivery.publish_time, source, manifest
                )
                if names := self._find_complete(resolved, cluster):
                    details |= {"mirror": str(resolved.pulled), "known": names, "remembered": True}
                    return Outcome("handled", details)
                return self._warm_targets(connected, resolved, details)
        except MissingMirrorError as exc:
            would = {"would_create": [f"repository {exc.repository.name}"]}
            return Outcome("handled", details | self._execute.details | would)
        except ImageError as exc:
            return Outcome("handled", details | self._report(delivery, details, exc, target=None))

    def _resolve(self, cluster: "ClusterApi", source: Source, delivery: Delivery) -> Manifest:
        """Return the manifest of an image, from the cache if the request allows it."""
        request = delivery.request
        cached = self._manifests.get(source.mirror) if _may_use_cache(request) else None
        if cached is not None:
            return cached
        if not request.force:
            # The later time: a delivery may be late, and clocks differ.
            now = max(datetime.now(UTC), delivery.publish_time)
            self._limits.check(cluster, source, now)
        manifest = self._lookup.mirrors.resolve(source)
        # In a repository that people push to, a tag may move at any time.
        if source.has_upstream or source.mirror.digest is not None:
            self._manifests.put(source.mirror, manifest)
        return manifest

    def _find_complete(self, resolved: ResolvedRequest, cluster: ClusterName) -> list[JobName]:
        """Return the Jobs of a request if the cache has all of them as complete; else none."""
        targets = given_targets(self._settings, resolved.request)
        if targets is None or not _may_use_cache(resolved.request):
            return []
        names = [job_name(self._settings, cluster, resolved, target) for target in targets]
        return names if all(map(self._complete.get, names)) else []

    def _warm_targets(
        self, cluster: "ClusterApi", resolved: ResolvedRequest, details: dict[str, Any]
    ) -> Outcome:
        warmed: dict[str, _Warmed] = {}
        failures: list[dict[str, Any]] = []
        details = details | {"mirror": str(resolved.pulled)}
        for target in self._lookup.find_targets(cluster, resolved.request):
            try:
                plan = plan_warmup(self._lookup.look_up(cluster, resolved, target), self._settings)
                warmed[target.name] = self._carry_out(cluster, plan)
            except ImageError as exc:
                failures.append(
                    self._refuse(
                        cluster, resolved, resolved.source, details, exc, target=target.name
                    )
                )
        if any(each.result in {"created", "waiting"} for each in warmed.values()):
            details |= self._fill_queue(cluster, resolved, warmed)
        if not failures and all(each.result == "too_small" for each in warmed.values()):
            reason = f"the image is smaller than {self._settings.min_image_bytes} bytes"
            return ignored(reason, **details)
        for each in warmed.values():
            self._complete.put(each.plan.job, each.plan.is_complete)
            details.setdefault(each.result, []).append(each.name)
            if each.plan.passed is not None:
                details.setdefault("passed", []).append(each.plan.passed)
        # With one target, the usual case, the line itself has the outcome.
        failed = {"failures": failures} if len(failures) > 1 else dict(*failures)
        return Outcome("handled", details | self._execute.details | failed)

    def _carry_out(self, cluster: "ClusterApi", plan: WarmupPlan) -> _Warmed:
        match plan.result:
            case "warm" | "warm_unless_small":
                done = self._execute.perform(plan.actions, cluster)
                return _Warmed(plan, self._execute.describe_creation(done))
            case settled:
                self._execute.perform(plan.actions, cluster)
                return _Warmed(plan, settled)

    def _fill_queue(
        self, cluster: "ClusterApi", resolved: ResolvedRequest, warmed: Mapping[str, _Warmed]
    ) -> dict[str, Any]:
        """Resume what may run, and return the fields of the log line."""
        created = [
            each.plan.job for each in warmed.values() if each.plan.job and each.result == "created"
        ]
        queue = self._execute.read_for_change(lambda: read_for_launch(cluster, self._settings))
        if queue is None:
            return {}
        return dict(
            self._execute.resume(
                cluster,
                lambda: resume_queue(
                    cluster, queue, self._settings, resolved.publish_time, created
                ),
            )
        )

    def _refuse(  # noqa: PLR0913  # each value has another source
        self,
        cluster: "ClusterApi",
        delivery: Delivery | ResolvedRequest,
        source: Source,
        details: Mapping[str, Any],
        error: ImageError,
        *,
        target: str | None = None,
    ) -> dict[str, Any]:
        """
        Write the fact of a refusal, and record a limit; return the details for the line.

        The fact comes first: once the limit is recorded, the events of a burst write no other.
        """
        if isinstance(error, KnownLimitError) and _may_use_cache(delivery.request):
            return _describe(error, target)
        failure = self._report(delivery, details, error, target=target)
        self._limits.remember(cluster, source, error)
        return failure

    def _report(
        self,
        delivery: Delivery | ResolvedRequest,
        details: Mapping[str, Any],
        error: ImageError,
        *,
        target: str | None,
    ) -> dict[str, Any]:
        """Write the fact of an image that cannot be warmed; return the details for the line."""
        self._execute.perform((plan_failure(delivery, details, error, target=target),))
        return _describe(error, target)


def _describe(error: ImageError, target: str | None) -> dict[str, Any]:
    failure = {"outcome": error.outcome, "reason": str(error), "hint": error.hint}
    return failure | ({"target": target} if target else {})


def plan_failure(
    delivery: Delivery | ResolvedRequest,
    details: Mapping[str, Any],
    error: ImageError,
    *,
    target: str | None,
) -> WriteFact:
    """Return the fact of an image that cannot be warmed, on a target or at all."""
    from shared.domain.fact import Subject, WarmupFinished

    request = delivery.request
    at, key, started_at = delivery.publish_time, delivery.message_id, None
    if request.cause.kind == "schedule":
        # Each sweep requests the image again; one fact a day is enough.
        started_at = at
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
        started_at=started_at,
        target=target,
        reason=str(error),
        hint=error.hint,
        not_before=error.not_before,
    )
    return WriteFact(finished.as_fact(), of_change=True)


def _may_use_cache(request: ReferenceRequest) -> bool:
    """Whether the request comes from an event, of which a burst is likely."""
    return request.cause.kind in {"audit_log", "build", "push"} and not request.force
