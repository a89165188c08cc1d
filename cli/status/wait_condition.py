"""Decide whether images are warm in the requested clusters, for a gate before a rollout."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from cli.status.resolved_image import ResolvedImage
from cli.status.warmup_reader import Observations
from cli.status.warmup_state import Observation, WarmupState, combine
from shared.domain.image_state import UNDER_WAY, State

Verdict = Literal["warm", "failed", "pending"]

_USELESS = frozenset({"bad", "held"})

_REASONS: Mapping[State, str] = {
    "due": "it was pulled a period ago or longer, and may have gone cold since",
    "held": "it is on a node; the regional cache was not used",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitTarget:
    """An image that has to be warm in one cluster of a group; a region shares its cache."""

    image: str
    place: str
    """The group's name: a region, or a cluster."""
    clusters: tuple[str, ...]
    targets: tuple[str, ...] = ()
    """All of them, in one cluster; if empty, every target requested in the current period."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The warmups that existed before the request; they do not count for it."""

    failed: frozenset[str] = frozenset()
    """Keys of warmups."""
    others: frozenset[str] = frozenset()
    """Keys of the other warmups, which do not count either if the request is forced."""

    @classmethod
    def of(cls, seen: Observations, *, force: bool) -> "Baseline":
        """Return the failed warmups; with ``force``, all others too."""
        failed = {each.key for each in seen.observations if each.progress in _USELESS}
        others = {each.key for each in seen.observations if each.progress not in _USELESS}
        return cls(frozenset(failed), frozenset(others) if force else frozenset())

    def has(self, observation: Observation) -> bool:
        """Whether a warmup existed before the request."""
        return observation.key in self.failed or observation.key in self.others


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitResult:
    """The verdict on one image in one group, with the states that it is based on."""

    wish: WaitTarget
    verdict: Verdict
    state: State | None = None
    """``None`` if no warmup was found."""
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
    """Decides whether images are warm, from the observed warmups."""

    period: timedelta
    earlier: Baseline = field(default_factory=Baseline)
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The configured name of a target, by its derived name."""

    def judge(
        self, wish: WaitTarget, resolved: Sequence[ResolvedImage], seen: Observations, now: datetime
    ) -> WaitResult:
        """
        Return whether the image is warm in one of the clusters, on every target.

        The verdict is ``failed`` if no cluster remains where a warmup can still succeed.
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
        failed = [each for each in (*broad, *chosen) if _has_failed(each)]
        if under_way:
            return _answer(wish, resolved, "pending", under_way)
        if failed:
            return _answer(wish, resolved, "failed", failed)
        rest = [each for each in chosen if each.state in {"due", "held"}]
        return _answer(wish, resolved, "pending", rest)

    def _choose(
        self, targets: Sequence[str], states: Sequence[WarmupState]
    ) -> tuple[list[WarmupState], bool]:
        """Return the state on each relevant target, and whether a target has no warmup."""
        placed = {
            self.aliases.get(each.target, each.target): each
            for each in sorted(states, key=lambda each: each.since)
            if each.target is not None
        }
        if targets:
            return [placed[name] for name in targets if name in placed], not placed.keys() >= {
                *targets
            }
        # A target without a request in the current period is not relevant any more.
        fresh = [each for each in placed.values() if each.state != "due"]
        return fresh or list(placed.values()), False


def _has_failed(state: WarmupState) -> bool:
    """
    Whether the image cannot become warm without a change.

    A warmup without a Job that found the image on every node shows that no rung can serve.
    """
    is_unserved = state.last is not None and state.last.job is None
    return state.state == "failed" or (state.state == "held" and is_unserved)


def _pick(wish: WaitTarget, answers: Sequence[WaitResult], *, may_change: bool) -> WaitResult:
    """
    Return the result of the cluster with the most progress.

    ``may_change`` means that a cluster could not be read: it may still succeed.
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
    elif first is not None and first.state in _REASONS:
        reason = _REASONS[first.state]
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
