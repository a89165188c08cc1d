"""
The state of an image on a target, derived from observed warmups and never from requests.

=========  ==================================================================================
state      observation
=========  ==================================================================================
warm       within a period, a node that did not hold the image pulled it; or Artifact Registry
           reports that it holds the image
warming    a warmup runs; or Artifact Registry is caching the image
waiting    a warmup is queued
held       the last warmup found the image on its node, or it is unknown whether it did: the
           regional cache was not used
due        the image was warm a period ago or longer: it may have gone cold since
failed     the last warmup ended otherwise
=========  ==================================================================================

A warmup in progress does not change an earlier result: an image that is renewed is warm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, TypeVar

from shared.domain.fact import GOOD_OUTCOMES, PULLED, fills_cache
from shared.domain.json_access import list_of, text_of
from shared.domain.prewarm import PrewarmState

if TYPE_CHECKING:
    from shared.domain.job_state import JobState

State = Literal["warm", "warming", "waiting", "held", "due", "failed"]
Progress = Literal["waiting", "warming", "good", "held", "bad"]

STATES: Final[tuple[State, ...]] = ("failed", "held", "warming", "waiting", "due", "warm")
"""In the order of their importance for a reader."""

UNDER_WAY: Final = frozenset({"waiting", "warming"})

PREWARM_PROGRESS: Final[Mapping[PrewarmState, Progress]] = {
    "CACHING": "warming",
    "ACTIVE": "good",
    "FAILED": "bad",
}


class ObservedWarmup(Protocol):
    """A warmup of an image, as far as it decides the state."""

    @property
    def progress(self) -> Progress: ...  # noqa: D102
    @property
    def at(self) -> datetime:
        """When it ended or, while it is under way, when it was created."""

    @property
    def expires(self) -> datetime | None:
        """When the prewarmed artifact expires; None if the period decides."""


@dataclass(frozen=True, slots=True)
class WarmupRecord:
    """The evidence of a warmup about its image."""

    progress: Progress
    at: datetime
    """When it ended or, while it is under way, when it was created."""
    expires: datetime | None = None
    """When the prewarmed artifact expires; None if the period decides."""


_Warmup = TypeVar("_Warmup", bound=ObservedWarmup)


@dataclass(frozen=True, slots=True)
class ImageState(Generic[_Warmup]):
    """The state of an image, with the warmups that it is derived from."""

    state: State
    decisive: _Warmup | None
    """The decisive ended warmup; None if none ended."""
    last: _Warmup | None
    """The last warmup that ended."""
    under_way: _Warmup | None
    """A warmup that waits or runs, also if the image is still warm from an earlier one."""


def judge_warmups(
    warmups: Iterable[_Warmup], now: datetime, period: timedelta
) -> ImageState[_Warmup]:
    """Return the state of one image on one target, from its warmups, at least one."""
    newest_first = sorted(warmups, key=lambda each: each.at, reverse=True)
    last = next((each for each in newest_first if each.progress not in UNDER_WAY), None)
    # An unfinished Job is newer than any finished one, or it would have ended too.
    under_way = next((each for each in newest_first if each.progress in UNDER_WAY), None)
    good = next((each for each in newest_first if each.progress == "good"), None)
    # A pull on a node that holds the image does not undo the one that filled the cache.
    decisive = good if last is not None and last.progress == "held" and good is not None else last
    state = _judge(decisive, now, period)
    if state == "due" and last is not None and last.progress == "held":
        state, decisive = "held", last
    if under_way is not None and state != "warm":
        state = "waiting" if under_way.progress == "waiting" else "warming"
    return ImageState(state, decisive, last, under_way)


def end_of_warmth(warmup: ObservedWarmup, period: timedelta) -> datetime:
    """Return the end of the time for which a warmup makes its image warm."""
    return warmup.expires or warmup.at + period


def read_job_progress(job: "JobState", fact: Mapping[str, Any] | None) -> Progress:
    """
    Return the progress of a warmup Job.

    Args:
        job: The Job.
        fact: The payload of its fact, if it was read; it is newer than the annotations.
    """
    if not job.is_finished:
        return "waiting" if job.is_waiting else "warming"
    if fact is not None:
        return read_fact_progress(fact)
    # The container of a complete Job ran, so its image was on the node.
    outcome = job.outcome or (PULLED if job.is_complete else None)
    if outcome not in GOOD_OUTCOMES:
        return "bad"
    return "good" if job.fills_cache else "held"


def read_fact_progress(fact: Mapping[str, Any]) -> Progress:
    """Return the end of a warmup from its fact."""
    outcome = text_of(fact.get("outcome"))
    if outcome not in GOOD_OUTCOMES:
        return "bad"
    is_warm = fills_cache(outcome, text_of(fact.get("streamed")), list_of(fact.get("evidence")))
    return "good" if is_warm else "held"


def _judge(last: ObservedWarmup | None, now: datetime, period: timedelta) -> State:
    """Return the state after the decisive warmup."""
    if last is None:
        return "waiting"
    if last.progress == "bad":
        return "failed"
    if last.progress == "held":
        return "held"
    return "warm" if now < end_of_warmth(last, period) else "due"
