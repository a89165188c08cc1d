"""The warmup queue in the local cloud as time goes on: warmups that no node takes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.local_cloud import LocalCloud
from tests.integration.conftest import SCALE
from tests.integration.pipelines import ADMIN, Pipeline
from tests.integration.warmup_jobs import annotation, is_finished

pytestmark = pytest.mark.integration

SWEEP = "scheduled_sweep"
SCHEDULE = "prestream-schedule"
CONFIG = "{period_hours: 8760, deadline_minutes: 1440, max_running: 5, upstreams: {docker.io: }}"
"""No warmup ends by its deadline in the time that a test takes."""

MOST_SWEEPS = 12


@pytest.fixture
def pipeline(
    request: pytest.FixtureRequest, archives: Path, deployed_python: Path
) -> Iterator[Pipeline]:
    """A cloud of the test's own, since time moves in it."""
    config = getattr(request, "param", CONFIG)
    made = Pipeline(LocalCloud(scale=SCALE, config=config), archives, deployed_python)
    try:
        yield made.start("image_reference", "pull_event", SWEEP)
    finally:
        made.stop()


def set_quota(pipeline: Pipeline, pods: int) -> None:
    quota = {"spec": {"hard": {"pods": str(pods)}}}
    pipeline.api.patch("resourcequotas", "prestream-warmup", quota, "prestream", user=ADMIN)


def strand(pipeline: Pipeline, images: list[str]) -> None:
    """Resume warmups whose node is removed before their pods exist."""
    pipeline.add_gpu_node("gke-gpu-gone-a", "gone")
    set_quota(pipeline, 0)
    for image in images:
        pipeline.ask(image, pool="gone")
    for image in images:
        pipeline.job(image, lambda job: not job["spec"]["suspend"])
    pipeline.cloud.gke.remove_node("gke-gpu-gone-a")
    set_quota(pipeline, 50)


def count_refused(pipeline: Pipeline) -> int:
    """Return how many warmups have a pod that the scheduler refuses."""
    return sum(
        condition["type"] == "PodScheduled" and condition["status"] == "False"
        for pod in pipeline.api.list("pods", "prestream")
        for condition in pod.get("status", {}).get("conditions", [])
    )


def sweep(pipeline: Pipeline) -> None:
    """Let time go on for longer than a pod may wait, and Cloud Scheduler's message come."""
    pipeline.cloud.clock.advance(timedelta(minutes=3))
    tick = pipeline.publish(SCHEDULE, {"cluster": pipeline.cloud.cluster})
    pipeline.line(tick, "handled", SWEEP)


def test_warmups_without_a_node_do_not_block_the_queue(pipeline: Pipeline) -> None:
    pipeline.add_gpu_node("gke-gpu-l4-a", "l4-spot", accelerator="nvidia-l4")
    stuck = [pipeline.add_image(f"team/stuck-{number}") for number in range(5)]
    good = pipeline.add_image("team/good")
    strand(pipeline, stuck)
    pipeline.wait(lambda: count_refused(pipeline) == len(stuck))
    pipeline.statuses(pipeline.ask(good))

    def are_ended() -> bool:
        return all(is_finished(job) for image in stuck for job in pipeline.jobs(image))

    sweep(pipeline)
    assert pipeline.warmup(good)["outcome"] == "pulled"

    for _ in range(MOST_SWEEPS):
        if not are_ended():
            sweep(pipeline)
    pipeline.wait(are_ended)
    for image in stuck:
        fact = pipeline.warmup(image)
        assert fact["outcome"] == "no_node"
        assert "didn't match Pod's node affinity/selector" in fact["reason"]
        # The third attempt ended it.
        assert annotation(pipeline.job(image), "attempts") == "2"


@pytest.mark.parametrize("pipeline", [CONFIG.replace("running: 5", "running: 1")], indirect=True)
def test_warmup_that_waited_runs_on_a_node_that_lacks_the_image_now(pipeline: Pipeline) -> None:
    for name in ("a", "b"):
        pipeline.add_gpu_node(f"gke-gpu-l4-{name}", "l4-spot", accelerator="nvidia-l4")
    first, second = pipeline.add_image("team/first"), pipeline.add_image("team/second")
    with pipeline.running_on("team/first"):
        pipeline.ask(first)
        busy = pipeline.job(first, lambda job: bool(job.get("status", {}).get("ready")))
        # Once the delivery that created the Job is done, another one resumes it.
        pipeline.statuses(pipeline.ask(second))
        waiting = pipeline.job(second)
        pipeline.add_gpu_node("gke-gpu-l4-c", "l4-spot", accelerator="nvidia-l4")
        pipeline.cloud.clock.advance(timedelta(minutes=3))
        pipeline.end(first)
    fact = pipeline.warmup(second)

    assert busy["metadata"]["name"] != waiting["metadata"]["name"]
    assert annotation(waiting, "nodes-without-image") == "gke-gpu-l4-a,gke-gpu-l4-b"
    resumed = pipeline.job(second)
    assert annotation(resumed, "nodes-without-image") == ("gke-gpu-l4-a,gke-gpu-l4-b,gke-gpu-l4-c")
    assert fact["outcome"] == "pulled"
