"""Images that Artifact Registry prewarms in the local cloud, and nodes that then stream them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from sandbox.local_cloud import LOCATION, LocalCloud
from tests.integration.conftest import SCALE
from tests.integration.pipelines import ADMIN, MEDIUM, Pipeline
from tests.integration.warmup_jobs import annotation, is_finished

pytestmark = pytest.mark.integration

CONFIG = "{ladder: [prewarm-api, gpu-node, any-node], max_running: 2, period_hours: 8760}"
HOST = "us-central1-docker.pkg.dev/demo/apps"
SWEEP = "scheduled_sweep"
READY = timedelta(minutes=2)
"""After which an artifact is no longer CACHING."""

AN_HOUR = timedelta(minutes=61)
"""The time after which an instance asks again, in spite of an earlier refusal."""

Start = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def start(archives: Path, deployed_python: Path) -> Iterator[Start]:
    """Start a cloud without any node, with some of the functions."""
    with ExitStack() as stack:

        def run(*functions: str) -> Pipeline:
            cloud = LocalCloud(scale=SCALE, config=CONFIG)
            pipeline = Pipeline(cloud, archives, deployed_python)
            stack.callback(pipeline.stop)
            return pipeline.start(*functions)

        yield run


@pytest.fixture(scope="module")
def prewarming(start: Start) -> Pipeline:
    return start("image_reference", "pull_event")


def push(pipeline: Pipeline, name: str, *platforms: str) -> tuple[str, Image]:
    """Push an image to a standard repository, and return its reference."""
    image = Image((1_000_000, MEDIUM - 1_000_000), platforms or ("linux/amd64",), build=name)
    pipeline.cloud.artifact_registry.push(f"{HOST}/{name}", "1", image)
    return f"{HOST}/{name}:1", image


def prewarm(pipeline: Pipeline, image: str) -> dict[str, Any]:
    """Ask until an image is prewarmed, as two deliveries do, and return the second's line."""
    pipeline.line(pipeline.ask(image), "handled")
    pipeline.cloud.clock.advance(READY)
    return pipeline.line(pipeline.ask(image), "handled")


def sweep(pipeline: Pipeline) -> dict[str, Any]:
    """Let the tick of the cluster come, and return the line of its sweep."""
    tick = {"cluster": pipeline.cloud.cluster}
    return pipeline.line(pipeline.publish("prestream-schedule", tick), "handled", SWEEP)


def test_an_image_of_a_standard_repository_is_prewarmed_without_a_node_and_then_streams(
    prewarming: Pipeline,
) -> None:
    image, stored = push(prewarming, "team/trainer")

    first = prewarming.line(prewarming.ask(image), "handled")
    prewarming.cloud.clock.advance(READY)
    second = prewarming.line(prewarming.ask(image), "handled")
    fact = prewarming.warmup(image)

    name = f"team/trainer@{stored.digest} in {LOCATION}"
    assert (first["prewarming"], second["prewarmed"]) == ([name], [name])
    assert (fact["outcome"], fact["strategy"], fact["job"]) == ("prewarmed", "prewarm-api", None)
    assert fact["node"] is None
    assert prewarming.api.list("nodes") == []
    assert prewarming.jobs(image) == []
    assert prewarming.cloud.cache.has(LOCATION, stored.digest)

    prewarming.add_gpu_node("gke-gpu-l4-a", "l4-spot", accelerator="nvidia-l4")
    prewarming.deploy("trainer", image)
    pull = prewarming.fact(event="pull.observed", image=image)["jsonPayload"]
    prewarming.api.delete("deployments.apps", "trainer", "ml", user=ADMIN)
    prewarming.api.delete("nodes", "gke-gpu-l4-a", user=ADMIN)

    assert pull["streamed"] in {"streamed", "likely_streamed"}
    assert pull["pull_seconds"] < 5


def test_only_the_platform_that_is_asked_for_is_cached(prewarming: Pipeline) -> None:
    image, stored = push(prewarming, "team/pair", "linux/amd64", "linux/arm64")

    prewarming.line(prewarming.ask(image, platform="linux/arm64"), "handled")
    prewarming.cloud.clock.advance(READY)
    prewarming.line(prewarming.ask(image, platform="linux/arm64"), "handled")

    assert prewarming.warmup(image)["digest"] == stored.digest
    cache = prewarming.cloud.cache
    assert cache.has(LOCATION, stored.manifest_for("linux/arm64").digest)
    assert not cache.has(LOCATION, stored.manifest_for("linux/amd64").digest)


def test_what_was_told_is_one_fact_however_many_deliveries_see_it(prewarming: Pipeline) -> None:
    image, _ = push(prewarming, "team/once")
    prewarm(prewarming, image)

    for _ in range(3):
        assert "prewarmed" in prewarming.line(prewarming.ask(image), "handled")

    assert len(prewarming.facts(image=image)) == 1


@pytest.fixture
def node(prewarming: Pipeline) -> Iterator[str]:
    """A node that can warm what the API does not."""
    prewarming.add_gpu_node("gke-gpu-l4-b", "l4-spot", accelerator="nvidia-l4")
    yield "gke-gpu-l4-b"
    prewarming.wait(lambda: all(map(is_finished, prewarming.jobs())))
    prewarming.api.delete("nodes", "gke-gpu-l4-b", user=ADMIN)


def test_a_mirrored_image_goes_to_a_node_first(prewarming: Pipeline, node: str) -> None:
    image = prewarming.add_image("team/mirrored")

    line = prewarming.line(prewarming.ask(image), "handled")
    fact = prewarming.warmup(image)

    assert "passed" not in line
    assert (fact["outcome"], fact["strategy"], fact["node"]) == ("pulled", "gpu-node", node)


def test_what_could_not_be_cached_goes_on_to_a_node(prewarming: Pipeline, node: str) -> None:
    image, _ = push(prewarming, "team/broken")
    switches = prewarming.cloud.artifact_registry.switches
    switches.prewarm_error = "a layer is too large"
    line = prewarm(prewarming, image)
    switches.prewarm_error = None

    fact = prewarming.warmup(image)

    assert "a layer is too large" in line["passed"][0]
    assert (fact["outcome"], fact["strategy"], fact["node"]) == ("pulled", "gpu-node", node)
    assert annotation(prewarming.job(image), "strategy") == "gpu-node"


def test_a_storage_that_is_full_goes_on_to_a_node(prewarming: Pipeline, node: str) -> None:
    image, _ = push(prewarming, "team/too-much")
    switches = prewarming.cloud.artifact_registry.switches
    limit, switches.prewarm_limit_bytes = switches.prewarm_limit_bytes, 1_000
    line = prewarming.line(prewarming.ask(image), "handled")
    switches.prewarm_limit_bytes = limit

    assert "prewarm storage" in line["passed"][0]
    assert prewarming.warmup(image)["node"] == node
    prewarming.cloud.clock.advance(AN_HOUR)


def test_an_api_that_is_silent_defers_the_delivery_and_nothing_else(prewarming: Pipeline) -> None:
    image, _ = push(prewarming, "team/silent")

    with prewarming.fault("artifact-registry", "checkPrewarmedArtifact", 503):
        message = prewarming.ask(image)
        prewarming.line(message, "deferred")

    assert "prewarming" in prewarming.line(message, "handled")


@pytest.mark.parametrize("status", [403, 501])
def test_an_api_that_refuses_everything_is_said_once_and_nodes_do_it(
    prewarming: Pipeline, node: str, status: int
) -> None:
    images = [push(prewarming, f"team/refused-{status}-{number}")[0] for number in range(2)]

    with prewarming.fault("artifact-registry", "PrewarmedArtifact|prewarmArtifact", status):
        lines = [prewarming.line(prewarming.ask(image), "handled") for image in images]

    assert [len(line.get("passed", [])) for line in lines] == [1, 0]
    for image in images:
        fact = prewarming.warmup(image)
        assert (fact["outcome"], fact["strategy"], fact["node"]) == ("pulled", "gpu-node", node)
    prewarming.cloud.clock.advance(AN_HOUR)


def test_a_sweep_keeps_prewarmed_what_is_in_use_and_lets_lapse_what_is_not(start: Start) -> None:
    pipeline = start("image_reference", SWEEP)
    used, stored = push(pipeline, "team/used")
    unused, other = push(pipeline, "team/unused")
    pipeline.deploy("used", used, replicas=0)
    pipeline.deploy("unused", unused, replicas=0)

    first = sweep(pipeline)
    pipeline.cloud.clock.advance(READY)
    second = sweep(pipeline)
    pipeline.api.delete("deployments.apps", "unused", "ml", user=ADMIN)
    pipeline.cloud.clock.advance(timedelta(hours=50))
    third = sweep(pipeline)
    pipeline.cloud.clock.advance(timedelta(hours=30))
    fourth = sweep(pipeline)

    name = f"team/used@{stored.digest} in {LOCATION}"
    assert (len(first["prewarming"]), first["due"]) == (2, 0)
    assert [second[each] for each in ("prewarming", "renewed", "due")] == [[], [], 0]
    assert third["renewed"] == [name]
    assert [fourth[each] for each in ("prewarming", "renewed", "due")] == [[], [], 0]
    assert pipeline.cloud.cache.has(LOCATION, stored.digest)
    assert not pipeline.cloud.cache.has(LOCATION, other.digest)
    assert len(pipeline.facts(image=used, outcome="prewarmed")) == 2
    assert len(pipeline.facts(image=unused, outcome="prewarmed")) == 1
    assert pipeline.jobs() == []
