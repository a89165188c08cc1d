"""The results of a trial: which pulls count, the conclusion, the interval, the cost, the table."""

import io
from collections.abc import Sequence
from datetime import timedelta

import pytest
from rich.console import Console

from cli.trial.cost_estimate import estimate_cost
from cli.trial.node_choice import NodeChoice
from cli.trial.pull_interval import PullInterval
from cli.trial.pull_result import PullResult
from cli.trial.simulation import is_simulated
from cli.trial.trial_plan import TrialOptions, plan_trial
from cli.trial.trial_step import Step, StepKind, TrialNode
from cli.trial.trial_summary import TrialSummary
from cli.trial.trial_table import print_plan, print_results

HOUR = timedelta(hours=1)


def pull(
    kind: StepKind = "again",
    seconds: float | None = 8.0,
    streamed: str | None = "streamed",
    *,
    held: bool | None = False,
    outcome: str = "pulled",
    number: int = 1,
) -> PullResult:
    return PullResult(
        step=Step(kind, number, TrialNode("gke-gpu-cpu-a", "e2-standard-4", streams=True)),
        image="r/a@sha256:0",
        outcome=outcome,
        node="gke-gpu-cpu-a",
        seconds=seconds,
        image_bytes=9_700_000_000,
        streamed=streamed,
        node_held_image=held,
        evidence=({"kind": "pull", "text": f"pulled in {seconds}"},),
    )


COLD = pull("upstream", 317.0, "not_streamed")


@pytest.mark.parametrize(
    ("result", "counts", "verdict"),
    [
        pytest.param(pull(), True, "streamed", id="streamed"),
        pytest.param(COLD, True, "not streamed", id="cold"),
        pytest.param(pull(streamed="unknown"), True, "unknown", id="unknown"),
        pytest.param(pull(held=None), False, "not shown cold", id="node-unknown"),
        pytest.param(pull(held=True), False, "not shown cold", id="node-held-it"),
        pytest.param(
            pull(streamed="cached_on_node", held=True), False, "was on the node", id="present"
        ),
        pytest.param(pull(seconds=None), False, "not shown cold", id="no-duration"),
        pytest.param(pull(outcome="pull_failed", streamed=None), False, "pull failed", id="failed"),
        pytest.param(pull(outcome="timed_out", streamed=None), False, "timed out", id="timed-out"),
    ],
)
def test_pull_counts_only_if_its_node_provably_lacked_the_image(
    result: PullResult, *, counts: bool, verdict: str
) -> None:
    assert (result.counts, result.verdict) == (counts, verdict)


@pytest.mark.parametrize(
    ("results", "conclusion", "factor"),
    [
        pytest.param([COLD, pull(seconds=8.0)], "streamed", 39.625, id="streamed"),
        pytest.param([pull()], "streamed", None, id="nothing-to-compare-with"),
        pytest.param([COLD, pull(held=None)], "none", None, id="second-pull-may-be-cached"),
        pytest.param([COLD], "none", None, id="no-second-pull"),
        pytest.param([COLD, pull(streamed="unknown")], "none", 39.625, id="no-verdict"),
        pytest.param(
            [COLD, pull(seconds=300.0, streamed="not_streamed")],
            "not_streamed",
            317 / 300,
            id="not-streamed",
        ),
        pytest.param(
            [pull(streamed="likely_streamed", seconds=4.0)], "likely_streamed", None, id="likely"
        ),
        pytest.param([pull(), pull(streamed="unknown", number=2)], "mixed", None, id="mixed"),
        pytest.param(
            [pull("mirror", 320.0, "not_streamed"), pull()], "streamed", 40.0, id="first-pull"
        ),
        pytest.param(
            [pull("upstream", 317.0, "not_streamed", held=None), pull()],
            "streamed",
            None,
            id="cold-pull-not-shown-cold",
        ),
        pytest.param([pull("accelerator"), COLD], "none", None, id="question-alone"),
    ],
)
def test_conclusion_follows_from_the_pulls_that_count(
    results: Sequence[PullResult], conclusion: str, factor: float | None
) -> None:
    summary = TrialSummary.of(results)

    assert summary.conclusion == conclusion
    assert summary.factor == (None if factor is None else pytest.approx(factor))


def test_headline_of_no_result_claims_nothing() -> None:
    summary = TrialSummary.of([COLD, pull(held=None)])

    assert summary.headline.startswith("No result")
    assert summary.comparison is None
    assert [each.step.key for each in summary.excluded] == ["c"]


def test_comparison_names_the_number_and_the_interval() -> None:
    again = [pull(seconds=7.0 + number, number=number) for number in (1, 2, 3)]

    assert TrialSummary.of([COLD, *again]).comparison == (
        "Second pull: median 9.0 s, n=3, 75 % interval 8.0 to 10.0 s; cold pull: 317.0 s,"
        " 35.2 times as long."
    )


@pytest.mark.parametrize(
    ("number", "low", "high", "confidence"),
    [
        pytest.param(1, 1, 1, 0.0, id="one"),
        pytest.param(5, 1, 5, 0.9375, id="whole-range"),
        pytest.param(6, 1, 6, 0.96875, id="six"),
        pytest.param(9, 2, 8, 0.9609375, id="nine"),
        # The table of ranks in books on nonparametric statistics.
        pytest.param(20, 6, 15, 0.9586, id="twenty"),
    ],
)
def test_interval_of_the_median_follows_from_the_binomial_distribution(
    number: int, low: int, high: int, confidence: float
) -> None:
    found = PullInterval.of(float(each) for each in range(1, number + 1))

    assert found is not None
    assert (found.low, found.high) == (low, high)
    assert found.confidence == pytest.approx(confidence, abs=1e-4)


@pytest.mark.parametrize(
    ("size", "kept", "autopilot", "text"),
    [
        pytest.param(9_700_000_000, False, False, "less than USD 0.01 for storage", id="removed"),
        pytest.param(9_700_000_000, True, False, "at most USD 0.97 for a month", id="kept"),
        pytest.param(None, False, False, "USD 0.10 per GB and month", id="unknown-size"),
        pytest.param(1_000_000, False, True, "at most USD 0.06", id="autopilot"),
    ],
)
def test_cost_is_an_upper_bound(
    size: int | None, *, kept: bool, autopilot: bool, text: str
) -> None:
    cost = estimate_cost(size, timeout=HOUR, pulls=3, is_kept=kept, is_autopilot=autopilot)

    assert cost.sentence.startswith(text)


@pytest.mark.parametrize(
    ("environ", "nodes", "simulated"),
    [
        pytest.param({"KUBECONFIG": "x"}, [{"metadata": {}}], False, id="real"),
        pytest.param({"ARTIFACT_REGISTRY_EMULATOR_HOST": "h:1"}, [], True, id="emulator"),
        pytest.param({"CLOUD_LOGGING_EMULATOR_HOST": ""}, [], False, id="empty-variable"),
        pytest.param(
            {},
            [{"metadata": {"annotations": {"prestream.dev/simulated": "true"}}}],
            True,
            id="node-of-the-sandbox",
        ),
    ],
)
def test_sandbox_is_recognized(
    environ: dict[str, str], nodes: list[dict[str, object]], *, simulated: bool
) -> None:
    assert is_simulated(environ, nodes) is simulated


def make_terminal() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=80, markup=False, highlight=False, emoji=False), file


def test_table_fits_a_terminal_of_80_columns() -> None:
    console, file = make_terminal()

    print_results(console, [COLD, pull("mirror", 318.0, "not_streamed"), pull()], "docker.io")

    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "SIMULATED" not in file.getvalue()
    row = next(line for line in lines if line.startswith("c  second"))
    assert row.split()[-4:] == ["8.0", "9.7", "GB", "streamed"]


def test_table_of_the_sandbox_is_marked_as_simulated() -> None:
    console, file = make_terminal()

    print_results(console, [pull()], "docker.io", simulated=True)

    assert file.getvalue().startswith("SIMULATED")


def test_pull_that_is_not_shown_cold_is_explained_below_the_table() -> None:
    console, file = make_terminal()

    print_results(console, [pull(held=None)], "docker.io")

    assert "not shown cold" in file.getvalue()
    assert "the node may have held the image before" in file.getvalue()


def test_control_characters_of_an_event_do_not_reach_the_terminal() -> None:
    console, file = make_terminal()
    hostile = PullResult(
        step=Step("again"),
        image="r/a",
        outcome="pull_failed",
        node="n\x1b[2J",
        reason="gone\x1b[2J",
    )

    print_results(console, [hostile], "docker.io")

    assert "\x1b" not in file.getvalue()


def test_plan_names_what_it_leaves_out() -> None:
    console, file = make_terminal()
    choice = NodeChoice((TrialNode("n1", streams=True), TrialNode("n2", streams=True)))

    print_plan(console, plan_trial(TrialOptions(upstream="docker.io"), choice), "docker.io")

    assert "a  left out: cold, from docker.io: needs one more node" in file.getvalue()
