"""The benchmark counts only what ended as it should, and compares what was measured together."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bench.figures import Spread, compare
from bench.measuring import Sample
from bench.report_rate import ReportRate, make_lines
from bench.scenarios import Scenario, list_scenarios
from cli.report.entries import parse_fact

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_a_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert Spread.of([3.0, 1.0, 7.0, 2.0]) == Spread(median=2.5, low=1.0, high=7.0)


def test_a_ratio_compares_starts_of_the_same_round() -> None:
    quiet, busy = Sample(1.0, 100), Sample(10.0, 100)
    samples = {
        "blank": [quiet, busy, quiet],
        "other": [Sample(2.0, 300), Sample(20.0, 200), Sample(2.0, 200)],
    }

    figures = compare(samples, floor="blank")

    assert figures["other"].cold_start_ratio == Spread(2.0, 2.0, 2.0)
    assert figures["other"].pss_ratio == Spread(2.0, 2.0, 3.0)
    assert figures["other"].cold_start_s == Spread(2.0, 2.0, 20.0)
    assert figures["blank"].cold_start_ratio == Spread(1.0, 1.0, 1.0)


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
def test_a_delivery_that_ended_otherwise_proves_nothing(line: dict[str, Any]) -> None:
    scenario = Scenario("audit_log", "published", {}, "handled", "published")

    assert scenario.is_proven_by({"disposition": "handled", "published": ["a"]})
    assert not scenario.is_proven_by(line)


def test_a_delivery_is_pushed_as_pubsub_pushes_it() -> None:
    scenario = Scenario("pull_event", "ignored", {"image": "a"}, "ignored", "reason")

    body = json.loads(scenario.body("7", NOON))

    message = body["message"]
    assert json.loads(base64.b64decode(message["data"])) == {"image": "a"}
    assert message["messageId"] == "7"
    assert message["publishTime"] == "2026-05-04T12:00:00.000000Z"
    assert body["subscription"] == "projects/demo/subscriptions/prestream-pull-event"


def test_the_floor_comes_first_and_every_other_delivery_must_be_proven() -> None:
    floor, *others = list_scenarios(NOON)

    assert floor.function == "blank"
    assert all(each.disposition and each.evidence for each in others)
    assert len({each.name for each in others}) == len(others)


def test_the_facts_that_the_report_is_measured_with_are_facts() -> None:
    lines = [line.encode() for line in make_lines(40)]

    facts = [parse_fact(line) for line in lines]

    assert all(facts)
    assert len({fact.insert_id for fact in facts if fact}) == 40


def test_a_rate_is_of_the_whole_command() -> None:
    rate = ReportRate(lines=1_000, seconds=4.0, peak_bytes=60_000_000, peak_bytes_of_few=50_000_000)

    assert rate.as_json()["lines_per_second"] == 250
    assert "1,000 lines in 4.0 s, 250 a second; at most 60 MB, against 50 MB" in str(rate)
