"""An upstream that limits pulls for six hours, in the local cloud as time goes on."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.local_cloud import LocalCloud
from tests.integration.conftest import SCALE
from tests.integration.pipelines import Pipeline

pytestmark = pytest.mark.integration

CONFIG = "{period_hours: 8760, upstreams: {docker.io: , limited.example: }}"
SWEEP = "scheduled_sweep"
SIX_HOURS = timedelta(hours=6)


@pytest.fixture
def pipeline(archives: Path, deployed_python: Path) -> Iterator[Pipeline]:
    """A cloud of the test's own, since time moves in it."""
    made = Pipeline(LocalCloud(scale=SCALE, config=CONFIG), archives, deployed_python)
    try:
        yield made.start("image_reference", "pull_event", SWEEP)
    finally:
        made.stop()


def sweep(pipeline: Pipeline) -> None:
    tick = pipeline.publish("prestream-schedule", {"cluster": pipeline.cloud.cluster})
    pipeline.line(tick, "handled", SWEEP)


def count_requests(pipeline: Pipeline, image: str) -> int:
    """Return how often the mirror was asked for the tag of an image."""
    repository, _, tag = image.partition("/")[2].rpartition(":")
    suffix = f"{repository}/manifests/{tag}"
    requests = pipeline.cloud.artifact_registry.requests
    return sum(path.endswith(suffix) for _, _, path, _ in requests)


def test_limited_image_is_asked_for_after_six_hours(pipeline: Pipeline) -> None:
    pipeline.add_gpu_node("gke-gpu-l4-a", "l4-spot", accelerator="nvidia-l4")
    image = pipeline.add_image("team/limited", registry="limited.example")
    pipeline.cloud.catalogue.limit(
        "limited.example", after=0, retry_after_s=int(SIX_HOURS.total_seconds())
    )
    first = pipeline.line(pipeline.ask(image), "handled")
    asked = count_requests(pipeline, image)
    pipeline.cloud.catalogue.restore("limited.example")
    pipeline.deploy("limited", image, replicas=0)

    # Another instance has no memory of the first one.
    pipeline.redeploy()
    for _ in range(3):
        pipeline.cloud.clock.advance(timedelta(hours=1))
        again = pipeline.line(pipeline.ask(image), "handled")
        sweep(pipeline)
        assert (again["outcome"], again["reason"]) == ("postponed", first["reason"])
    assert count_requests(pipeline, image) == asked
    (record,) = pipeline.api.list("jobs.batch", "prestream")
    assert record["spec"]["suspend"]
    assert pipeline.api.list("pods", "prestream") == []

    pipeline.cloud.clock.advance(SIX_HOURS)
    sweep(pipeline)
    assert pipeline.warmup(image, outcome="pulled")["not_before"] is None
    assert pipeline.api.list("jobs.batch", "prestream") == pipeline.jobs(image)
