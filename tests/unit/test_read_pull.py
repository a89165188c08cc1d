"""Deliveries share the reads after pulls, and no verdict uses data that are older than its pull."""

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from shared.messages.node_event import parse_log_entry
from shared.pipeline import read_pull
from shared.pipeline.execute import Executor
from shared.pipeline.observe import Observer
from shared.pipeline.read_pull import KEPT_S, PullReader
from shared.settings.keys import Settings
from tests.fakes.clusters import Body, FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import (
    MIRROR,
    NODE,
    STATEMENT,
    log_entry,
    node_event,
    place_node,
    pod_event,
    pulled_text,
)
from tests.fakes.reported_pods import reflect
from tests.fakes.warmups import make_node

WAIT_S = 30.0
OTHER = MIRROR.replace("ray-ml", "vllm")


class Clock:
    """A monotonic clock that advances with each look."""

    def __init__(self) -> None:
        self._looks = count()
        self.seconds = 0.0
        self.looked = threading.Event()

    def now(self) -> float:
        self.looked.set()
        return self.seconds + next(self._looks) / 1e6


class Scene:
    """A cluster and an instance that observes its pulls."""

    def __init__(self) -> None:
        self.cluster, self.log, self.clock = FakeCluster(), FakeFactLog(), Clock()
        self.observer = Observer(
            Settings(project="demo", deployment_project="demo"),
            lambda _: self.cluster,
            lambda _: True,
            Executor(self.log),
            PullReader(self.clock.now),
        )
        place_node(self.cluster)

    def observe(self, event: Body) -> str:
        """Deliver an event, whose pod confirms it, and return the verdict."""
        reflect(self.cluster, event)
        entry = json.dumps(log_entry(event)).encode()
        verdict: str = self.observer.observe(parse_log_entry(entry)).details["streamed"]
        return verdict

    def happen(self, event: Body) -> str:
        """Let an event happen, and deliver it."""
        return self.observe(self.cluster.place(event))

    def reads(self) -> dict[str, int]:
        """Return the number of reads by their kind, but for the pods, and forget them."""
        counted = Counter(call for call in self.cluster.calls if call != "fetch_pod")
        self.cluster.calls.clear()
        return dict(counted)


def pull(pod: str, image: str = MIRROR, seconds: float = 60, **change: Any) -> Body:
    return pod_event(
        "Pulled", pulled_text(1.5, image), seconds, pod=pod, **{"namespace": "ml"} | change
    )


def place_all(scene: Scene, events: Iterable[Body]) -> list[Body]:
    return [scene.cluster.place(event) for event in events]


ONCE = {"list_pod_events": 1, "list_events": 1, "fetch_node": 1}


def test_hundred_pulls_at_once_cost_few_reads() -> None:
    scene = Scene()
    nodes = [f"gke-gpu-l4-{number}" for number in range(4)]
    for name in nodes:
        place_node(scene.cluster, name)
    pulls = place_all(
        scene,
        (
            pull(f"pod-{number}", seconds=60 + number, node=nodes[number % 4])
            for number in range(100)
        ),
    )

    with ThreadPoolExecutor(max_workers=8) as pool:
        verdicts = Counter(pool.map(scene.observe, pulls))

    assert scene.reads() == {"list_pod_events": 1, "list_events": 1, "fetch_node": 4}
    assert verdicts == {"unknown": 4, "cached_on_node": 96}
    assert len(scene.log.facts) == 100


def test_pull_after_a_kept_list_is_judged_by_a_new_one() -> None:
    scene = Scene()
    scene.happen(pull("trainer"))
    scene.cluster.place(pull("server-a", OTHER, 62))

    assert scene.happen(pull("server-b", OTHER, 63)) == "cached_on_node"

    assert scene.reads() == dict.fromkeys(ONCE, 2)


def test_pull_during_a_read_is_judged_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    list_at_once = scene.cluster.list_pod_events
    delivered: list[Future[str]] = []

    def list_slowly(selector: str) -> Iterator[Body]:
        listed = list(list_at_once(selector))
        if not delivered:
            scene.cluster.place(pull("server-a", OTHER, 62))
            scene.clock.looked.clear()
            delivered.append(pool.submit(scene.happen, pull("server-b", OTHER, 63)))
            scene.clock.looked.wait(WAIT_S)
        return iter(listed)

    monkeypatch.setattr(scene.cluster, "list_pod_events", list_slowly)
    with ThreadPoolExecutor() as pool:
        scene.happen(pull("trainer"))

    assert delivered[0].result(WAIT_S) == "cached_on_node"


def test_pull_that_folds_into_an_earlier_event_is_judged_by_a_new_list() -> None:
    scene = Scene()
    event = scene.cluster.place(pull("trainer"))
    scene.observe(event)
    scene.reads()
    event["lastTimestamp"] = event["firstTimestamp"] = pull("trainer", seconds=70)["lastTimestamp"]

    scene.observe(event)

    assert scene.reads() == ONCE


def test_node_is_read_after_the_pull() -> None:
    scene = Scene()
    scene.happen(pull("trainer"))
    pool = {"cloud.google.com/gke-nodepool": "l4-new"}
    scene.cluster.place(make_node(NODE, labels=pool))
    scene.cluster.place(node_event(STATEMENT.replace("ray-ml", "vllm"), 62))

    assert scene.happen(pull("server", OTHER, 63)) == "streamed"

    assert scene.log.facts[-1].payload["node_pool"] == "l4-new"


def test_reads_are_shared_for_some_seconds() -> None:
    scene = Scene()
    first, second = place_all(scene, [pull("trainer"), pull("server", OTHER, 61)])
    scene.observe(first)
    assert scene.reads() == ONCE

    scene.clock.seconds += KEPT_S - 1
    scene.observe(first)
    assert scene.reads() == {}

    scene.clock.seconds += 1
    scene.cluster.place(node_event(STATEMENT.replace("ray-ml", "vllm"), 62))
    assert scene.observe(second) == "streamed"
    assert scene.reads() == ONCE


def test_event_without_an_identity_is_read_each_time() -> None:
    scene = Scene()
    event = pull("trainer")
    del event["metadata"]["uid"]
    scene.cluster.place(event)

    for _ in range(2):
        scene.observe(event)

        assert scene.reads() == ONCE


def test_longer_list_than_an_instance_keeps_is_read_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_pull, "MAX_EVENTS", 3)
    scene = Scene()
    pulls = place_all(scene, (pull(f"pod-{number}", seconds=60 + number) for number in range(4)))
    place_all(scene, (node_event(STATEMENT, 60 + number) for number in range(4)))

    verdicts = [scene.observe(event) for event in pulls]

    assert verdicts == ["streamed", *["cached_on_node"] * 3]
    reads = scene.reads()
    assert reads["list_pod_events"] == 1 + 4
    assert reads["fetch_node"] == 4


def test_failed_read_is_not_shared() -> None:
    scene = Scene()
    event = scene.cluster.place(pull("trainer"))
    scene.cluster.fail("list_events", RuntimeError())
    with pytest.raises(RuntimeError):
        scene.observe(event)
    scene.cluster.recover()
    scene.reads()

    scene.observe(event)

    assert scene.reads() == {"list_events": 1, "fetch_node": 1}
