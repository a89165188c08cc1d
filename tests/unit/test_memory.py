"""The caches of an instance: a burst about one image costs one lookup, and hides no change."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.disposition import Outcome
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.request import Cause
from shared.errors import TransientError
from shared.pipeline import ttl_cache as remembering
from shared.pipeline.ttl_cache import KeyedLock, SharedReads, TtlCache
from tests.fakes.warmings import PUBLISHED, Scene
from tests.fakes.warmups import make_node

APPS = RepositoryName("demo", "us-central1", "apps")
TIMEOUT_S = 30.0
MOVED = Image((3_000_000_000,), build="moved")


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1"))
    return scene


def warm_through(scene: Scene) -> Outcome:
    """Warm an image until its Job is complete, and let the instance see that."""
    first = scene.warm()
    scene.cluster.end_job(first.details["created"][0], "Complete")
    scene.warm()
    return first


def test_warm_image_makes_no_call(scene: Scene) -> None:
    first = warm_through(scene)
    asked, called = scene.requests, len(scene.cluster.calls)

    second = scene.warm(message_id="message-2")

    assert (scene.requests, len(scene.cluster.calls)) == (asked, called)
    assert second.details["known"] == first.details["created"]
    assert second.details["remembered"] is True
    assert second.details["digest"] == first.details["digest"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"cause": Cause("manual")}, id="by hand"),
        pytest.param({"cause": Cause("schedule")}, id="by the schedule"),
        pytest.param({"force": True, "message_id": "message-2"}, id="forced"),
        pytest.param({"placement": None}, id="for whatever nodes there are"),
        pytest.param({"publish_time": PUBLISHED + timedelta(hours=96)}, id="in another period"),
    ],
)
def test_different_request_reads_the_cluster(scene: Scene, fields: dict[str, Any]) -> None:
    warm_through(scene)
    called = len(scene.cluster.calls)

    outcome = scene.warm(**fields)

    assert len(scene.cluster.calls) > called
    assert "remembered" not in outcome.details


def test_manual_request_resolves_the_tag_again(scene: Scene) -> None:
    before = scene.warm().details["digest"]
    scene.registry.add("docker.io/anyscale/ray-ml", "2.7.0", MOVED)

    outcome = scene.warm(cause=Cause("manual"))

    assert outcome.details["digest"] == MOVED.digest != before


def test_tag_of_a_standard_repository_is_resolved_each_time(scene: Scene) -> None:
    image = "us-central1-docker.pkg.dev/demo/apps/model"
    scene.repositories.states[APPS] = RepositoryState(is_docker_remote=False)
    scene.registry.add(image, "1", Image((2_000_000_000,), build="one"))
    scene.warm(f"{image}:1")
    scene.registry.add(image, "1", MOVED)

    outcome = scene.warm(f"{image}:1")

    assert outcome.details["digest"] == MOVED.digest
    assert len(scene.cluster.jobs) == 2


def test_warmup_that_may_still_fail_costs_one_call_and_no_manifest(scene: Scene) -> None:
    scene.warm()
    scene.forget_calls()

    outcome = scene.warm(message_id="message-2")

    assert "remembered" not in outcome.details
    assert scene.registry.asked == []
    assert scene.cluster.calls == ["fetch_job"]


def test_warmup_that_was_not_let_run_is_not_taken_for_settled(scene: Scene) -> None:
    scene.cluster.fail("patch_job", TransientError("unavailable"))
    with pytest.raises(TransientError):
        scene.warm()
    scene.cluster.recover()

    outcome = scene.warm()

    assert "remembered" not in outcome.details
    assert outcome.details["resumed"] == list(scene.cluster.jobs)


def test_dry_run_remembers_no_job() -> None:
    scene = Scene(dry_run=True)
    scene.cluster.place(make_node("gpu-1"))

    outcomes = [scene.warm(), scene.warm()]

    assert all(outcome.details["would_create"] for outcome in outcomes)


def test_cache_forgets_after_its_time() -> None:
    now = [0.0]
    cache = TtlCache[str](60.0, now=lambda: now[0])
    cache.put("key", "value")

    now[0] = 59.9
    assert cache.get("key") == "value"
    now[0] = 60.0
    assert cache.get("key") is None


def test_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "_MAX_ENTRIES", 3)
    cache = TtlCache[int](60.0)

    for number in range(5):
        cache.put(number, number)

    assert [cache.get(number) for number in range(5)] == [None, None, 2, 3, 4]


def test_deliveries_about_one_image_find_out_once() -> None:
    lock, cache = KeyedLock(), TtlCache[int](60.0)
    looks: list[int] = []
    together = threading.Barrier(8)

    def deliver(number: int) -> int | None:
        together.wait(TIMEOUT_S)
        with lock.hold("image"):
            if cache.get("image") is None:
                looks.append(number)
                cache.put("image", number)
            return cache.get("image")

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(deliver, range(8)))

    assert len(looks) == 1
    assert answers == set(looks)


def test_hanging_request_delays_others_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "_WAIT_S", 0.01)
    lock = KeyedLock()

    with lock.hold("image"), ThreadPoolExecutor(1) as pool:

        def pass_by() -> str:
            with lock.hold("image"):
                return "passed"

        assert pool.submit(pass_by).result(TIMEOUT_S) == "passed"


def test_delivery_that_waits_for_a_read_uses_it() -> None:
    reads = SharedReads[int](60.0, lambda: 0.0)
    made: list[int] = []

    def read() -> int:
        begun.set()
        released.wait(TIMEOUT_S)
        made.append(1)
        return 7

    begun, released = threading.Event(), threading.Event()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(reads.get, "a", read, lambda _: True) for _ in range(3)]
        begun.wait(TIMEOUT_S)
        released.set()
        values = [each.result(TIMEOUT_S).value for each in waiting]

    assert (values, made) == ([7, 7, 7], [1])


def test_readings_that_are_too_old_are_dropped() -> None:
    now = 0.0
    reads = SharedReads[int](5.0, lambda: now)
    reads.get("a", lambda: 1, lambda _: True)

    now = 5.0
    reads.get("b", lambda: 2, lambda _: True)

    assert set(reads._readings) == {"b"}  # noqa: SLF001  # the memory that it holds
