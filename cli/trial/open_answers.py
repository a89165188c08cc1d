"""The answers of a trial to open questions, each from a pull that provably began cold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cli.trial.pull_result import PullResult
from cli.trial.trial_plan import LeftOut
from cli.trial.trial_step import StepKind

QUESTIONS: Final[Mapping[StepKind, str]] = {
    "in_place": "Do Docker Hub images stream without a mirror?",
    "accelerator": "Does a pull on a CPU node warm the cache for accelerator pools?",
    "prewarmed": "Does the prewarm API take remote repositories and multi-platform images?",
}
"""The questions of ``docs/open-questions.md``, in its words."""

_ANSWERS: Final = {
    "streamed": "yes",
    "likely_streamed": "probably: the pull was too fast for a download",
    "not_streamed": "not in this pull",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question."""

    kind: StepKind
    answer: str
    """Begins with ``open`` if the trial does not answer it."""
    evidence: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """The question."""
        return QUESTIONS[self.kind]

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``trial.json``."""
        return {
            "question": self.question,
            "answer": self.answer,
            "evidence": list(self.evidence),
        }


def answer_questions(
    results: Sequence[PullResult], left_out: Iterable[LeftOut]
) -> tuple[Answer, ...]:
    """Return an answer to each question for which a pull was made or left out."""
    reasons = {each.step.kind: each.reason for each in left_out}
    answers = []
    for kind in QUESTIONS:
        found = next((each for each in results if each.step.kind == kind), None)
        if found is not None:
            answers.append(_answer(found, results))
        elif kind in reasons:
            answers.append(Answer(kind, f"open: {reasons[kind]}"))
    return tuple(answers)


def _answer(result: PullResult, results: Iterable[PullResult]) -> Answer:
    kind = result.step.kind
    if not result.counts:
        return Answer(kind, f"open: {result.verdict}", result.texts)
    primed = [each for each in results if each.step.kind in {"mirror", "again"}]
    if kind == "accelerator" and any(
        each.step.node is not None and each.step.node.accelerator for each in primed
    ):
        return Answer(kind, "open: another accelerator node pulled the image before", result.texts)
    text = _ANSWERS.get(result.streamed or "", "open: nothing shows it")
    return Answer(kind, text, result.texts)
