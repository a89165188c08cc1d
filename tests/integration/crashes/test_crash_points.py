"""
A delivery is killed at each of its calls, and comes again: the world ends in the same state.

Each scenario is first delivered undisturbed, and the services note all calls. Then, with the world
put back, the delivery is disturbed at each call in turn:

- *killed before a call*: the process gets SIGKILL when the call has arrived and has no effect yet.
  This is also the moment after the answer to the previous call.
- *killed before the acknowledgement*: all calls are done, and Pub/Sub gets no answer.
- *a lost answer*: the call is done, or not, and its connection is closed. The process handles the
  failure, and an unacknowledged message comes again, to the same process or to a fresh one.
- *an overtaken delivery*: during a call the message comes again to another process, which settles
  it. This happens where a delivery takes longer than Pub/Sub waits.

After a kill, the same message comes to a fresh process. Nothing is random, and the first delivery
finds all calls, new ones included.

A kill between two reads leaves the same world as a kill at the next write. Every run of the tests
therefore strikes at the writes (all calls that are not known to only read), and the soak at all
calls.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest

from sandbox.local_cloud import ROOT
from shared.domain.fact import EventName
from shared.pipeline.warm import WarmupResult
from tests.integration.crashes import of_events, of_references
from tests.integration.crashes.rights import find_rights, right_of
from tests.integration.crashes.runs import Recording, Runs
from tests.integration.crashes.scenarios import SCENARIOS, Scenario, make_history
from tests.integration.crashes.worlds import World

FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/main.py"))
DISCOVERY = {"kubernetes GET /apis"}
"""Calls that every user of a cluster may make."""

pytestmark = pytest.mark.integration

MODULES = (of_references, of_events)
"""They register their scenarios when they are imported."""


@pytest.fixture(scope="module")
def world(archives: Path, deployed_python: Path) -> Iterator[World]:
    """Return a cloud with a history, in which nothing moves."""
    made = World(archives, deployed_python)
    try:
        made.start()
        make_history(made)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def run(world: World) -> Callable[[Scenario], Runs]:
    """Prepare a scenario, and deliver it undisturbed, once."""
    begin = world.cloud.save()
    known: dict[str, Runs] = {}

    def prepare(scenario: Scenario) -> Runs:
        if scenario.name not in known:
            begin()
            known[scenario.name] = Runs(world, scenario)
        return known[scenario.name]

    return prepare


Prepare = Callable[[Scenario], Runs]

every_scenario = pytest.mark.parametrize(
    "scenario", [pytest.param(each, id=f"{each.function}: {each.name}") for each in SCENARIOS]
)


Select = Callable[[Recording], Iterable[int]]


def all_numbers(recording: Recording) -> Iterable[int]:
    """Return the numbers of all calls."""
    return recording.numbers


writes_or_all_calls = pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(Recording.number_writes, id="writes"),
        pytest.param(all_numbers, id="all calls", marks=pytest.mark.soak),
    ],
)


@every_scenario
def test_scenario_ends_as_declared(run: Prepare, scenario: Scenario) -> None:
    recording = run(scenario).recording

    missing = [each for each in scenario.says if not recording.line.get(each)]
    assert recording.line["disposition"] == scenario.disposition, recording.line
    assert not missing, recording.line


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_right_of_a_function_is_used_in_a_scenario(run: Prepare, function: str) -> None:
    """A step without a scenario would leave one of its rights unused."""
    own = [scenario for scenario in SCENARIOS if scenario.function == function]

    granted = find_rights(function)
    used = {
        # Without a right in its namespace, a call uses the one in all namespaces.
        right if right in granted else re.sub(r" in (prestream|default|ml)$", " in all", right)
        for scenario in own
        for right in map(right_of, run(scenario).recording.calls)
        if right not in DISCOVERY
    }

    assert used == granted


def test_every_kind_of_fact_is_written_in_a_scenario(run: Prepare) -> None:
    facts = [
        fact for scenario in SCENARIOS for fact in run(scenario).recording.state["facts"].values()
    ]

    assert {fact["event"] for fact in facts} == set(get_args(EventName))


def test_every_result_of_a_warmup_is_met_in_a_scenario(run: Prepare) -> None:
    launched = [each for each in SCENARIOS if each.function == "image_reference"]
    ends = set(get_args(WarmupResult))

    met = {key for scenario in launched for key in run(scenario).recording.line} & ends

    # The other results change nothing that could be done twice.
    assert met == ends - {"too_small", "would_create", "postponed"}


@every_scenario
@writes_or_all_calls
def test_killed_delivery_ends_well_when_it_comes_again(
    run: Prepare, scenario: Scenario, numbers: Select
) -> None:
    runs = run(scenario)

    troubles = {name(runs, number): runs.kill_before(number) for number in numbers(runs.recording)}
    troubles["before the acknowledgement"] = runs.kill_before_acknowledgement()

    check(troubles)


@every_scenario
@pytest.mark.parametrize(
    ("numbers", "is_done", "is_fresh"),
    [
        pytest.param(Recording.number_writes, True, False, id="write that was done"),
        pytest.param(Recording.number_writes, False, False, id="write that was not done"),
        pytest.param(all_numbers, True, False, id="done, same process", marks=pytest.mark.soak),
        pytest.param(all_numbers, True, True, id="done, fresh process", marks=pytest.mark.soak),
        # A kill leaves a call that was not done, and a fresh process.
        pytest.param(all_numbers, False, False, id="not done", marks=pytest.mark.soak),
    ],
)
def test_delivery_that_misses_an_answer_ends_well(
    run: Prepare, scenario: Scenario, numbers: Select, *, is_done: bool, is_fresh: bool
) -> None:
    runs = run(scenario)

    check(
        {
            name(runs, number): runs.lose_answer(number, is_done=is_done, is_fresh=is_fresh)
            for number in numbers(runs.recording)
        }
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_delivery_is_not_acknowledged_before_its_writes_are_answered(
    run: Prepare, function: str
) -> None:
    """A process that is killed right after the acknowledgement leaves nothing undone."""
    runs = run(next(each for each in SCENARIOS if each.function == function))

    assert not any(map(runs.is_acknowledged_before, runs.recording.number_writes()))


@pytest.mark.soak
@every_scenario
def test_overtaken_delivery_ends_well(run: Prepare, scenario: Scenario) -> None:
    runs = run(scenario)

    check({name(runs, number): runs.overtake(number) for number in runs.recording.numbers})


def name(runs: Runs, number: int) -> str:
    """Return the number of a call and the call itself."""
    return f"{number}. {runs.recording.calls[number - 1]}"


def check(troubles: Mapping[str, list[str]]) -> None:
    """Fail with each place at which the world ended differently."""
    lines = [f"{place}\n    {line}" for place, found in troubles.items() for line in found]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)
