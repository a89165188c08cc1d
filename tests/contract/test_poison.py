"""
Poison: messages of real shapes, broken in every way, through the framework and the workflows.

A broken message stays broken, so it must not be delivered again. A message that is no
delivery at all never reaches our code: the framework refuses it.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fakes.deployments import DeployedFunction, Settled, World
from tests.strategies.breaking import bodies, odd_values
from tests.strategies.envelopes import broken_envelopes, envelope
from tests.strategies.shapes import SHAPES

EXAMPLES = int(os.environ.get("POISON_EXAMPLES", "30"))
NAMES = sorted(SHAPES)

every_function = pytest.mark.parametrize("name", NAMES)
poisoned = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="POISON_EXAMPLES" not in os.environ,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def assert_settled(settled: Settled, world: World) -> None:
    """Assert that a delivery is over: one line, no bug, nothing to be asked for again."""
    line = settled.line
    assert line["disposition"] in {"handled", "ignored", "rejected"}, line
    assert settled.status == 200
    assert line["message"].startswith(f"event {line['disposition']}")
    # Above 256 kB Cloud Run would split it; and what cannot be written would cost it.
    assert len(settled.output.encode()) < 64_000
    assert settled.errors == ""
    for text in world.left_behind():
        text.encode("utf-8")
    for _, attributes in (*world.references.messages, *world.ticks.messages):
        assert all(len(value.encode("utf-8")) <= 1_024 for value in attributes.values())


@every_function
def test_broken_message_is_not_redelivered(
    functions: dict[str, DeployedFunction], name: str
) -> None:
    @poisoned
    @given(bodies(SHAPES[name]), st.booleans())
    def deliver(data: bytes, as_event: bool) -> None:  # noqa: FBT001  # Hypothesis passes it
        assert_settled(*functions[name].deliver(envelope(data), as_event=as_event))

    deliver()


@every_function
def test_broken_delivery_is_not_redelivered(
    functions: dict[str, DeployedFunction], name: str
) -> None:
    bodies_of_deliveries = bodies(SHAPES[name]).flatmap(broken_envelopes)

    @poisoned
    @given(bodies_of_deliveries)
    def deliver(body: Any) -> None:
        assert_settled(*functions[name].deliver(body, as_event=True))

    deliver()


@every_function
def test_framework_refuses_a_body_without_delivery(
    functions: dict[str, DeployedFunction], name: str
) -> None:
    @poisoned
    @given(st.one_of(st.binary(max_size=60), st.lists(odd_values(), max_size=3)))
    def deliver(body: Any) -> None:
        settled, _ = functions[name].deliver(body)

        # 500 is the answer to what it cannot even decode; Pub/Sub sends none of these.
        assert settled.status in {400, 415, 500}
        assert (settled.output, settled.errors) == ("", "")

    deliver()
