"""The conclusion of a trial: only from pulls that provably began on a node without the image."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from cli.trial.pull_interval import PullInterval
from cli.trial.pull_result import PullResult

Conclusion = Literal["streamed", "likely_streamed", "not_streamed", "mixed", "none"]
"""The verdict on the second pulls; ``none``: no second pull counts, or none has a verdict."""


@dataclass(frozen=True, slots=True)
class TrialSummary:
    """The figures of a trial."""

    conclusion: Conclusion
    cold: PullResult | None = None
    """The cold pull that second pulls are compared with."""
    interval: PullInterval | None = None
    """The second pulls that count."""
    streamed: int = 0
    """The number of second pulls that a node reported as streamed."""
    excluded: tuple[PullResult, ...] = ()
    """The pulls that do not count."""

    @classmethod
    def of(cls, results: Iterable[PullResult]) -> "TrialSummary":
        """Sum up the pulls of a trial."""
        every = list(results)
        counted = [each for each in every if each.counts]
        again = [each for each in counted if each.step.kind == "again"]
        cold = [
            each
            for each in counted
            if each.step.kind in {"upstream", "mirror"} and each.streamed in {"not_streamed", None}
        ]
        # A pull without a verdict is a download too, if nothing reports that it was streamed.
        cold = cold or [
            each for each in counted if each.step.kind == "upstream" and each.streamed == "unknown"
        ]
        return cls(
            conclusion=_conclude([each.streamed for each in again]),
            cold=cold[0] if cold else None,
            interval=PullInterval.of(each.seconds for each in again if each.seconds is not None),
            streamed=sum(each.streamed == "streamed" for each in again),
            excluded=tuple(each for each in every if not each.counts),
        )

    @property
    def factor(self) -> float | None:
        """How many times as fast the second pull was as the cold one; None if unknown."""
        if self.cold is None or not self.cold.seconds or self.interval is None:
            return None
        return self.cold.seconds / self.interval.median if self.interval.median > 0 else None

    @property
    def headline(self) -> str:
        """The conclusion in a sentence."""
        number = self.interval.number if self.interval else 0
        pulls = "The second pull was" if number == 1 else f"The {number} second pulls were"
        return {
            "streamed": f"{pulls} streamed.",
            "likely_streamed": f"{pulls} too fast for a download, but no node reported streaming.",
            "not_streamed": "Nothing was streamed: the second pull downloaded the image again.",
            "mixed": f"{self.streamed} of {number} second pulls were streamed.",
            "none": self._explain_none(number),
        }[self.conclusion]

    def _explain_none(self, number: int) -> str:
        if number:
            return "Nothing shows that an image was streamed, and no pull is large enough to judge."
        return "No result: no second pull provably began on a node without the image."

    @property
    def comparison(self) -> str | None:
        """The figures in a sentence; None without a second pull that counts."""
        spread = self.interval
        if spread is None:
            return None
        text = f"Second pull: median {spread.median:.1f} s, n={spread.number}"
        if spread.number > 1:
            chance = f"{spread.confidence * 100:.0f} % interval"
            text += f", {chance} {spread.low:.1f} to {spread.high:.1f} s"
        if self.factor is not None and self.cold is not None:
            text += f"; cold pull: {self.cold.seconds:.1f} s, {self.factor:.1f} times as long"
        return f"{text}."

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``trial.json``."""
        return {
            "conclusion": self.conclusion,
            "headline": self.headline,
            "cold_step": self.cold.step.key if self.cold else None,
            "cold_seconds": self.cold.seconds if self.cold else None,
            "second_pull": self.interval.as_json() if self.interval else None,
            "times_as_fast": self.factor,
            "excluded_steps": [each.step.key for each in self.excluded],
        }


def _conclude(verdicts: list[str | None]) -> Conclusion:
    known = {each for each in verdicts if each not in {None, "unknown"}}
    if not known:
        return "none"
    if len(known) > 1 or None in verdicts or "unknown" in verdicts:
        return "mixed"
    only = known.pop()
    if only == "streamed":
        return "streamed"
    return "likely_streamed" if only == "likely_streamed" else "not_streamed"
