"""
A delivery is killed at each of its calls, and comes again: the world ends the same.

Each scenario is first delivered undisturbed; the services note the calls that arrive, whatever
they are. Then, with the world put back, the delivery is disturbed at each of them in turn:

- *killed before a call*: the process gets SIGKILL when the call has arrived, before it does
  anything. For all that outlives the process this is also the moment *after the call before it
  was done, and answered*: so the moments between all calls are covered, the first and the last.
- *killed before the acknowledgement*: all is done, and Pub/Sub does not hear of it.
- *an answer that is lost*: the call is done, or not, and its connection closed. The process lives
  on, does what it does about that, and the message comes again if it was not acknowledged: to the
  same process, which may remember what it believes, or to a fresh one.
- *a delivery that is overtaken*: while a call is under way, the message comes again to another
  process and is settled there, as where a delivery takes longer than Pub/Sub waits.

After a kill the same message comes to a process that never served. Nothing here is random, and
no call is listed: one that somebody adds is found by the first delivery.

Killed between two reads a delivery leaves the same world as at the write that comes next. So every
run of the tests strikes at the writes (whatever is not known to read only), and the soak at all
calls, in all these ways.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest

from sandbox.local_cloud import ROOT
from shared.domain.fact import EventName
from shared.pipeline.warm import WarmupResult
from tests.integration.crashes import of_events, of_references
from tests.integration.crashes.rights import find_rights, right_of
from tests.integration.crashes.runs import Runs
from tests.integration.crashes.scenarios import SCENARIOS, Scenario, make_history
from tests.integration.crashes.worlds import World

FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/main.py"))
DISCOVERY = {"kubernetes GET /apis"}
"""What everybody may call who is let in."""

pytestmark = pytest.mark.integration

MODULES = (of_references, of_events)
"""They register their scenarios when they are imported."""


@pytest.fixture(scope="module")
def world(archives: Path, deployed_python: Path) -> Iterator[World]:
    """One cloud with a history in it, which stands still."""
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


however = pytest.mark.parametrize(
    ("is_done", "is_fresh"),
    [
        pytest.param(True, False, id="done, same process"),
        pytest.param(True, True, id="done, fresh process"),
        pytest.param(False, False, id="not done, same process"),
    ],
)
"""A call that was not done, and a fresh process, are what a kill leaves."""


@every_scenario
def test_a_scenario_is_what_it_is_meant_to_be(run: Prepare, scenario: Scenario) -> None:
    recording = run(scenario).recording

    missing = [each for each in scenario.says if not recording.line.get(each)]
    assert recording.line["disposition"] == scenario.disposition, recording.line
    assert not missing, recording.line


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_right_of_a_function_is_used_in_a_scenario(run: Prepare, function: str) -> None:
    """A workflow that no scenario knows calls what none calls, for which it needs a right."""
    own = [scenario for scenario in SCENARIOS if scenario.function == function]

    used = {right_of(call) for scenario in own for call in run(scenario).recording.calls}

    assert used - DISCOVERY == find_rights(function)


def test_every_kind_of_fact_is_written_in_a_scenario(run: Prepare) -> None:
    facts = [
        fact for scenario in SCENARIOS for fact in run(scenario).recording.state["facts"].values()
    ]

    assert {fact["event"] for fact in facts} == set(get_args(EventName))


def test_every_end_of_a_launch_is_met_in_a_scenario(run: Prepare) -> None:
    launched = [each for each in SCENARIOS if each.function == "image_reference"]
    ends = set(get_args(WarmupResult))

    met = {key for scenario in launched for key in run(scenario).recording.line} & ends

    # The other results change nothing that could be done twice.
    assert met == ends - {"too_small", "would_create", "postponed"}


@every_scenario
def test_a_delivery_that_is_killed_at_a_write_ends_well_when_it_comes_again(
    run: Prepare, scenario: Scenario
) -> None:
    runs = run(scenario)

    kill(runs, runs.recording.number_writes())


@every_scenario
@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
def test_a_delivery_that_misses_the_answer_to_a_write_ends_well(
    run: Prepare, scenario: Scenario, *, is_done: bool
) -> None:
    runs = run(scenario)

    lose_answers(runs, runs.recording.number_writes(), is_done=is_done, is_fresh=False)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_acknowledged_before_its_writes_are_answered(
    run: Prepare, function: str
) -> None:
    """Whoever is killed right after the acknowledgement leaves nothing undone."""
    runs = run(next(each for each in SCENARIOS if each.function == function))

    assert not any(map(runs.is_acknowledged_before, runs.recording.number_writes()))


@pytest.mark.soak
@every_scenario
def test_a_delivery_that_is_killed_at_any_call_ends_well_when_it_comes_again(
    run: Prepare, scenario: Scenario
) -> None:
    runs = run(scenario)

    kill(runs, runs.recording.numbers)


@pytest.mark.soak
@every_scenario
@however
def test_a_delivery_that_misses_any_answer_ends_well(
    run: Prepare, scenario: Scenario, *, is_done: bool, is_fresh: bool
) -> None:
    runs = run(scenario)

    lose_answers(runs, runs.recording.numbers, is_done=is_done, is_fresh=is_fresh)


@pytest.mark.soak
@every_scenario
def test_a_delivery_that_is_overtaken_at_any_call_ends_well(
    run: Prepare, scenario: Scenario
) -> None:
    runs = run(scenario)

    overtake(runs, runs.recording.numbers)


def kill(runs: Runs, numbers: Iterable[int]) -> None:
    """Kill the delivery before each of these calls, and before its acknowledgement."""
    calls = runs.recording.calls
    troubles = {f"before {n}. {calls[n - 1]}": runs.kill_before(n) for n in numbers}
    troubles["before the acknowledgement"] = runs.kill_before_acknowledgement()
    check(troubles)


def overtake(runs: Runs, numbers: Iterable[int]) -> None:
    """Let the message come again before each of these calls takes effect."""
    calls = runs.recording.calls
    check({f"{n}. {calls[n - 1]}": runs.overtake(n) for n in numbers})


def lose_answers(runs: Runs, numbers: Iterable[int], *, is_done: bool, is_fresh: bool) -> None:
    """Lose the answer to each of these calls."""
    calls = runs.recording.calls
    check(
        {
            f"{n}. {calls[n - 1]}": runs.lose_answer(n, is_done=is_done, is_fresh=is_fresh)
            for n in numbers
        }
    )


def check(troubles: Mapping[str, list[str]]) -> None:
    """Fail if the world ended differently somewhere, and say where and how."""
    lines = [f"{place}\n    {line}" for place, found in troubles.items() for line in found]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)
