"""The rungs of the ladder, and the node pools that grow only when they may."""

import pytest

from tests.integration.pipelines import BIG, DEV, TIMEOUT_S, Pipeline
from tests.integration.warmup_jobs import is_finished

CONFIG = (
    "{ladder: [gpu-node, new-gpu-node], deadline_minutes: 3, max_running: 2, period_hours: 8760}"
)
TOPIC = "growing-references"


@pytest.fixture(scope="module")
def growing(pipeline: Pipeline) -> str:
    """A second ``image_reference`` that may add nodes, and gives up after three minutes."""
    return pipeline.serve_variant("image_reference", CONFIG, TOPIC)


def test_warmups_that_wait_for_a_node_make_no_pool_grow(pipeline: Pipeline) -> None:
    pool = pipeline.cloud.gke.add_node_pool(
        "steady", min=1, max=3, accelerator="nvidia-a100-80gb", spot=True
    )
    first = pipeline.add_image("team/steady-first", BIG)
    second = pipeline.add_image("team/steady-second", BIG)

    for image in (first, second):
        pipeline.ask(image, pool="steady")
    # One a node at a time: the second waits longer than the autoscaler would need.
    facts = [pipeline.warmup(image) for image in (first, second)]
    additions = pool.additions
    pipeline.deploy("steady", first, {"cloud.google.com/gke-nodepool": "steady"}, replicas=2)
    pipeline.wait(lambda: pool.additions > 0)
    pipeline.api.delete("deployments.apps", "steady", "ml", user=DEV)

    assert [fact["outcome"] for fact in facts] == ["pulled", "pulled"]
    assert max(fact["total_seconds"] for fact in facts) > 2 * BIG / 31e6
    # The pool would have grown for pods that count: it did for the workload's own.
    assert (additions, pool.additions) == (0, 1)


def test_target_without_a_node_is_served_by_any_node_that_streams(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/any-node")
    pool = pipeline.cloud.gke.add_node_pool("from-zero", accelerator="nvidia-h200-141gb")

    pipeline.ask(image, pool="from-zero")
    fact = pipeline.warmup(image)

    assert (fact["outcome"], fact["strategy"]) == ("pulled", "any-node")
    assert (fact["node"], fact["node_pool"], fact["accelerator"]) == ("gke-gpu-cpu-a", "cpu", None)
    assert pool.additions == 0


def test_new_node_comes_only_where_the_rung_for_it_is_on(pipeline: Pipeline, growing: str) -> None:
    image = pipeline.add_image("team/new-node")
    pool = pipeline.cloud.gke.add_node_pool("growing", accelerator="nvidia-h200-141gb")

    message = pipeline.ask(image, topic=TOPIC, pool="growing")
    fact = pipeline.warmup(image)

    assert pipeline.line(message, "handled", growing)["created"] == [fact["job"]]
    assert (fact["outcome"], fact["strategy"]) == ("pulled", "new-gpu-node")
    assert fact["node_pool"] == "growing"
    assert pool.additions == 1


def test_target_without_a_node_of_its_platform_is_reported(pipeline: Pipeline) -> None:
    image = "docker.io/library/alpine:3.20"
    placement = {
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-gb200"},
        "tolerations": [],
    }

    message = pipeline.ask(image, placement=placement, platform="linux/arm64")
    fact = pipeline.warmup(image, outcome="no_node")

    assert pipeline.statuses(message) == [200]
    assert fact["job"] is None
    assert "nvidia-gb200" in fact["hint"]
    assert pipeline.jobs(image) == []


def test_warmup_without_a_node_is_reported_at_its_deadline(
    pipeline: Pipeline, growing: str
) -> None:
    image = pipeline.add_image("team/never-placed")

    message = pipeline.ask(image, topic=TOPIC, pool="no-such-pool")
    fact = pipeline.warmup(image)

    assert pipeline.line(message, "handled", growing)["created"] == [fact["job"]]
    assert fact["outcome"] == "no_node"
    assert (fact["node"], fact["pull_seconds"], fact["streamed"]) == (None, None, None)
    assert any("nodes are available" in each["text"] for each in fact["evidence"])
    assert fact["hint"]


def test_warmup_still_pulling_is_reported_at_its_deadline(pipeline: Pipeline, growing: str) -> None:
    image = pipeline.add_image("team/too-slow", 2 * BIG)
    pipeline.add_gpu_node("gke-gpu-slow", "slow")

    message = pipeline.ask(image, topic=TOPIC, pool="slow")
    fact = pipeline.warmup(image)

    assert pipeline.line(message, "handled", growing)["created"] == [fact["job"]]
    assert (fact["outcome"], fact["node"]) == ("timed_out", "gke-gpu-slow")
    assert fact["pull_seconds"] is None
    assert fact["streamed"] is None
    assert "deadline_minutes" in fact["hint"]


def test_pods_of_a_warmup_ask_for_no_gpu(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/no-gpu")
    pipeline.add_gpu_node("gke-gpu-taken", "taken", accelerator_count=1)
    selector = {"cloud.google.com/gke-nodepool": "taken"}
    pipeline.deploy("taken", "docker.io/library/busybox:1.37.0-musl", selector)
    pipeline.wait(
        lambda: any(
            pod.get("status", {}).get("phase") == "Running"
            for pod in pipeline.api.list("pods", "ml", label_selector="app=taken")
        )
    )

    pipeline.ask(image, pool="taken")
    fact = pipeline.warmup(image)
    pipeline.api.delete("deployments.apps", "taken", "ml", user=DEV)

    # The only GPU is in use, and the image is warmed beside.
    assert (fact["outcome"], fact["node"]) == ("pulled", "gke-gpu-taken")
    assert is_finished(pipeline.job(image))
    assert pipeline.cloud.router.flush(TIMEOUT_S)
