"""Sweep a cluster: read what it uses, decide what is due, and publish a reference for it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from shared.domain.action import Publish, WriteFact
from shared.domain.cluster import ClusterName
from shared.domain.disposition import Outcome, ignored
from shared.domain.fact import EventName, Fact, Subject, make_insert_id
from shared.domain.ladder import PREWARM_RUNG
from shared.domain.manifest import Manifest
from shared.domain.manifests_version import MANIFESTS_VERSION, read_version
from shared.domain.postponement import postponement_name
from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.request import Cause, ReferenceRequest
from shared.domain.warmup_job import JobName
from shared.errors import ClusterRefusedError
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors, MissingMirrorError
from shared.pipeline.plan_resume import read_resumption
from shared.pipeline.sweep.coverage import Coverage
from shared.pipeline.sweep.due import (
    Candidate,
    Due,
    ImageInUse,
    Sweep,
    due,
    find_candidates,
    find_prewarm_request,
    group_images,
    is_kept,
    name_candidates,
    plan_moves,
    request_all,
)
from shared.pipeline.sweep.inventory import read_inventory
from shared.pipeline.sweep.queue import repair_queue
from shared.pipeline.sweep.renew import PrewarmCandidate, Renewal, plan_renewals
from shared.pipeline.upstream_budget import UpstreamBudget
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import ClusterApi
    from shared.pipeline.prewarm_artifact import PrewarmRung
    from shared.pipeline.sweep.prewarmed_storage import PrewarmedStorage
    from shared.pipeline.sweep.rung_check import RungCheck

_BATCH = 500
"""The number of references published at once, so that a sweep that dies has done a part of them."""

_MAX_NAMED = 20
"""The number of images in each list of the log line."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Sweeps clusters; repeated or interrupted sweeps have the same effect as one."""

    settings: Settings
    mirrors: Mirrors
    """Mirrors that are only read: ``image_reference`` creates missing ones."""
    execute: Executor
    prewarm: "PrewarmRung | None"

    def sweep(self, cluster: "ClusterApi", message_id: str, now: datetime) -> Outcome:
        """
        Sweep a cluster.

        Args:
            cluster: A connection to it.
            message_id: The ID of the tick.
            now: The publish time of the tick, which decides what is due.

        Raises:
            TransientError: A service that is needed is unavailable.
            ConfigurationError: One of them refuses our identity.
        """
        queue = repair_queue(cluster, self.settings, self.execute, now)
        # Before everything that can fail, so that no warmup waits for it.
        served = self.execute.resume(cluster, lambda: read_resumption(cluster, self.settings, now))
        inventory = read_inventory(cluster, self.settings)
        sweep = Sweep(self.settings, cluster.name, message_id, now, queue, inventory)
        budget = UpstreamBudget(self.mirrors, self.settings.sweep_share, self.settings.upstreams)
        from shared.pipeline.sweep.rung_check import RungCheck

        storage = self._open_storage()
        rungs = RungCheck(sweep, cluster, storage)
        run = _Run(sweep, self.mirrors, self.execute, budget, storage, rungs)
        bypasses: tuple[WriteFact, ...] = ()
        if inventory.bypassing:
            # Most sweeps find none.
            from shared.pipeline.sweep.bypass import plan_bypasses, read_opted_in

            bypasses = plan_bypasses(sweep, read_opted_in(cluster))
        details = {
            "cluster": str(cluster.name),
            "workloads": inventory.workloads,
            "reported": queue.reported,
            "removed": queue.removed,
            **served,
        }
        details |= run.finish(bypasses) | find_outdated(cluster, self.settings)
        return Outcome("handled", details | self.execute.details)

    def report_refusal(
        self, cluster: ClusterName, message_id: str, now: datetime, error: Exception
    ) -> Outcome:
        """
        Report a watched cluster that is not onboarded, by a fact that each day has once.

        Raises:
            TransientError: Cloud Logging is unavailable.
            ConfigurationError: It refuses our identity.
        """
        action = plan_refusal(cluster, message_id, now, error, self.settings)
        self.execute.perform((action,))
        return ignored(str(error), cluster=str(cluster), fact=action.fact.event)

    def _open_storage(self) -> "PrewarmedStorage | None":
        if self.prewarm is None or PREWARM_RUNG not in self.settings.ladder:
            return None
        from shared.pipeline.sweep.prewarmed_storage import PrewarmedStorage

        return PrewarmedStorage(self.prewarm)


def find_outdated(cluster: "ClusterApi", settings: Settings) -> dict[str, Any]:
    """Return the details of manifests of an earlier version; empty if they are current."""
    try:
        version = read_version(cluster.fetch_namespace())
    except ClusterRefusedError:
        version = read_version(None)
    if version >= MANIFESTS_VERSION:
        return {}
    hint = _write_command(cluster.name, settings)
    outdated = {"version": version, "needed": MANIFESTS_VERSION, "hint": hint}
    return {"outdated_manifests": outdated}


def _write_command(cluster: ClusterName, settings: Settings) -> str:
    command = (
        f'kubectl kustomize infra/kubernetes | sed "s/PROJECT_ID/{settings.deployment_project}/"'
        f" | kubectl --context={cluster.context} apply -f -"
    )
    return f"Apply Prestream's manifests to the cluster: `{command}`."


def plan_refusal(
    cluster: ClusterName, message_id: str, now: datetime, error: Exception, settings: Settings
) -> WriteFact:
    """Return the fact of a cluster that refuses us, with the command that onboards it."""
    hint = (
        f"{_write_command(cluster, settings)} If it need not be watched,"
        " leave it out of `clusters` in prestream.yaml."
    )
    subject = Subject(cluster=str(cluster), cause=Cause("schedule", message_id))
    event: EventName = "cluster.not_onboarded"
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    payload = {"event": event, **subject.as_json(), "reason": str(error), "hint": hint}
    insert_id = make_insert_id(event, [str(cluster), day.date().isoformat()])
    return WriteFact(Fact(event, payload, insert_id, day, "WARNING"))


@dataclass(slots=True)
class _Run:
    """The part of a sweep that asks registries and Artifact Registry, with its progress."""

    sweep: Sweep
    mirrors: Mirrors
    execute: Executor
    budget: UpstreamBudget
    storage: "PrewarmedStorage | None"
    rungs: "RungCheck"
    requested: set[JobName] = field(default_factory=set)
    """Warmups requested so far: two tags of one digest are one warmup."""
    prewarmable: set[JobName] = field(default_factory=set)
    """Those that Artifact Registry makes unnecessary, if it has room."""
    uncounted: list[tuple[ImageInUse, list[Candidate]]] = field(default_factory=list)
    """The images of these warmups: their states are known once there is room or not."""
    prewarm_candidates: dict[str, list[PrewarmCandidate]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By project: each has a storage of its own."""
    moved: int = 0
    coverage: Coverage = field(init=False)

    def __post_init__(self) -> None:
        self.coverage = Coverage(self.sweep)

    def finish(self, bypasses: tuple[WriteFact, ...]) -> dict[str, Any]:
        """Publish what is due, and return the details of the log line."""
        images, skipped = group_images(self.sweep, self.mirrors.locate)
        self.budget.skipped.update(skipped)
        self.coverage.exclude(skipped.total())
        due_count = self._publish(
            request for image in images for request in self._plan_image(image)
        )
        details: dict[str, Any] = {}
        if self.storage is not None:
            # After all images: there may not be room for each.
            renewed = _Renewed(self.storage)
            due_count += self._publish(renewed.carry_out(self.prewarm_candidates.values()))
            renewed.make_room()
            details = renewed.as_details()
        for image, candidates in self.uncounted:
            self._count(image, map(self._read_prewarmed, candidates))
        self.execute.perform(bypasses)
        self.budget.check_answered()
        counts = {
            "images": len(images),
            "due": due_count,
            "moved": self.moved,
            "bypassed": len(bypasses),
        }
        return counts | self.coverage.as_details() | self.budget.as_details() | details

    def _plan_image(self, image: ImageInUse) -> Iterator[ReferenceRequest]:
        """Yield the references to publish for an image, and write its facts."""
        found = self._find_due(image)
        self.budget.skipped.update({"too_small": found.too_small} if found.too_small else {})
        for each in found.prewarm_candidates:
            self.prewarm_candidates[each.request.version.repository.project].append(each)
        for action in found.actions:
            if isinstance(action, Publish):
                # Published in batches, with those of other images.
                yield from action.requests
            elif self.storage is not None:
                self.storage.rung.write((action,))

    def _find_due(self, image: ImageInUse) -> Due:
        """Return what is due of an image, and count its state."""
        postponement = self.sweep.queue.postponements.get(postponement_name(image.source))
        if postponement is not None:
            self.budget.postpone(image.source, postponement)
            self._count_unresolved(image, is_skipped=False)
            return Due()
        skipped = self.budget.skipped.total()
        try:
            manifest = self.budget.resolve(image.source)
            if manifest is None:
                self._count_unresolved(image, is_skipped=self.budget.skipped.total() > skipped)
                # If the upstream limits pulls, image_reference records the time of a retry.
                is_limited = image.source in self.budget.limited
                return request_all(self.sweep, image) if is_limited else Due()
            moves = plan_moves(self.sweep, image, manifest)
            self.execute.perform(moves)
            self.moved += len(moves)
            targets = name_candidates(self.sweep, image, manifest)
            candidates = find_candidates(self.sweep, targets.values(), self.requested)
            read = {each.name: self._read_candidate(each, manifest) for each in candidates}
        except MissingMirrorError:
            # No warmup used the mirror yet; the first one creates it.
            refuse = partial(self.rungs.find_refusal_of_use, image.source)
            self.coverage.add_unresolved(image, find_refusal=refuse)
            return request_all(self.sweep, image)
        found = due(self.sweep, image, tuple(read.values()))
        self.requested |= found.names
        if found.prewarm_candidates:
            self.prewarmable |= found.names
        if self.prewarmable.isdisjoint(targets):
            read |= {name: self._check_rungs(read[name]) for name in found.names}
            self._count(image, (targets | read).values())
        else:
            self.uncounted.append((image, list((targets | read).values())))
        return found

    def _count(self, image: ImageInUse, candidates: Iterable[Candidate]) -> None:
        self.coverage.add(image, candidates, self.requested)

    def _check_rungs(self, candidate: Candidate, *, may_prewarm: bool = True) -> Candidate:
        refusal = self.rungs.find_refusal(candidate, may_prewarm=may_prewarm)
        return replace(candidate, refusal=refusal)

    def _read_prewarmed(self, candidate: Candidate) -> Candidate:
        """Read what Artifact Registry holds after the renewals; else, whether a rung can serve."""
        manifest = candidate.manifest
        if manifest is None or candidate.name not in self.requested:
            return candidate
        held = self._find_held(candidate, manifest)
        if held is not None:
            return replace(candidate, held=held)
        return self._check_rungs(candidate, may_prewarm=False)

    def _count_unresolved(self, image: ImageInUse, *, is_skipped: bool) -> None:
        if is_skipped:
            self.coverage.exclude()
        else:
            self.coverage.add_unresolved(image)

    def _read_candidate(self, candidate: Candidate, index: Manifest) -> Candidate:
        """Read the size of a candidate, unless Artifact Registry keeps it prewarmed."""
        held = self._find_held(candidate, index)
        if is_kept(self.sweep, held):
            return replace(candidate, held=held)
        source, platform = candidate.resolved.source, candidate.use.platform
        skipped = self.budget.skipped.total()
        manifest = self.budget.fetch_platform(source, index, platform)
        if manifest is None:
            return replace(candidate, held=held, is_skipped=self.budget.skipped.total() > skipped)
        return replace(candidate, held=self._find_held(candidate, manifest), manifest=manifest)

    def _find_held(self, candidate: Candidate, manifest: Manifest) -> PrewarmedArtifact | None:
        request = find_prewarm_request(self.sweep, candidate, manifest)
        if self.storage is None or request is None:
            return None
        return self.storage.find(request)

    def _publish(self, requests: Iterator[ReferenceRequest]) -> int:
        """Publish requests in batches as they are found, and return their number."""
        count = 0
        while batch := tuple(islice(requests, _BATCH)):
            self.execute.perform((Publish(batch),))
            count += len(batch)
        return count


@dataclass(slots=True)
class _Renewed:
    """The part of a sweep that uses Artifact Registry's storage for prewarmed images."""

    storage: "PrewarmedStorage"
    renewed: list[str] = field(default_factory=list)
    prewarming: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    removals: list[Renewal] = field(default_factory=list)

    def carry_out(
        self, projects: Iterable[Sequence[PrewarmCandidate]]
    ) -> Iterator[ReferenceRequest]:
        """Prewarm what there is room for, and yield the references of everything else."""
        for candidates in projects:
            held = self.storage.list_held(candidates[0].request.version.repository.project)
            plan = plan_renewals(candidates, held, self.storage.rung.retention)
            for renewal in plan.renewed:
                yield from self._start(renewal, self.renewed)
            for renewal in plan.added:
                yield from self._start(renewal, self.prewarming)
            self.left_out += [renewal.request.name for renewal in plan.left_out]
            self.removals += plan.removals
            for renewal in (*plan.left_out, *plan.failed):
                yield from renewal.references

    def make_room(self) -> None:
        """
        Remove failed artifacts where room is short.

        This comes after the references are published: without its artifact, an image looks as if
        it was never tried.
        """
        for renewal in self.removals:
            self.storage.remove(renewal.request)

    def as_details(self) -> dict[str, Any]:
        """Return the details of the log line."""
        return {
            "renewed": _shorten(self.renewed),
            "prewarming": _shorten(self.prewarming),
            "left_out": _shorten(self.left_out),
            "passed": _shorten(self.storage.passed),
        }

    def _start(self, renewal: Renewal, started: list[str]) -> Iterator[ReferenceRequest]:
        if self.storage.start(renewal.request):
            started.append(renewal.request.name)
        else:
            yield from renewal.references


def _shorten(names: list[str]) -> list[str]:
    more = len(names) - _MAX_NAMED
    return [*names[:_MAX_NAMED], f"and {more} more"] if more > 0 else names
