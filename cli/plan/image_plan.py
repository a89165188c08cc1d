"""
Plan the warmups of an image with the decisions of the pipeline, without executing them.

A value that cannot be read is unknown in the plan; nothing is estimated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from shared.domain.image_reference import ImageReference, parse_reference
from shared.domain.image_selection import Selection
from shared.domain.manifest import Manifest
from shared.domain.mirror import RemoteRepository, RepositoryName, Source
from shared.domain.placement import Placement
from shared.domain.request import ReferenceRequest
from shared.errors import EventError, ImageError
from shared.pipeline.mirror_lookup import MissingMirrorError
from shared.pipeline.plan_warmup import PlanResult, WarmupSnapshot, plan_warmup
from shared.pipeline.ports import ClusterApi
from shared.pipeline.resolved_request import ResolvedRequest, Target, given_targets
from shared.pipeline.warmup_lookup import WarmupLookup
from shared.settings.keys import Settings

Result = Literal["warm", "warm_unless_small", "waiting", "known", "too_small", "refused", "unknown"]
"""
``warm``: a warmup would be created. ``warm_unless_small``: a warmup would be created if the image
exists and is large enough, which is unknown. ``waiting`` and ``known``: the warmup of this period
exists, suspended or not. ``refused``: the image would not be warmed.
"""

_WARMED = frozenset({"warm", "warm_unless_small", "waiting", "known"})

MirrorState = Literal["exists", "missing", "taken", "unknown"]
"""``taken``: another repository has its name."""

EVERY_POOL = "every accelerator pool"
"""The name of a target that only the nodes of a cluster determine."""

_RESULTS: Mapping[PlanResult, Result] = {
    "warm": "warm",
    "warm_unless_small": "warm_unless_small",
    "waiting": "waiting",
    "known": "known",
    "too_small": "too_small",
    "would_create": "warm",
    "prewarming": "known",
    "prewarmed": "known",
}


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A request for an image, as a detector or the sweep would publish it."""

    request: ReferenceRequest
    workload: str | None = None
    """The workload that requests it, in the form of the audit log."""


@dataclass(frozen=True, slots=True)
class PlanStep:
    """The decision about an image on one target, with the reason if it is not warmed."""

    result: Result
    target: str | None = None
    """None for a decision that is the same for every target."""
    rung: str | None = None
    """None if no cluster was read."""
    job: str | None = None
    artifact: str | None = None
    """The artifact that Artifact Registry would prewarm, instead of a Job."""
    image_bytes: int | None = None
    """The compressed size on the platform of the target; None if unknown."""
    outcome: str | None = None
    """The outcome in the fact of a refused image."""
    reason: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """A requested image, with the decision for each target."""

    image: str
    """The image as written."""
    cluster: str | None
    workloads: tuple[str, ...]
    steps: tuple[PlanStep, ...]
    mirror: str | None = None
    """The reference that nodes would pull; None if its location is unknown."""
    digest: str | None = None

    @property
    def is_warmed(self) -> bool:
        """Whether a warmup exists or would be created on any target."""
        return any(each.result in _WARMED for each in self.steps)

    @property
    def image_bytes(self) -> int | None:
        """The largest compressed size of its platforms; None if none is known."""
        return max((each.image_bytes for each in self.steps if each.image_bytes), default=None)


@dataclass(frozen=True, slots=True)
class PlannedMirror:
    """A required mirror, and its state."""

    name: str
    """The full resource name."""
    address: str
    """The address from which images are pulled."""
    upstream: str
    state: MirrorState


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer of a mirror for an image."""

    manifest: Manifest | None = None
    refusal: PlanStep | None = None
    doubt: str | None = None
    """The reason why the size of the image is unknown."""


class Planner:
    """
    Plans image by image.

    Args:
        settings: The configuration.
        lookup: Reads mirrors, Jobs and nodes, and changes nothing.
        offline: The reason why nothing is read; ``None`` if mirrors are read.
        now: The time of the plan.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        lookup: WarmupLookup,
        offline: str | None,
        now: datetime,
    ) -> None:
        self._settings = settings
        self._lookup = lookup
        self._mirrors = lookup.mirrors
        self._offline = offline
        self._now = now
        self._selection = Selection(settings.include, settings.exclude)
        self._answers: dict[ImageReference, _Answer] = {}
        self._states: dict[RepositoryName, PlannedMirror] = {}

    @property
    def mirrors(self) -> tuple[PlannedMirror, ...]:
        """The mirrors that the images planned so far need."""
        return tuple(sorted(self._states.values(), key=lambda each: each.name))

    def plan(
        self, requests: Sequence[PlanRequest], cluster: ClusterApi | None, location: str | None
    ) -> PlannedImage:
        """
        Return the plan for an image.

        Args:
            requests: All requests for the image by the same name in the same cluster.
            cluster: A connection to the cluster; None if it is not read.
            location: The location of the cluster; None if unknown.
        """
        request = requests[0].request
        planned = PlannedImage(
            image=request.image,
            cluster=str(cluster.name) if cluster else request.cluster,
            workloads=tuple(dict.fromkeys(each.workload for each in requests if each.workload)),
            steps=(),
        )
        try:
            source = self._mirrors.locate(request.reference, location or "")
        except ImageError as exc:
            return replace(planned, steps=(_refuse(exc),))
        if not request.overrides_rules and not self._selection.admits(source.image):
            return replace(planned, steps=(_EXCLUDED,))
        if source.repository is not None and not source.repository.name.location:
            return replace(planned, steps=self._plan_targets(requests, cluster, source, _NOWHERE))
        answer = self._ask(source)
        manifest = answer.manifest
        return replace(
            planned,
            mirror=str(source.mirror.at(manifest.digest) if manifest else source.mirror),
            digest=manifest.digest if manifest else None,
            steps=self._plan_targets(requests, cluster, source, answer),
        )

    def check_helper(self, location: str | None) -> str | None:
        """
        Check the image whose binary every warmup runs; return the problem, if any.

        Its mirror becomes a required mirror.
        """
        text = self._settings.helper_image
        try:
            source = self._mirrors.locate(parse_reference(text), location or "")
        except ImageError as exc:
            return f"helper_image {text!r} cannot be used: {exc}. {exc.hint}"
        if source.repository is not None and not source.repository.name.location:
            return None
        refusal = self._ask(source).refusal
        if refusal is None:
            return None
        return f"helper_image {text!r} cannot be used: {refusal.reason}. {refusal.hint}"

    def _ask(self, source: Source) -> _Answer:
        """Return the answer of an image's mirror, which is asked once."""
        if source.mirror not in self._answers:
            self._answers[source.mirror] = self._look(source)
        return self._answers[source.mirror]

    def _look(self, source: Source) -> _Answer:
        repository = source.repository
        if self._offline is not None:
            self._note(repository, "unknown")
            return _Answer(doubt=self._offline)
        try:
            manifest = self._mirrors.resolve(source)
            self._mirrors.confirm(source)
        except MissingMirrorError:
            self._note(repository, "missing")
            return _Answer(doubt="its mirror does not exist yet")
        except ImageError as exc:
            self._note(repository, "taken" if exc.outcome == "misconfigured" else "exists")
            return _Answer(refusal=_refuse(exc))
        except EventError as exc:
            self._note(repository, "unknown")
            return _Answer(doubt=str(exc))
        self._note(repository, "exists")
        return _Answer(manifest)

    def _note(self, repository: RemoteRepository | None, state: MirrorState) -> None:
        """Record the state of a mirror; a known state is not replaced by an unknown one."""
        if repository is None or (state == "unknown" and repository.name in self._states):
            return
        name = repository.name
        address = f"{name.registry}/{name.path}"
        self._states[name] = PlannedMirror(str(name), address, repository.upstream, state)

    def _plan_targets(
        self,
        requests: Iterable[PlanRequest],
        cluster: ClusterApi | None,
        source: Source,
        answer: _Answer,
    ) -> tuple[PlanStep, ...]:
        if answer.refusal is not None:
            return (answer.refusal,)
        steps: dict[PlanStep, None] = {}
        for requested in requests:
            try:
                for target in self._find_targets(requested.request, cluster):
                    step = self._plan_target(requested.request, cluster, source, answer, target)
                    steps.setdefault(replace(step, target=target.name))
            except EventError as exc:
                steps.setdefault(PlanStep("unknown", reason=str(exc)))
        return tuple(steps)

    def _find_targets(
        self, request: ReferenceRequest, cluster: ClusterApi | None
    ) -> Sequence[Target]:
        if cluster is not None:
            return self._lookup.find_targets(cluster, request)
        return given_targets(self._settings, request) or [Target(EVERY_POOL, Placement())]

    def _plan_target(
        self,
        request: ReferenceRequest,
        cluster: ClusterApi | None,
        source: Source,
        answer: _Answer,
        target: Target,
    ) -> PlanStep:
        try:
            snapshot = self._read(request, cluster, source, answer.manifest, target)
            plan = plan_warmup(snapshot, self._settings)
        except ImageError as exc:
            return _refuse(exc)
        return PlanStep(
            _RESULTS[plan.result],
            rung=plan.rung,
            job=None if plan.artifact else plan.job,
            artifact=plan.artifact,
            image_bytes=plan.image_bytes,
            reason=answer.doubt,
        )

    def _read(
        self,
        request: ReferenceRequest,
        cluster: ClusterApi | None,
        source: Source,
        manifest: Manifest | None,
        target: Target,
    ) -> WarmupSnapshot:
        """Read the known facts about an image on a target."""
        if manifest is None:
            choice = self._lookup.read_choice(cluster, request, target) if cluster else None
            return WarmupSnapshot(target=target, choice=choice)
        resolved = ResolvedRequest(request, "", self._now, source, manifest)
        if cluster is None:
            size = self._lookup.read_size(resolved, target)
            return WarmupSnapshot(target=target, resolved=resolved, image_bytes=size)
        return self._lookup.look_up(cluster, resolved, target)


_EXCLUDED = PlanStep(
    "refused", outcome="excluded", reason="the patterns of `include` and `exclude` exclude it"
)
_NOWHERE = _Answer(doubt="the location of its mirror depends on the cluster")


def _refuse(error: ImageError) -> PlanStep:
    return PlanStep("refused", outcome=error.outcome, reason=str(error), hint=error.hint)
