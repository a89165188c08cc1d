"""
Decide what a sweep does about each image in use: pure functions from what was read to actions.

An image is due if no Job of its current period serves it, and Artifact Registry does not keep it
prewarmed either.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.action import Publish, WriteFact
from shared.domain.cluster import ClusterName
from shared.domain.fact import Subject, TagMoved
from shared.domain.image_reference import ImageReference
from shared.domain.image_selection import Selection
from shared.domain.ladder import PREWARM_RUNG
from shared.domain.manifest import Manifest
from shared.domain.mirror import Source
from shared.domain.placement import DEFAULT_PLATFORM
from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.prewarm_plan import Wanted
from shared.domain.request import Cause, ReferenceRequest
from shared.domain.warmup_job import JobName
from shared.errors import ImageError
from shared.pipeline.plan_prewarm import PrewarmRequest, make_prewarm_request, plan_prewarmed
from shared.pipeline.resolved_request import (
    ResolvedRequest,
    Target,
    earlier_names,
    job_name,
    wanted_platform,
)
from shared.pipeline.sweep.inventory import Inventory, Use
from shared.pipeline.sweep.queue import WarmupQueue
from shared.pipeline.sweep.renew import PrewarmCandidate
from shared.settings.keys import Settings


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep of one cluster, with what was read of the cluster."""

    settings: Settings
    cluster: ClusterName
    message_id: str
    """The ID of the tick."""
    now: datetime
    """The publish time of the tick."""
    queue: WarmupQueue
    inventory: Inventory

    @property
    def day(self) -> datetime:
        """The start of the day: a lasting state has one fact per day."""
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def retention(self) -> timedelta:
        """How long Artifact Registry keeps an image prewarmed."""
        return timedelta(days=self.settings.prewarm_days)

    @property
    def cause(self) -> Cause:
        """The cause of facts."""
        return Cause("schedule", self.message_id)


@dataclass(frozen=True, slots=True)
class ImageInUse:
    """An image in use, with all names that are written for it."""

    source: Source
    uses: tuple[Use, ...]

    @property
    def names(self) -> frozenset[str]:
        """The image as users write it."""
        return frozenset(use.image.text for use in self.uses)

    @property
    def workloads(self) -> int:
        """The number of workloads that use it."""
        return sum(use.workloads for use in self.uses)

    def next_start(self, now: datetime, within: timedelta) -> datetime | None:
        """Return the next scheduled start of its workloads."""
        schedules = frozenset().union(*(use.schedules for use in self.uses))
        starts = [each.next_start(now, within) for each in schedules]
        return min((start for start in starts if start is not None), default=None)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A use of an image, with what was read about it if no warmup Job serves it."""

    use: Use
    resolved: ResolvedRequest
    target: Target
    name: JobName
    """The name of its warmup Job."""
    held: PrewarmedArtifact | None = None
    """The image in Artifact Registry's prewarmed storage."""
    manifest: Manifest | None = None
    """The manifest of its platform; None if the registry was not asked, or gave no answer."""
    is_skipped: bool = False
    """Whether the answer of the registry rules out a warmup."""
    refusal: str | None = None
    """The outcome of the warmup that this sweep requests, if no rung can serve it."""


@dataclass(frozen=True, slots=True)
class Due:
    """The decision about an image in a sweep."""

    actions: tuple[WriteFact | Publish, ...] = ()
    """The facts of prewarmed images, then the references that ``image_reference`` warms."""
    prewarm_candidates: tuple[PrewarmCandidate, ...] = ()
    """Uses that Artifact Registry serves, if it has room for them."""
    names: frozenset[JobName] = frozenset()
    """Warmups that need no further request in this sweep."""
    too_small: int = 0


def group_images(
    sweep: Sweep, locate: Callable[[ImageReference, str], Source]
) -> tuple[list[ImageInUse], Counter[str]]:
    """
    Return each image in use once, in the order of the requests, and the number of skipped ones.

    Images without a warmup in the last period come first. Otherwise each sweep has a different
    order, so that a registry with too few requests left for a whole sweep answers for every image
    over time.
    """
    uses: dict[ImageReference, tuple[Source, list[Use]]] = {}
    skipped: Counter[str] = Counter()
    if sweep.inventory.left_out:
        skipped["too_many"] = sweep.inventory.left_out
    located = {use.image.text: use.image.reference for use in sweep.inventory.uses.values()}
    sources = {
        text: _locate(sweep, reference, locate, skipped) for text, reference in located.items()
    }
    for use in sweep.inventory.uses.values():
        source = sources[use.image.text]
        if source is not None:
            uses.setdefault(source.image, (source, []))[1].append(use)
    images = [ImageInUse(source, tuple(each)) for source, each in uses.values()]
    known = sweep.queue.images

    def rank(image: ImageInUse) -> tuple[bool, str]:
        key = f"{sweep.message_id} {image.source.image}"
        return not known.isdisjoint(image.names), hashlib.sha256(key.encode()).hexdigest()

    return sorted(images, key=rank), skipped


def name_candidates(
    sweep: Sweep, image: ImageInUse, manifest: Manifest
) -> dict[JobName, Candidate]:
    """Return each target and platform of an image once, by the name of its warmup Job."""
    candidates: dict[JobName, Candidate] = {}
    for use in image.uses:
        resolved = ResolvedRequest(
            _make_request(sweep, use), sweep.message_id, sweep.now, image.source, manifest
        )
        target = Target(use.placement.name, use.placement)
        name = job_name(sweep.settings, sweep.cluster, resolved, target)
        candidates.setdefault(name, Candidate(use, resolved, target, name))
    return candidates


def find_candidates(
    sweep: Sweep, candidates: Iterable[Candidate], requested: Collection[str]
) -> tuple[Candidate, ...]:
    """Return the candidates that neither a Job nor an earlier request serves."""
    return tuple(
        each
        for each in candidates
        if each.name not in requested and not sweep.queue.is_served(each.name, sweep.now)
    )


def find_prewarm_request(
    sweep: Sweep, candidate: Candidate, manifest: Manifest
) -> PrewarmRequest | None:
    """Return what Artifact Registry would prewarm; None without the rung or a known digest."""
    platform = wanted_platform(candidate.resolved.request, candidate.target) or DEFAULT_PLATFORM
    digest = manifest.platform_digest(platform)
    if PREWARM_RUNG not in sweep.settings.ladder or digest is None:
        return None
    # The size in an index is not the size of a platform, and only matters for new requests.
    return make_prewarm_request(
        candidate.resolved, digest, platform, sweep.cluster, manifest.image_bytes
    )


def due(sweep: Sweep, image: ImageInUse, candidates: Sequence[Candidate]) -> Due:
    """Decide what to do about the candidates of an image: nothing, prewarm, or request a warmup."""
    actions: list[WriteFact | Publish] = []
    references: list[ReferenceRequest] = []
    prewarm_candidates: list[PrewarmCandidate] = []
    names: set[JobName] = set()
    too_small = 0
    for candidate in candidates:
        actions += _report_prewarmed(sweep, candidate)
        if candidate.manifest is None:
            continue
        if is_too_small(sweep, candidate.manifest):
            too_small += 1
            continue
        names.add(candidate.name)
        prewarm_candidate = _make_prewarm_candidate(sweep, image, candidate)
        if prewarm_candidate is not None:
            prewarm_candidates.append(prewarm_candidate)
        elif not is_kept(sweep, candidate.held):
            references.append(candidate.resolved.request)
    if references:
        actions.append(Publish(tuple(references)))
    return Due(tuple(actions), tuple(prewarm_candidates), frozenset(names), too_small)


def request_all(sweep: Sweep, image: ImageInUse) -> Due:
    """Return a request for each target and platform of an image whose mirror does not exist yet."""
    requests: dict[tuple[str, str | None], ReferenceRequest] = {}
    for use in image.uses:
        requests.setdefault((use.placement.canonical, use.platform), _make_request(sweep, use))
    return Due((Publish(tuple(requests.values())),))


def is_kept(sweep: Sweep, held: PrewarmedArtifact | None) -> bool:
    """Whether Artifact Registry keeps an image prewarmed, so that it is not due."""
    if held is None or held.state == "FAILED":
        return False
    return held.state == "CACHING" or not held.expires_soon(sweep.now, sweep.retention)


def plan_moves(sweep: Sweep, image: ImageInUse, manifest: Manifest) -> tuple[WriteFact, ...]:
    """Return a fact for each digest that still runs under a tag which now has another digest."""
    if image.source.image.digest is not None:
        return ()
    current = {manifest.digest, *(entry.digest for entry in manifest.platforms)}
    moves = [
        TagMoved(
            subject=Subject(
                image=name,
                mirror=str(image.source.mirror),
                digest=manifest.digest,
                cluster=str(sweep.cluster),
                cause=sweep.cause,
            ),
            at=sweep.day,
            old_digest=digest,
            workloads=tuple(workloads),
        )
        for name in sorted(image.names)
        for digest, workloads in sweep.inventory.running.get(name, {}).items()
        if digest not in current
    ]
    return tuple(WriteFact(each.as_fact()) for each in moves)


def _report_prewarmed(sweep: Sweep, candidate: Candidate) -> tuple[WriteFact, ...]:
    manifest = candidate.manifest or candidate.resolved.manifest
    request = find_prewarm_request(sweep, candidate, manifest)
    if request is None or candidate.held is None or candidate.held.state != "ACTIVE":
        return ()
    return plan_prewarmed(request, candidate.held, sweep.settings.prewarm_days)


def is_too_small(sweep: Sweep, manifest: Manifest) -> bool:
    """Whether a platform of an image starts fast anyway; an index has no size of its own."""
    return not manifest.is_index and manifest.image_bytes < sweep.settings.min_image_bytes


def _make_prewarm_candidate(
    sweep: Sweep, image: ImageInUse, candidate: Candidate
) -> PrewarmCandidate | None:
    """Return a use that Artifact Registry may serve; None if it keeps it, or a Job has to."""
    held, manifest = candidate.held, candidate.manifest
    request = find_prewarm_request(sweep, candidate, manifest) if manifest else None
    if request is None or is_kept(sweep, held):
        return None
    if held is None and not _may_add(sweep, candidate, request):
        return None
    wanted = Wanted(
        digest=request.version.digest,
        location=request.location,
        image_bytes=request.image_bytes,
        workloads=image.workloads,
        next_start=image.next_start(sweep.now, sweep.retention),
    )
    return PrewarmCandidate(request, wanted, candidate.resolved.request)


def _may_add(sweep: Sweep, candidate: Candidate, request: PrewarmRequest) -> bool:
    """Whether the sweep starts to prewarm an image: no other rung comes first."""
    is_first = sweep.settings.ladder[0] == PREWARM_RUNG
    return is_first and can_prewarm(sweep, candidate, request)


def can_prewarm(sweep: Sweep, candidate: Candidate, request: PrewarmRequest) -> bool:
    """Whether Artifact Registry has the image: a node pulls a mirrored one first."""
    names = earlier_names(sweep.settings, sweep.cluster, candidate.resolved, candidate.target)
    return not request.is_mirrored or any(map(sweep.queue.has_pulled, names))


def _locate(
    sweep: Sweep,
    reference: ImageReference,
    locate: Callable[[ImageReference, str], Source],
    skipped: Counter[str],
) -> Source | None:
    try:
        source = locate(reference, sweep.cluster.location)
    except ImageError as exc:
        skipped[exc.outcome] += 1
        return None
    selection = Selection(sweep.settings.include, sweep.settings.exclude)
    if not selection.admits(source.image):
        # The workload names the image in our mirror, which the patterns do not cover.
        skipped["excluded"] += 1
        return None
    return source


def _make_request(sweep: Sweep, use: Use) -> ReferenceRequest:
    return ReferenceRequest(
        image=use.image.text,
        reference=use.image.reference,
        cluster=str(sweep.cluster),
        placement=use.placement,
        platform=use.platform,
        cause=Cause("schedule", sweep.message_id, use.workload),
    )
