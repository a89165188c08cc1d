"""A message of the schedule: Cloud Scheduler's own, or one that a sweep sent on."""

import json
from datetime import UTC, datetime

import pytest

from shared.errors import InvalidEventError
from shared.messages.pubsub_message import PubsubMessage
from shared.messages.tick import Tick, parse_tick

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"


def parse(data: bytes) -> Tick:
    return parse_tick(PubsubMessage("1", datetime(2026, 11, 24, tzinfo=UTC), data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{}", id="empty-object"),
        pytest.param(b"", id="empty"),
        pytest.param(b"sweep", id="text"),
        pytest.param(b'"sweep"', id="json-text"),
        pytest.param(b"\xff\x00", id="bytes"),
        pytest.param(b' {"note": "by hand", "cluster": null}', id="other-fields"),
    ],
)
def test_tick_without_a_cluster_means_all(data: bytes) -> None:
    assert parse(data) == Tick()


def test_tick_names_its_cluster() -> None:
    assert parse(json.dumps({"cluster": CLUSTER}).encode()) == Tick(CLUSTER)


@pytest.mark.parametrize("tick", [Tick(), Tick(CLUSTER)])
def test_tick_that_is_sent_on_is_read_as_it_was(tick: Tick) -> None:
    assert parse(json.dumps(tick.as_json()).encode()) == tick


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"cluster": "gpu"}', id="bare-name"),
        pytest.param(b'{"cluster": "projects/p/locations/l/clusters/../x"}', id="path"),
        pytest.param(b'{"cluster": 5}', id="number"),
        pytest.param(b'{"cluster": ', id="half"),
        pytest.param(b'{"a": ' + b"[" * 100_000, id="deep"),
        pytest.param(b'{"cluster": "\xff"}', id="not-utf-8"),
    ],
)
def test_poison_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidEventError, match="not a tick"):
        parse(data)
