"""The result of one pull of a trial, and whether it counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cli.trial.trial_step import Step

VERDICT_WORDS: Final = {
    "streamed": "streamed",
    "likely_streamed": "likely streamed",
    "not_streamed": "not streamed",
    "cached_on_node": "was on the node",
    "unknown": "unknown",
}

NOT_COLD: Final = "not shown cold"
"""The verdict in tables of a pull on a node that may have held the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    """One pull, with the evidence of how the node got the image."""

    step: Step
    image: str
    """The pulled reference."""
    outcome: str
    """An outcome of warmups, such as ``pulled`` or ``pull_failed``."""
    node: str | None = None
    seconds: float | None = None
    """The duration that the kubelet reports."""
    image_bytes: int | None = None
    """The compressed size."""
    streamed: str | None = None
    """The verdict; None if nothing was pulled."""
    node_held_image: bool | None = None
    """False if the node provably lacked the image before the pull; None if unknown."""
    evidence: tuple[Mapping[str, Any], ...] = ()
    reason: str | None = None
    hint: str | None = None

    @property
    def counts(self) -> bool:
        """
        Whether the pull is a result of the trial.

        A pull on a node that may have held the image shows nothing about the network, whatever its
        duration.
        """
        return (
            self.outcome == "pulled" and self.node_held_image is False and self.seconds is not None
        )

    @property
    def verdict(self) -> str:
        """The verdict in words, for a table."""
        if self.outcome not in {"pulled", "already_present"}:
            return self.outcome.replace("_", " ")
        if self.streamed == "cached_on_node" or self.counts:
            return VERDICT_WORDS.get(self.streamed or "unknown", "unknown")
        return NOT_COLD

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the evidence, the decisive one first; else the reason of a failure."""
        texts = tuple(dict.fromkeys(str(each["text"]) for each in self.evidence))
        return texts or ((self.reason,) if self.reason else ())

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``trial.json``."""
        return {
            "step": self.step.key,
            "kind": self.step.kind,
            "image": self.image,
            "node": self.node,
            "machine": self.step.node.machine if self.step.node else None,
            "outcome": self.outcome,
            "seconds": self.seconds,
            "image_bytes": self.image_bytes,
            "streamed": self.streamed,
            "node_held_image": self.node_held_image,
            "counts": self.counts,
            "evidence": [dict(each) for each in self.evidence],
            "reason": self.reason,
            "hint": self.hint,
        }
