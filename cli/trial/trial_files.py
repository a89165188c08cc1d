"""The files of a trial: ``trial.json`` and ``trial.html``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cli.trial.open_answers import Answer, answer_questions
from cli.trial.trial_page import make_page
from cli.trial.trial_plan import TrialPlan
from cli.trial.trial_run import TrialState
from cli.trial.trial_step import Step, describe
from cli.trial.trial_summary import TrialSummary
from cli.version import VERSION
from shared.domain.timestamp import format_time


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A trial that ended, with the circumstances that a reader needs."""

    state: TrialState
    cluster: str
    simulated: bool
    started: datetime
    ended: datetime
    interrupted: bool = False
    log_problem: str | None = None
    """Why the snapshotter's log could not be read."""

    @property
    def summary(self) -> TrialSummary:
        """The figures."""
        return TrialSummary.of(self.state.results)

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers to open questions; empty if none was asked."""
        return answer_questions(self.state.results, self.state.plan.left_out)

    def as_json(self) -> dict[str, Any]:
        """Return the content of ``trial.json``."""
        state, image = self.state, self.state.image
        return {
            "simulated": self.simulated,
            "prestream": VERSION,
            "image": image.written.text,
            "mirror": str(image.source.mirror),
            "mirror_created": state.created_mirror,
            "digest": image.manifest.digest if image.manifest else None,
            "image_bytes": image.image_bytes,
            "platform": state.platform,
            "cluster": self.cluster,
            "started_at": format_time(self.started),
            "ended_at": format_time(self.ended),
            "interrupted": self.interrupted,
            "problem": state.problem,
            "snapshotter_log": self.log_problem or "read",
            "plan": _plan_as_json(state.plan, image.upstream),
            "pulls": [each.as_json() for each in state.results],
            "summary": self.summary.as_json(),
            "answers": [each.as_json() for each in self.answers],
        }


def _plan_as_json(plan: TrialPlan, upstream: str | None) -> Mapping[str, Any]:
    return {
        "nodes_needed": plan.needed,
        "nodes_suitable": len(plan.choice.suitable),
        "nodes_unsuitable": dict(plan.choice.unsuitable),
        "steps": [_step_as_json(each, upstream) for each in plan.steps],
        "left_out": [
            {**_step_as_json(each.step, upstream), "reason": each.reason} for each in plan.left_out
        ],
    }


def _step_as_json(step: Step, upstream: str | None) -> dict[str, Any]:
    return {
        "step": step.key,
        "kind": step.kind,
        "text": describe(step.kind, upstream),
        "node": step.node.name if step.node else None,
    }


def write_files(record: TrialRecord, folder: Path) -> list[Path]:
    """
    Write the files, and return their paths.

    Raises:
        OSError: A file cannot be written.
    """
    data = folder / "trial.json"
    text = json.dumps(record.as_json(), indent=2, ensure_ascii=False)
    data.write_text(f"{text}\n", encoding="utf-8")
    page = folder / "trial.html"
    page.write_text(make_page(record.as_json()), encoding="utf-8")
    return [data, page]
