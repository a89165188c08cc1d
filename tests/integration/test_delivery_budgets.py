"""
The budget of each kind of delivery, in counts and not in seconds.

``python -m tools.bench.budgets --write`` takes the counts as the new ceilings, after a change
that is meant to cost more, or that made something cheaper.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tools.bench.budgets import BUDGETS, list_counted, make_budget, prepare
from tools.bench.probing import Counted, count_blank, count_delivery, name_growth
from tools.bench.scenarios import Scenario
from tools.bench.stages import Stage

pytestmark = pytest.mark.integration

SLACK = 1.05
"""The tolerance for Python calls: few depend on how an answer arrives."""

SCENARIOS = list_counted(datetime.now(UTC))
WRITTEN: dict[str, Any] = json.loads(BUDGETS.read_text("utf-8"))


class Counter:
    """Counts each kind of delivery once, when it is first asked for."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._blank = count_blank(stage)
        self._counted: dict[str, Counted] = {}

    def count(self, scenario: Scenario) -> Counted:
        if scenario.name not in self._counted:
            self._counted[scenario.name] = count_delivery(self._stage, scenario, self._blank)
        return self._counted[scenario.name]


@pytest.fixture(scope="module")
def counter(archives: Path, deployed_python: Path) -> Iterator[Counter]:  # noqa: ARG001 - they are built
    with Stage() as stage:
        prepare(stage)
        yield Counter(stage)


def test_every_kind_of_delivery_has_a_budget() -> None:
    assert WRITTEN.keys() == {each.name for each in SCENARIOS}


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in SCENARIOS])
def test_delivery_imports_no_more_than_its_budget(counter: Counter, scenario: Scenario) -> None:
    counted, budget = counter.count(scenario), WRITTEN[scenario.name]

    grown = {
        "at its start": name_growth(counted.started, budget["modules_at_start"]),
        "for its first delivery": name_growth(
            counted.imported, budget["modules_of_first_delivery"]
        ),
        "for the next delivery": name_growth(
            counted.imported_next, budget["modules_of_next_delivery"]
        ),
    }

    said = [
        f"{when}, {package}: {', '.join(names)}"
        for when, packages in grown.items()
        for package, names in packages.items()
    ]
    assert not said, "modules beyond the budget\n" + "\n".join(said)


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in SCENARIOS])
def test_delivery_makes_exactly_the_calls_of_its_budget(
    counter: Counter, scenario: Scenario
) -> None:
    now, budget = make_budget(counter.count(scenario)), WRITTEN[scenario.name]

    for which in ("calls_of_first_delivery", "calls_of_next_delivery"):
        assert now[which] == budget[which], which


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in SCENARIOS])
def test_warm_delivery_runs_no_more_python_than_its_budget(
    counter: Counter, scenario: Scenario
) -> None:
    counted, budget = counter.count(scenario), WRITTEN[scenario.name]
    if counted.python != budget["python"]:
        pytest.skip(f"the budget is of Python {budget['python']}, and this is {counted.python}")

    assert counted.python_calls <= budget["python_calls_of_next_delivery"] * SLACK
