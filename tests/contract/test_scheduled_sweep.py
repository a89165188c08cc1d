"""The function scheduled_sweep through the real framework: from Cloud Scheduler's message on."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.domain.cluster import Cluster, ClusterName
from shared.domain.disposition import Outcome
from shared.errors import TransientError
from shared.messages.tick import Tick
from tests.fakes.recorded_events import load_event
from tests.fakes.served_functions import Line, ServedFunction, served

GPU = ClusterName("starling-lab", "europe-west4", "tern")
PILOT = ClusterName("starling-lab", "us-central1", "pilot")
CLUSTERS = [
    Cluster(GPU, has_accelerators=True, cold_pools=("l4",)),
    Cluster(PILOT, is_autopilot=True),
    Cluster(ClusterName("starling-lab", "us-central1", "web")),
]


class World:
    """Stands for the directory, the sweep and the publisher, and keeps what reached them."""

    def __init__(self) -> None:
        self.clusters = CLUSTERS
        self.swept: list[tuple[ClusterName, str, datetime]] = []
        self.published: list[str | None] = []
        self.unreachable: dict[ClusterName, Exception] = {}

    def list_clusters(self, project: str) -> list[Cluster]:
        return [each for each in self.clusters if each.name.project == project]

    def fetch_cluster(self, name: ClusterName) -> Cluster:
        return next(each for each in self.clusters if each.name == name)

    def connect(self, name: ClusterName) -> ClusterName:
        if name in self.unreachable:
            raise self.unreachable[name]
        return name

    def sweep(self, cluster: ClusterName, message_id: str, now: datetime) -> Outcome:
        self.swept.append((cluster, message_id, now))
        return Outcome("handled", {"cluster": str(cluster), "due": 0})

    def publish(self, ticks: Sequence[Tick]) -> None:
        self.published += [tick.cluster for tick in ticks]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def project() -> str:
    return "starling-lab"


@pytest.fixture
def function(config: Path, world: World) -> Iterator[ServedFunction]:
    del config
    wiring = dict.fromkeys(("directory", "sweeper", "tick_publisher"), lambda: world)
    with served("scheduled_sweep", **wiring) as function:
        yield function


def envelope(**fields: Any) -> dict[str, Any]:
    """Return Cloud Scheduler's message as it is delivered, published just now."""
    body: dict[str, Any] = load_event("schedule-envelope")
    now = datetime.now(UTC).isoformat()
    body["message"] |= {"publishTime": now, "publish_time": now, **fields}
    return body


def test_cloud_schedulers_message_becomes_a_tick_for_each_watched_cluster(
    function: ServedFunction, world: World, line: Line
) -> None:
    assert function.post(envelope()) == 200

    assert world.published == [str(GPU), str(PILOT)]
    assert world.swept == []
    said = line()
    assert said["disposition"] == "handled"
    assert said["published"] == [str(GPU), str(PILOT)]


def test_pools_on_which_nothing_streams_are_named(
    function: ServedFunction, world: World, line: Line
) -> None:
    del world
    function.post(envelope())

    assert line()["without_streaming"] == [f"{GPU}/nodePools/l4"]


def test_attributes_instead_of_data_are_a_tick_as_well(
    function: ServedFunction, world: World
) -> None:
    # A job may be configured so: Pub/Sub takes a message with either of both.
    assert function.post(envelope(data="", attributes={"by": "hand"})) == 200

    assert world.published == [str(GPU), str(PILOT)]


@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_tick_of_a_cluster_sweeps_it_as_of_when_it_was_published(
    function: ServedFunction, world: World, line: Line, form: str
) -> None:
    published = datetime.now(UTC) - timedelta(minutes=5)
    tick = {"cluster": str(GPU)}

    status = getattr(function, form)(tick, messageId="m-7", publishTime=published.isoformat())

    assert status == 200
    assert world.swept == [(GPU, "m-7", published)]
    assert world.published == []
    assert line()["disposition"] == "handled"


def test_tick_of_a_cluster_without_accelerators_is_ignored(
    function: ServedFunction, world: World, line: Line
) -> None:
    web = str(CLUSTERS[2].name)

    assert function.push({"cluster": web}) == 200

    assert world.swept == []
    said = line()
    assert (said["disposition"], said["reason"]) == ("ignored", "the cluster is not watched")
    assert said["cluster"] == web


def test_cluster_that_does_not_answer_is_reported_and_blocks_no_other(
    function: ServedFunction, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.unreachable[GPU] = TransientError("cannot GET /apis: timed out")
    function.post(envelope())

    statuses = {name: function.push({"cluster": name}) for name in world.published}

    assert statuses == {str(GPU): 503, str(PILOT): 200}
    assert [name for name, _, _ in world.swept] == [PILOT]
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [each["disposition"] for each in lines] == ["handled", "deferred", "handled"]
    assert "timed out" in lines[1]["reason"]


def test_tick_without_watched_clusters_is_ignored(
    function: ServedFunction, world: World, line: Line
) -> None:
    world.clusters = CLUSTERS[2:]

    assert function.post(envelope()) == 200

    assert world.published == []
    assert line()["reason"] == "no cluster is watched"
