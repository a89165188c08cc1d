"""
Count how many images in use are warm: pure functions of what a sweep read.

Each image has one state, the worst one of its targets and platforms.

============  ================================================================================
state         meaning
============  ================================================================================
warm          it is warm on every target and platform
held          the last warmup found it on a node
warming       a warmup waits or runs, or Artifact Registry is caching it
due           it is not warm, and this sweep requested a warmup
failed        the last warmup failed, or no rung can serve it; or it is not known to be warm, and
              cannot be requested: its registry limits requests, or an image of another repository
              with the same digest and name has its Job
not_eligible  it is not allowed, excluded, too small, does not exist, or is where no node of the
              cluster can stream it
============  ================================================================================
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from shared.domain.cluster import is_near
from shared.domain.fact import ALREADY_PRESENT
from shared.domain.image_state import (
    PREWARM_PROGRESS,
    State,
    WarmupRecord,
    end_of_warmth,
    judge_warmups,
)
from shared.domain.ladder import PREWARM_RUNG, platform_of
from shared.domain.mirror import location_of
from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.warmup_job import time_to_live_s
from shared.pipeline.resolved_request import SECONDS_PER_HOUR, name_aliases
from shared.pipeline.sweep.due import Candidate, ImageInUse, Sweep, is_too_small
from shared.pipeline.sweep.inventory import Use
from shared.pipeline.sweep.queue import ExistingWarmup
from shared.settings.keys import Settings

CoverageState = Literal["warm", "held", "warming", "due", "failed", "not_eligible"]

_STATES: Final[tuple[CoverageState, ...]] = (
    "warm",
    "held",
    "warming",
    "due",
    "failed",
    "not_eligible",
)
_WORST_FIRST: Final[tuple[CoverageState, ...]] = ("failed", "held", "due", "warming", "warm")
_BEST_FIRST: Final[tuple[CoverageState, ...]] = ("warm", "warming", "failed", "held")
"""A Job or a prewarmed artifact is enough."""

_NAMES: Final[Mapping[State, CoverageState | None]] = {
    "warm": "warm",
    "warming": "warming",
    "waiting": "warming",
    "held": "held",
    "failed": "failed",
    "due": None,
}
"""An image that is due again is like one that was never warmed."""

_MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class TargetReading:
    """An image on a target and platform, as a sweep read it."""

    warmups: tuple[WarmupRecord, ...] = ()
    artifact: PrewarmedArtifact | None = None
    """The image in Artifact Registry's prewarmed storage."""
    is_requested: bool = False
    """Whether this sweep requests a warmup."""
    refusal: str | None = None
    """The outcome of that warmup, if no rung can serve it."""
    is_eligible: bool = True


@dataclass(frozen=True, slots=True)
class ImageCoverage:
    """The state of an image, or of an image on one target."""

    state: CoverageState
    lapsed: datetime | None = None
    """Until when it was warm; None if it is warm, or is not known to have been."""


def judge_target(reading: TargetReading, now: datetime, period: timedelta) -> ImageCoverage:
    """Return the state of an image on a target and platform."""
    if not reading.is_eligible:
        return ImageCoverage("not_eligible")
    groups = [reading.warmups, _read_artifact(reading.artifact)]
    found = {_NAMES[judge_warmups(group, now, period).state] for group in groups if group}
    state = next((each for each in _BEST_FIRST if each in found), _judge_request(reading))
    good = [each for group in groups for each in group if each.progress == "good"]
    until = max((end_of_warmth(each, period) for each in good), default=None)
    return ImageCoverage(state, None if state == "warm" else until)


def _judge_request(reading: TargetReading) -> CoverageState:
    """Return the state of an image on a target where no warmup decides it."""
    if reading.refusal == ALREADY_PRESENT:
        return "held"
    return "due" if reading.is_requested and reading.refusal is None else "failed"


def combine_targets(targets: Iterable[ImageCoverage]) -> ImageCoverage:
    """Return the state of an image from the states on its targets, ignoring those not eligible."""
    eligible = [each for each in targets if each.state != "not_eligible"]
    if not eligible:
        return ImageCoverage("not_eligible")
    state = next(each for each in _WORST_FIRST if each in {one.state for one in eligible})
    lapsed = [each.lapsed for each in eligible if each.lapsed is not None]
    return ImageCoverage(state, min(lapsed, default=None))


def find_grace(settings: Settings) -> timedelta:
    """
    Return how long an image may have lost its warmth before it counts as cold.

    It is a tenth of a period, or less if the Job that shows the warmth is removed before.
    """
    period_s = settings.period_hours * SECONDS_PER_HOUR
    kept_s = time_to_live_s(period_s, settings.max_event_age_hours * SECONDS_PER_HOUR)
    return timedelta(seconds=min(period_s / 10, (kept_s - period_s) / 2))


class Coverage:
    """The states of the images in use that a sweep has seen so far."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._period = timedelta(hours=sweep.settings.period_hours)
        self._grace = find_grace(sweep.settings)
        self._aliases = name_aliases(sweep.settings)
        self._by_pulled: dict[str, list[ExistingWarmup]] = defaultdict(list)
        self._by_image: dict[str, list[ExistingWarmup]] = defaultdict(list)
        for each in sweep.queue.warmups.values():
            self._by_pulled[each.pulled].append(each)
            self._by_image[each.image].append(each)
        self._targets: dict[tuple[str, str], ImageCoverage] = {}
        """
        By the pulled image and the name of the Job: two tags of one digest have the same targets.

        Images of two repositories can share the name of a Job, which then warms one of them.
        """
        self._counts: Counter[CoverageState] = Counter()
        self._cold: list[str] = []

    def exclude(self, count: int = 1) -> None:
        """Count images that are not eligible."""
        self._counts["not_eligible"] += count

    def add(
        self, image: ImageInUse, candidates: Iterable[Candidate], requested: Collection[str]
    ) -> None:
        """
        Count an image.

        Args:
            image: The image.
            candidates: Each of its targets and platforms, with what was read about it.
            requested: The names of the warmups that this sweep requests.
        """
        self._count(image, [self._judge(each, requested) for each in candidates])

    def add_unresolved(
        self, image: ImageInUse, *, find_refusal: Callable[[Use], str | None] | None = None
    ) -> None:
        """
        Count an image of unknown digest: the version that was warmed last decides.

        Args:
            image: The image.
            find_refusal: Returns the outcome of a requested warmup that no rung can serve; None
                if none is requested.
        """
        known = [each for name in image.names for each in self._by_image.get(name, ())]
        uses = {(use.placement.name, use.platform): use for use in image.uses}
        readings = (
            TargetReading(
                self._match(known, use),
                is_requested=find_refusal is not None,
                refusal=None if find_refusal is None else find_refusal(use),
            )
            for use in uses.values()
        )
        self._count(image, [judge_target(each, self._sweep.now, self._period) for each in readings])

    def as_details(self) -> dict[str, Any]:
        """Return the details of the log line."""
        cold = {"images": len(self._cold), "names": sorted(self._cold)[:_MAX_NAMED]}
        return {"coverage": {each: self._counts[each] for each in _STATES}, "cold": cold}

    def _judge(self, candidate: Candidate, requested: Collection[str]) -> ImageCoverage:
        """Return the state on a target; that of an earlier tag with the same digest, if any."""
        pulled = str(candidate.resolved.pulled)
        if (pulled, candidate.name) not in self._targets:
            known = self._by_pulled.get(pulled, ())
            manifest = candidate.manifest
            is_small = manifest is not None and is_too_small(self._sweep, manifest)
            reading = TargetReading(
                self._match(known, candidate.use),
                candidate.held,
                is_requested=manifest is not None and candidate.name in requested,
                refusal=candidate.refusal,
                is_eligible=not (candidate.is_skipped or is_small),
            )
            state = judge_target(reading, self._sweep.now, self._period)
            self._targets[pulled, candidate.name] = state
        return self._targets[pulled, candidate.name]

    def _match(self, warmups: Iterable[ExistingWarmup], use: Use) -> tuple[WarmupRecord, ...]:
        """Return the warmups on the target and platform of a use."""
        name = str(use.placement.name)
        names = {name, self._aliases.get(name, name)}
        platforms = {None, use.platform or platform_of(use.placement)}
        return tuple(
            each.record
            for each in warmups
            if each.target in names and (platforms == {None} or each.platform in platforms)
        )

    def _count(self, image: ImageInUse, targets: Iterable[ImageCoverage]) -> None:
        location = location_of(image.source.mirror)
        settings, cluster = self._sweep.settings, self._sweep.cluster
        is_local = location is None or is_near(location, cluster.location)
        if not is_local and PREWARM_RUNG not in settings.ladder:
            self.exclude()
            return
        covered = combine_targets(targets)
        self._counts[covered.state] += 1
        if covered.lapsed is not None and covered.lapsed + self._grace <= self._sweep.now:
            self._cold.append(min(image.names))


def _read_artifact(artifact: PrewarmedArtifact | None) -> tuple[WarmupRecord, ...]:
    if artifact is None:
        return ()
    expires = artifact.expires
    return (WarmupRecord(PREWARM_PROGRESS[artifact.state], at=expires, expires=expires),)
