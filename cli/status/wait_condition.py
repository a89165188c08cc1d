"""Tell whether images are warm where they shall be, as the gate before a rollout asks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from cli.status.warmup_reader import Observations, ResolvedImage
from cli.status.warmup_state import UNDER_WAY, Observation, State, WarmupState, combine

Verdict = Literal["warm", "failed", "pending"]

_DUE = "it was pulled a period ago or longer, and may have gone cold since"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitTarget:
    """An image that shall be warm in one cluster of a group; a region shares its cache."""

    image: str
    place: str
    """The group's name: a region, or a cluster."""
    clusters: tuple[str, ...]
    targets: tuple[str, ...] = ()
    """All of them, in one cluster; where none is named, all on which it was asked for of late."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was there before somebody asked; it answers nothing."""

    failed: frozenset[str] = frozenset()
    """Keys of warmups."""
    others: frozenset[str] = frozenset()
    """Keys of warmups, which answer for nothing either where a new one is insisted on."""

    @classmethod
    def of(cls, seen: Observations, *, force: bool) -> "Baseline":
        """Take note of what is there; with ``force`` also of what is well or under way."""
        failed = {each.key for each in seen.observations if each.progress == "bad"}
        others = {each.key for each in seen.observations if each.progress != "bad"}
        return cls(frozenset(failed), frozenset(others) if force else frozenset())

    def has(self, observation: Observation) -> bool:
        """Whether a warmup answers for nothing."""
        return observation.key in self.failed or observation.key in self.others


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitResult:
    """Whether one wish is fulfilled, and what was seen of it."""

    wish: WaitTarget
    verdict: Verdict
    state: State | None = None
    """None where nothing was seen."""
    states: tuple[WarmupState, ...] = ()
    reason: str | None = None
    hint: str | None = None
    outcome: str | None = None
    digest: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for other programs."""
        return {
            "image": self.wish.image,
            "place": self.wish.place,
            "digest": self.digest,
            "verdict": self.verdict,
            "state": self.state,
            "outcome": self.outcome,
            "reason": self.reason,
            "hint": self.hint,
            "standings": [each.as_json() for each in self.states],
        }


@dataclass(frozen=True, slots=True)
class WaitCondition:
    """Judges wishes by what was seen."""

    period: timedelta
    earlier: Baseline = field(default_factory=Baseline)
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names of targets, by other names of the same."""

    def judge(
        self, wish: WaitTarget, resolved: Sequence[ResolvedImage], seen: Observations, now: datetime
    ) -> WaitResult:
        """
        Tell whether a wish is fulfilled: in one of its clusters, on every target.

        It has failed where no cluster is left in which a warmup could still end well.
        """
        answers = [
            self._judge_cluster(wish, each, seen.observations, now)
            for each in resolved
            if str(each.cluster) in wish.clusters and each.written.text == wish.image
        ]
        unread = {each.cluster for each in seen.problems if each.cluster}
        return _pick(wish, answers, may_change=not unread.isdisjoint(wish.clusters))

    def _judge_cluster(
        self,
        wish: WaitTarget,
        resolved: ResolvedImage,
        observations: Iterable[Observation],
        now: datetime,
    ) -> WaitResult:
        own = [
            each
            for each in observations
            if resolved.is_seen_in(each) and not self.earlier.has(each)
        ]
        states = combine(own, now, self.period)
        broad = [each for each in states if each.target is None]
        chosen, missing = self._choose(wish.targets, states)
        is_warm = bool(chosen) and not missing and all(each.state == "warm" for each in chosen)
        if warm := [each for each in broad if each.state == "warm"]:
            return _answer(wish, resolved, "warm", warm)
        if is_warm:
            return _answer(wish, resolved, "warm", chosen)
        under_way = [each for each in (*chosen, *broad) if each.state in UNDER_WAY]
        failed = [each for each in (*broad, *chosen) if each.state == "failed"]
        if under_way:
            return _answer(wish, resolved, "pending", under_way)
        if failed:
            return _answer(wish, resolved, "failed", failed)
        return _answer(wish, resolved, "pending", [each for each in chosen if each.state == "due"])

    def _choose(
        self, targets: Sequence[str], states: Sequence[WarmupState]
    ) -> tuple[list[WarmupState], bool]:
        """Return how it stands on the targets that matter, and whether one of them has nothing."""
        placed = {
            self.aliases.get(each.target, each.target): each
            for each in sorted(states, key=lambda each: each.since)
            if each.target is not None
        }
        if targets:
            return [placed[name] for name in targets if name in placed], not placed.keys() >= {
                *targets
            }
        # One on which it was not asked for within a period is nobody's wish any more.
        fresh = [each for each in placed.values() if each.state != "due"]
        return fresh or list(placed.values()), False


def _pick(wish: WaitTarget, answers: Sequence[WaitResult], *, may_change: bool) -> WaitResult:
    """
    Return the answer of the cluster that is furthest.

    ``may_change`` is for a cluster that could not be read: it may still turn out well.
    """
    warm = [each for each in answers if each.verdict == "warm"]
    begun = [each for each in answers if each.verdict == "pending" and each.state in UNDER_WAY]
    failed = [each for each in answers if each.verdict == "failed"]
    found = [*warm, *begun, *failed, *answers]
    if not found:
        return WaitResult(wish=wish, verdict="pending")
    best = found[0]
    return replace(best, verdict="pending") if best.verdict == "failed" and may_change else best


def _answer(
    wish: WaitTarget, resolved: ResolvedImage, verdict: Verdict, states: Sequence[WarmupState]
) -> WaitResult:
    first = states[0] if states else None
    last = first.last if first else None
    reason, hint = resolved.problem, resolved.hint
    if verdict == "failed" and last is not None:
        reason, hint = last.reason, last.hint
    elif first is not None and first.state == "due":
        reason = _DUE
    return WaitResult(
        wish=wish,
        verdict=verdict,
        state=first.state if first else None,
        states=tuple(states),
        reason=reason,
        hint=hint,
        outcome=last.outcome if last and first and first.state not in UNDER_WAY else None,
        digest=resolved.digest,
    )
