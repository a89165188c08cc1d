"""Pulls of one image on one node: which of them is the first, and what the report counts."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.report.entries import parse_fact
from cli.report.facts import Facts
from cli.report.figures import Group
from cli.report.prices import Prices
from cli.report.tallies import Figures
from sandbox.catalogue.image import Image
from sandbox.gke.image_pull import Snapshotter
from sandbox.local_cloud import LocalCloud
from tests.integration.conftest import CONFIG, ENDLESS_PERIOD
from tests.integration.pipelines import DEV, TIMEOUT_S, Pipeline

pytestmark = pytest.mark.integration

SCALE = 40.0
"""Slow, so that pulls keep their order although each event takes some milliseconds."""
NODE = "gke-gpu-solo-1"
POOL = "solo"
LAYER = 80_000_000


@pytest.fixture(scope="module")
def world(archives: Path, deployed_python: Path) -> Iterator[Pipeline]:
    cloud = LocalCloud(scale=SCALE, config=CONFIG + ENDLESS_PERIOD)
    pipeline = Pipeline(cloud, archives, deployed_python)
    pipeline.start("image_reference", "pull_event")
    pipeline.add_gpu_node(NODE, POOL)
    yield pipeline
    pipeline.stop()


def push(world: Pipeline, name: str, tag: str = "1", *, cached: bool) -> str:
    """Push an image of 40 layers, which streams in 7 seconds, or else takes 110."""
    repository = f"us-central1-docker.pkg.dev/demo/apps/{name}"
    image = Image((LAYER,) * 40, build=f"{name}:{tag}")
    digest = world.cloud.artifact_registry.push(repository, tag, image)
    if cached:
        world.cloud.cache.add("us-central1", digest)
    return f"{repository}:{tag}"


def run_pod(world: Pipeline, name: str, image: str, policy: str, node: str = NODE) -> None:
    container = {"name": "main", "image": image, "imagePullPolicy": policy}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"operator": "Exists"}],
        },
    }
    world.api.create("pods", body, "ml", user=DEV)


def status_of(world: Pipeline, pod: str) -> dict[str, Any]:
    status: dict[str, Any] = world.api.read("pods", pod, "ml").get("status") or {}
    return status


def wait_until_running(world: Pipeline, *pods: str) -> None:
    world.wait(lambda: all(status_of(world, pod).get("phase") == "Running" for pod in pods))


def wait_for_facts(world: Pipeline, *pods: str) -> None:
    for pod in pods:
        world.fact(event="pull.observed", workload=f"core/v1/namespaces/ml/pods/{pod}")


def settle(world: Pipeline) -> None:
    """Wait until every report of the nodes is handled."""
    assert world.cloud.router.flush(TIMEOUT_S)
    assert world.pubsub.settled(TIMEOUT_S)


def pulls_of(world: Pipeline, image: str) -> list[dict[str, Any]]:
    facts = [entry["jsonPayload"] for entry in world.facts(event="pull.observed", image=image)]
    return [fact for fact in facts if fact["node"] == NODE]


def report_on(world: Pipeline, image: str) -> Group:
    """Return the figures of the facts about an image."""
    figures = Figures(Prices())
    facts = Facts()
    for entry in world.facts(image=image):
        fact = parse_fact(json.dumps(entry).encode())
        assert fact is not None
        facts.add(fact)
    facts.settle()
    for name, pulls in facts.pulls():
        figures.add_image(name, pulls)
    return figures.total()


def test_one_of_four_pods_on_a_node_streams_and_saves(world: Pipeline) -> None:
    image = push(world, "four", cached=True)
    world.cloud.gke.add_node("cold", pool="cold", streaming=False)
    run_pod(world, "four-cold", image, "Always", "cold")
    for letter in "abc":
        run_pod(world, f"four-{letter}", image, "Always")
    wait_until_running(world, "four-a", "four-b", "four-c")
    run_pod(world, "four-d", image, "IfNotPresent")
    wait_for_facts(world, "four-a", "four-b", "four-c", "four-d", "four-cold")
    settle(world)

    facts = pulls_of(world, image)
    figures = report_on(world, image)

    verdicts = sorted(fact["streamed"] for fact in facts)
    assert verdicts == ["cached_on_node"] * 3 + ["streamed"]
    (first,) = (fact for fact in facts if fact["streamed"] == "streamed")
    assert first["pull_seconds"] > 5
    assert figures.saving.counted_pulls == 1
    assert figures.verdicts["streamed"] == 1


def test_restarts_of_a_pod_are_one_pull(world: Pipeline) -> None:
    image = push(world, "restarting", cached=True)
    world.cloud.gke.switches.exit_codes["restarting"] = 1
    run_pod(world, "restarting", image, "Always")

    def restarts() -> int:
        statuses = status_of(world, "restarting").get("containerStatuses") or [{}]
        return int(statuses[0].get("restartCount", 0))

    for number in range(1, 6):
        world.wait(lambda number=number: restarts() >= number)  # type: ignore[misc]
        world.cloud.clock.advance(timedelta(minutes=5))
    wait_for_facts(world, "restarting")
    world.api.delete("pods", "restarting", "ml", user=DEV)
    settle(world)

    (fact,) = pulls_of(world, image)
    assert fact["pull_seconds"] > 5


def test_second_warmup_of_a_node_finds_the_image(world: Pipeline) -> None:
    image = push(world, "twice", cached=False)
    for _ in range(2):
        world.ask(image, pool=POOL, force=True)

    facts = [
        world.warmup(image, outcome=outcome, node=NODE) for outcome in ("pulled", "already_present")
    ]

    assert [fact["streamed"] for fact in facts] == ["not_streamed", "cached_on_node"]


@pytest.mark.parametrize(
    ("name", "streamed"),
    [
        pytest.param("versions", "unknown", id="next-version"),
        pytest.param("lone", "likely_streamed", id="first-version"),
    ],
)
def test_fast_pull_proves_nothing_beside_another_version(
    world: Pipeline, name: str, streamed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The snapshotter's events are rationed.
    monkeypatch.setattr(Snapshotter, "report", lambda *_: None)
    if name == "versions":
        first = push(world, name, cached=False)
        world.ask(first, pool=POOL)
        world.warmup(first, outcome="pulled", node=NODE)

    image = push(world, name, "2", cached=True)
    world.ask(image, pool=POOL)

    fact = world.warmup(image)
    assert (fact["outcome"], fact["node"], fact["streamed"]) == ("pulled", NODE, streamed)
