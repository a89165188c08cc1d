"""The benchmark counts expected outcomes only, and compares measurements of one round."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.report.entries import parse_fact
from tools.bench.calls import Call, is_job_post, is_manifest_request
from tools.bench.documents import DATA, DOCUMENT, read_generated, render
from tools.bench.figures import Spread, compare
from tools.bench.measuring import Sample
from tools.bench.report_rate import ReportRate, make_lines
from tools.bench.scenarios import Scenario, list_scenarios
from tools.bench.targets import Target, to_job

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert Spread.of([3.0, 1.0, 7.0, 2.0]) == Spread(median=2.5, low=1.0, high=7.0)


def test_ratio_compares_starts_of_the_same_round() -> None:
    quiet, busy = Sample(1.0, 100), Sample(10.0, 100)
    samples = {
        "blank": [quiet, busy, quiet],
        "other": [Sample(2.0, 300), Sample(20.0, 200), Sample(2.0, 200)],
    }

    figures = compare(samples, floor="blank")

    assert figures["other"].to_floor.cold_start == Spread(2.0, 2.0, 2.0)
    assert figures["other"].to_floor.pss == Spread(2.0, 2.0, 3.0)
    assert figures["other"].cold_start_s == Spread(2.0, 2.0, 20.0)
    assert figures["blank"].to_floor.cold_start == Spread(1.0, 1.0, 1.0)


def test_scenarios_that_were_measured_unequally_often_are_not_compared() -> None:
    samples = {"blank": [Sample(1.0, 1)], "other": [Sample(1.0, 1), Sample(1.0, 1)]}

    with pytest.raises(ValueError, match=r"shorter|longer"):
        compare(samples, floor="blank")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param({"disposition": "ignored", "published": ["a"]}, id="another disposition"),
        pytest.param({"disposition": "handled"}, id="nothing was published"),
        pytest.param({"disposition": "handled", "published": []}, id="an empty list"),
        pytest.param({"text": "Traceback"}, id="no line of a delivery"),
    ],
)
def test_other_outcome_does_not_prove_a_delivery(line: dict[str, Any]) -> None:
    scenario = Scenario("audit_log", "published", {}, "handled", "published")

    assert scenario.is_proven_by({"disposition": "handled", "published": ["a"]})
    assert not scenario.is_proven_by(line)


def test_delivery_is_pushed_as_pubsub_pushes_it() -> None:
    scenario = Scenario("pull_event", "ignored", {"image": "a"}, "ignored", "reason")

    body = json.loads(scenario.body("7", NOON))

    message = body["message"]
    assert json.loads(base64.b64decode(message["data"])) == {"image": "a"}
    assert message["messageId"] == "7"
    assert message["publishTime"] == "2026-05-04T12:00:00.000000Z"
    assert body["subscription"] == "projects/demo/subscriptions/prestream-pull-event"


def test_floor_comes_first_and_every_other_delivery_must_be_proven() -> None:
    floor, *others = list_scenarios(NOON)

    assert floor.function == "blank"
    ours = [each for each in others if each.function != "naive"]
    assert all(each.disposition and each.evidence for each in ours)
    assert len({each.name for each in others}) == len(others)


def test_delivery_is_compared_with_the_naive_one_of_its_kind_in_the_same_round() -> None:
    samples = {
        "blank": [Sample(1.0, 100, 50.0), Sample(1.0, 100, 10.0)],
        "naive": [Sample(3.0, 300, 40.0), Sample(6.0, 300, 8.0)],
        "other": [Sample(1.5, 150, 20.0), Sample(3.0, 150, 4.0)],
    }

    figures = compare(samples, "blank", {"other": "naive"})

    other = figures["other"]
    assert figures["naive"].to_naive is None
    assert other.to_naive is not None
    assert other.to_naive.cold_start == Spread(0.5, 0.5, 0.5)
    assert other.to_naive.rate == Spread(0.5, 0.5, 0.5)
    assert other.to_floor.rate == Spread(0.4, 0.4, 0.4)


def test_every_kind_of_delivery_has_a_naive_one_to_compare_with() -> None:
    scenarios = list_scenarios(NOON)

    naive = {each.kind for each in scenarios if each.function == "naive"}

    assert {each.kind for each in scenarios} == naive


@pytest.mark.parametrize(
    ("measured", "is_least", "is_met"),
    [(1.2, False, True), (1.21, False, False), (1.2, True, True), (1.19, True, False)],
)
def test_target_is_met_at_its_limit(measured: float, *, is_least: bool, is_met: bool) -> None:
    assert Target("calls", "something", measured, 1.2, is_least=is_least).is_met is is_met


def test_calls_count_until_the_job_is_made() -> None:
    jobs = "/apis/batch/v1/namespaces/prestream/jobs"
    calls = [
        Call("registry", "GET /v2/demo/hub/app/manifests/1", 0.0),
        Call("kubernetes", f"GET {jobs}/warm-app", 0.1),
        Call("kubernetes", f"POST {jobs}?fieldValidation=Strict", 0.2),
        Call("kubernetes", f"GET {jobs}?limit=500", 0.3),
    ]

    assert to_job(calls) == 3
    assert [is_job_post(each) for each in calls] == [False, False, True, False]
    assert [is_manifest_request(each) for each in calls] == [True, False, False, False]
    assert calls[1].kind == f"kubernetes: GET {jobs}/NAME"


def test_page_shows_the_saved_figures() -> None:
    content = json.loads(DATA.read_text("utf-8"))

    assert read_generated(DOCUMENT) == render(content)


def test_facts_that_the_report_is_measured_with_are_facts() -> None:
    lines = [line.encode() for line in make_lines(40)]

    facts = [parse_fact(line) for line in lines]

    assert all(facts)
    assert len({fact.insert_id for fact in facts if fact}) == 40


def test_rate_is_of_the_whole_command() -> None:
    rate = ReportRate(
        lines=1_000,
        seconds=4.0,
        peak_bytes=60_000_000,
        peak_bytes_of_few=50_000_000,
        page_bytes=1_500_000,
    )

    assert rate.as_json()["lines_per_second"] == 250
    assert "1,000 lines in 4.0 s, 250 a second; at most 60 MB, against 50 MB" in str(rate)
