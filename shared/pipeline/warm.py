"""Warm an image in a cluster: from a reference to its Jobs, or to the fact that says why not."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from shared.domain.cluster import ClusterName
from shared.domain.disposition import Outcome, ignored
from shared.domain.image_selection import Selection
from shared.domain.manifest import Manifest
from shared.domain.request import ReferenceRequest
from shared.domain.warmup_job import JobName, JobState
from shared.errors import ImageError
from shared.pipeline.memory import Memory, Turnstile
from shared.pipeline.mirror_lookup import Mirrors, MissingMirrorError, Source
from shared.pipeline.order import Order
from shared.pipeline.plan_resume import find_excess, read_queue, resume_waiting
from shared.pipeline.plan_warmup import Cluster, Launch, Launcher, choose_targets, given_targets
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.domain.fact import Fact


_MANIFEST_S = 300.0
"""How long a mirror's answer for a tag holds here; it is itself up to an hour behind upstream."""

_COMPLETE_S = 300.0
"""How long a warmup that was seen to be complete is taken to stand; others may fail any time."""


class FactLog(Protocol):
    """Where facts are written."""

    def write(self, fact: "Fact") -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Delivery:
    """A reference message, as it arrived."""

    request: ReferenceRequest
    message_id: str
    publish_time: datetime


class Warming:
    """
    Warms images in clusters.

    What an event asks for that this instance has just looked at is answered from memory. A person
    or the schedule is never answered so: they ask because they know of a change.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        mirrors: Mirrors,
        launcher: Launcher,
        connect: Callable[[ClusterName], Cluster],
        facts: FactLog,
    ) -> None:
        self._settings = settings
        self._mirrors = mirrors
        self._launcher = launcher
        self._connect = connect
        self._facts = facts
        self._selection = Selection(include=settings.include, exclude=settings.exclude)
        self._manifests = Memory[Manifest](_MANIFEST_S)
        self._complete = Memory[bool](_COMPLETE_S)
        self._turnstile = Turnstile()

    def warm(self, delivery: Delivery, cluster: ClusterName) -> Outcome:
        """
        Warm an image in a cluster, on every target that is asked for.

        Raises:
            TransientError: A service that is needed is unavailable.
            ConfigurationError: Our identity is refused, or the cluster lacks our manifests.
            UnknownClusterError: There is no such cluster.
        """
        request = delivery.request
        details: dict[str, Any] = {"image": request.image, "cluster": str(cluster)}
        try:
            source = self._mirrors.locate(request.reference, cluster.location)
            details["mirror"] = str(source.mirror)
            if not request.overrides_rules and not self._selection.admits(source.image):
                return ignored("the image is excluded by the configuration", **details)
            # First, as it tells whether there is such a cluster: no mirror is made for any other.
            connected = self._connect(cluster)
            with self._turnstile.passing((source.mirror, cluster)):
                manifest = self._resolve(source, request)
                details["digest"] = manifest.digest
                order = Order(request, delivery.message_id, delivery.publish_time, source, manifest)
                if names := self._recall_jobs(order, cluster):
                    details |= {"mirror": str(order.pulled), "known": names, "remembered": True}
                    return Outcome("handled", details)
                return self._warm_targets(delivery, connected, order, details)
        except MissingMirrorError as exc:
            would = {"would_create": [f"repository {exc.repository.name}"]}
            return Outcome("handled", details | {"dry_run": True} | would)
        except ImageError as exc:
            return Outcome("handled", details | self._settle(exc, delivery, details, target=None))

    def _resolve(self, source: Source, request: ReferenceRequest) -> Manifest:
        """Return what the mirror says of an image, or has just said."""
        known = self._manifests.recall(source.mirror) if _may_be_recalled(request) else None
        if known is not None:
            return known
        manifest = self._mirrors.resolve(source)
        # A tag of a repository that people push to may be moved at any time.
        if source.repository is not None or source.mirror.digest is not None:
            self._manifests.keep(source.mirror, manifest)
        return manifest

    def _recall_jobs(self, order: Order, cluster: ClusterName) -> list[JobName]:
        """Return the warmups of a request, if all have been seen to be complete; else none."""
        targets = given_targets(self._settings, order.request)
        if targets is None or not _may_be_recalled(order.request):
            return []
        names = [self._launcher.job_name(cluster, order, target) for target in targets]
        return names if all(map(self._complete.recall, names)) else []

    def _warm_targets(
        self, delivery: Delivery, cluster: Cluster, order: Order, details: dict[str, Any]
    ) -> Outcome:
        launched: dict[str, Launch] = {}
        failures: list[dict[str, Any]] = []
        details = details | {"mirror": str(order.pulled)}
        for target in choose_targets(self._settings, order.request, cluster):
            try:
                launched[target.name] = self._launcher.launch(cluster, order, target)
            except ImageError as exc:
                failures.append(self._settle(exc, delivery, details, target=target.name))
        queued = any(launch.result in {"created", "waiting"} for launch in launched.values())
        if queued and not self._settings.dry_run:
            failures += self._take_turns(delivery, cluster, launched, details)
        launches = launched.values()
        if not failures and all(launch.result == "too_small" for launch in launches):
            reason = f"the image is smaller than {self._settings.min_image_bytes} bytes"
            return ignored(reason, **details)
        for launch in launches:
            self._complete.keep(launch.job, launch.is_complete)
            details.setdefault(launch.result, []).append(launch.name)
            if launch.passed is not None:
                details.setdefault("passed", []).append(launch.passed)
        if self._settings.dry_run:
            details["dry_run"] = True
        # One target is the usual case: its outcome stands in the line itself.
        failed = {"failures": failures} if len(failures) > 1 else dict(*failures)
        return Outcome("handled", details | failed)

    def _take_turns(
        self,
        delivery: Delivery,
        cluster: Cluster,
        launched: dict[str, Launch],
        details: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Let the next run; give up what is beyond the budget of its namespace, and say which."""
        budget, namespace = self._settings.namespace_budget, delivery.request.cause.namespace
        queue = read_queue(cluster)
        excess = find_excess(queue, budget)
        # What another namespace asked for is its own delivery's to give up.
        states = {each.name: each for each in queue if each.name in excess}
        failures = []
        for target, launch in list(launched.items()):
            state = states.get(launch.job)
            if state is None or state.asked_by != namespace:
                continue
            error = _over_budget(state, budget)
            # Its fact first: without a Job nothing else would say what became of it.
            failures.append(self._settle(error, delivery, details, target=target))
            cluster.delete_job(state.name, state.uid)
            del launched[target]
        details["resumed"] = resume_waiting(
            cluster, queue, self._settings.max_running, passed_over=excess
        )
        return failures

    def _settle(
        self, error: ImageError, delivery: Delivery, details: dict[str, Any], *, target: str | None
    ) -> dict[str, Any]:
        """Write the fact of an image that cannot be warmed; return what the log line says."""
        from shared.domain.fact import Subject, WarmupFinished

        request = delivery.request
        at, key = delivery.publish_time, delivery.message_id
        if request.cause.kind == "schedule":
            # Each sweep asks again for what cannot be warmed; one fact a day says so.
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
        if not self._settings.dry_run:
            self._facts.write(finished.as_fact())
        said = {"outcome": error.outcome, "reason": str(error), "hint": error.hint}
        return said | ({"target": target} if target else {})


def _may_be_recalled(request: ReferenceRequest) -> bool:
    """Whether a burst of events may ask for it, rather than somebody who knows of a change."""
    return request.cause.kind in {"audit_log", "build", "push"} and not request.force


def _over_budget(state: JobState, budget: int) -> ImageError:
    return ImageError(
        "postponed",
        f"namespace {state.asked_by!r} has {budget} warmups waiting or running already, which is"
        " its budget",
        hint="Nothing, if it can wait: a sweep asks again while the image is in use. Or raise"
        " `namespace_budget` in prestream.yaml.",
    )
