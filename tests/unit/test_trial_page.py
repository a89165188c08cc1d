"""The page of a trial, and its answers to open questions."""

from dataclasses import replace
from typing import Any

import pytest

from cli.trial.open_answers import answer_questions
from cli.trial.pull_result import PullResult
from cli.trial.trial_page import make_page
from cli.trial.trial_plan import LeftOut
from cli.trial.trial_step import Step, StepKind, TrialNode
from cli.trial.trial_summary import TrialSummary

CPU = TrialNode("cpu", "e2", streams=True)
GPU = TrialNode("gpu", "g2", accelerator="nvidia-l4", streams=True)


def pull(
    kind: StepKind,
    streamed: str | None = "streamed",
    *,
    held: bool | None = False,
    node: TrialNode = CPU,
    text: str = "Image r is backed by image streaming.",
) -> PullResult:
    return PullResult(
        step=Step(kind, 1, node),
        image="r",
        outcome="pulled",
        node=node.name,
        seconds=8.0,
        image_bytes=10**9,
        streamed=streamed,
        node_held_image=held,
        evidence=({"kind": "snapshotter", "text": text},),
    )


@pytest.mark.parametrize(
    ("results", "answer"),
    [
        pytest.param([pull("in_place")], "yes", id="streamed"),
        pytest.param([pull("in_place", "not_streamed")], "not in this pull", id="not-streamed"),
        pytest.param([pull("in_place", "unknown")], "open: nothing shows it", id="unknown"),
        pytest.param([pull("in_place", held=None)], "open: not shown cold", id="not-cold"),
        pytest.param([pull("prewarmed")], "yes", id="prewarmed"),
        pytest.param(
            [replace(pull("prewarmed", None), outcome="prewarm_failed", evidence=(), reason="404")],
            "open: prewarm failed",
            id="prewarm-refused",
        ),
        pytest.param([pull("mirror"), pull("accelerator", node=GPU)], "yes", id="accelerator"),
        pytest.param(
            [pull("mirror"), pull("again", node=GPU), pull("accelerator", node=GPU)],
            "open: another accelerator node pulled the image before",
            id="primed-by-an-accelerator-node",
        ),
    ],
)
def test_question_is_answered_by_a_pull_that_began_cold(
    results: list[PullResult], answer: str
) -> None:
    (found,) = answer_questions(results, [])

    assert found.answer == answer
    assert found.evidence == results[-1].texts


def test_question_that_was_left_out_stays_open_with_the_reason() -> None:
    (found,) = answer_questions([], [LeftOut(Step("accelerator"), "no such node")])

    assert found.answer == "open: no such node"


def test_no_question_is_answered_that_was_not_asked() -> None:
    assert answer_questions([pull("again")], [LeftOut(Step("upstream"), "x")]) == ()


def make_record(*pulls: PullResult, simulated: bool = False) -> dict[str, Any]:
    return {
        "simulated": simulated,
        "image": "team/app:1",
        "image_bytes": 10**9,
        "platform": "linux/amd64",
        "cluster": "projects/p/locations/l/clusters/c",
        "started_at": "2026-11-24T10:00:00Z",
        "problem": None,
        "interrupted": False,
        "plan": {
            "steps": [{"step": each.step.key, "text": "pull"} for each in pulls],
            "left_out": [],
        },
        "pulls": [each.as_json() for each in pulls],
        "summary": TrialSummary.of(pulls).as_json(),
        "answers": [],
    }


def test_page_shows_the_verdict_and_the_evidence() -> None:
    page = make_page(make_record(pull("upstream", "not_streamed"), pull("again")))

    assert "The second pull was streamed." in page
    assert "backed by image streaming" in page
    assert "imulated" not in page.replace(".simulated {", "")


def test_page_of_the_sandbox_is_marked_and_never_calls_itself_a_measurement() -> None:
    page = make_page(make_record(pull("again"), simulated=True))

    assert "<title>Trial of team/app:1 (simulated)</title>" in page
    assert '<p class="simulated">' in page
    assert "Simulated: The second pull was streamed." in page
    assert "measure" not in page.lower()


def test_page_draws_no_bar_for_a_pull_that_is_not_a_result() -> None:
    page = make_page(make_record(pull("again", held=None)))

    assert 'class="bar ' not in page
    assert "not shown cold" in page
    assert "so this pull is not a result" in page


def test_text_of_an_event_cannot_become_markup() -> None:
    page = make_page(make_record(pull("again", text="<script>alert(1)</script>")))

    assert "<script>" not in page
