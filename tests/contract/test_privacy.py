"""
Texts of users are not copied: only necessary fields are logged, published and written to facts.

Every text of a message that must not be passed on holds a canary (tests/strategies/canaries.py
lists what may). None comes out: in no line, sound or not, no message, Job, fact or ConfigMap.
"""

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import ConfigurationError, TransientError
from tests.fakes.deployments import DeployedFunction, Settled, World
from tests.fakes.recorded_events import load_events
from tests.fakes.sweeps import make_deployment, make_pod
from tests.strategies.breaking import at, walk, write
from tests.strategies.canaries import (
    CANARY,
    TOLD,
    canaried,
    list_canaries,
    plant,
    secret_fields,
)
from tests.strategies.envelopes import envelope
from tests.strategies.shapes import SHAPES

NAMES = sorted(SHAPES)
every_function = pytest.mark.parametrize("name", NAMES)
many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ATTRIBUTES = {CANARY: CANARY, "principalEmail": f"{CANARY}@people.example"}


class SpiedWorld(World):
    """A world in which people wrote canaries into their workloads too."""

    @property
    def scene(self) -> Any:
        is_new = "_filled" not in vars(self)
        scene = World.scene.__get__(self)
        if is_new:
            self._filled = True
            for body in (
                make_deployment("trainer", "team/trainer:1"),
                make_pod("trainer-6f9c-1", "team/trainer:1", "team/trainer@sha256:" + "0" * 64),
            ):
                pod = body["spec"].get("template", body)["spec"]
                pod["containers"][0] |= secret_fields()
                pod["nodeSelector"]["team"] = CANARY
                body["metadata"]["annotations"] = {CANARY: CANARY, "owner": f"{CANARY}@a.example"}
                scene.cluster.place(body)
        return scene


def assert_told_nothing(settled: Settled, world: World) -> None:
    assert list(list_canaries([settled.output, settled.errors, *world.left_behind()])) == []


@every_function
def test_no_text_that_is_not_needed_gets_out(
    functions: dict[str, DeployedFunction], name: str
) -> None:
    @many
    @given(canaried(name, SHAPES[name]), st.booleans())
    def deliver(message: Any, as_event: bool) -> None:  # noqa: FBT001  # Hypothesis passes it
        body = envelope(write(message), attributes=ATTRIBUTES, orderingKey=CANARY)
        settled, world = functions[name].deliver(body, as_event=as_event)

        assert_told_nothing(settled, world)
        assert settled.status == 200

    deliver()


WHOLE = {
    "audit_log": "published",
    "build_notification": "published",
    "image_reference": "created",
    "pull_event": "fact",
    "registry_push": "published",
    "scheduled_sweep": "due",
}
"""The detail of the log line of a handled message, by function."""


@every_function
def test_message_full_of_canaries_is_handled_as_ever(
    functions: dict[str, DeployedFunction], name: str
) -> None:
    handled = set()
    for shape in SHAPES[name]:
        message = plant(shape, TOLD[name])
        assert CANARY in json.dumps(message)
        settled, world = functions[name].deliver(envelope(write(message)), world=SpiedWorld())

        assert_told_nothing(settled, world)
        handled |= set(settled.line)

    assert WHOLE[name] in handled


@every_function
def test_error_does_not_quote_the_message(
    functions: dict[str, DeployedFunction], name: str
) -> None:
    shape = next(
        each
        for each in SHAPES[name]
        if WHOLE[name] in functions[name].deliver(envelope(write(each)))[0].line
    )
    message = plant(shape, TOLD[name])
    rejected = 0
    for path in walk(shape):
        if not path:
            continue
        for odd in (None, 7, [CANARY], {CANARY: CANARY}, [[{"a": CANARY}]]):
            broken = copy.deepcopy(message)
            holder = at(broken, path[:-1])
            holder[path[-1]] = odd
            if odd is None:
                del holder[path[-1]]
            settled, world = functions[name].deliver(envelope(write(broken)))

            assert_told_nothing(settled, world)
            rejected += settled.line["disposition"] == "rejected"

    assert rejected > 0


@every_function
@pytest.mark.parametrize(
    ("error", "disposition"),
    [
        pytest.param(TransientError("503 of an API"), "deferred", id="deferred"),
        pytest.param(ConfigurationError("403 of an API"), "blocked", id="blocked"),
        pytest.param(RuntimeError("a bug"), "failed", id="failed"),
    ],
)
def test_traceback_does_not_quote_the_message(
    functions: dict[str, DeployedFunction], name: str, error: Exception, disposition: str
) -> None:
    class BrokenWorld(SpiedWorld):
        def wiring(self) -> dict[str, Any]:
            def fail() -> None:
                raise error

            return dict.fromkeys(super().wiring(), fail)

    dispositions = set()
    for shape in SHAPES[name]:
        message = plant(shape, TOLD[name])
        body = envelope(write(message), attributes=ATTRIBUTES)
        settled, world = functions[name].deliver(body, world=BrokenWorld())

        assert_told_nothing(settled, world)
        dispositions.add(settled.line["disposition"])

    assert disposition in dispositions


@pytest.mark.parametrize("text", ["textPayload", "message", "MESSAGE", "jsonPayload"])
def test_text_without_a_pull_is_not_repeated(
    functions: dict[str, DeployedFunction], text: str
) -> None:
    said = f'Error: failed to create containerd task: exec: "login --token={CANARY}"'
    for entry in load_events("events"):
        held = entry.get("jsonPayload") or {}
        if text == "textPayload":
            entry |= {"jsonPayload": None, text: said}
        elif text == "jsonPayload":
            entry[text] = {**held, "reason": "Failed", "message": said}
        else:
            entry["jsonPayload"] = {**held, text: said}
        settled, world = functions["pull_event"].deliver(envelope(write(entry)))

        assert_told_nothing(settled, world)


def test_canaries_of_the_world_are_read(functions: dict[str, DeployedFunction]) -> None:
    world = SpiedWorld()
    settled, _ = functions["scheduled_sweep"].deliver(
        envelope(write(SHAPES["scheduled_sweep"][1])), world=world
    )

    assert "due" in settled.line
    assert CANARY in json.dumps([*world.cluster.objects.values()][0])  # noqa: RUF015
    assert_told_nothing(settled, world)
