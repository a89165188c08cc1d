"""A region with a cluster that does not answer: another one warms its share of the references."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.local_cloud import LocalCloud
from sandbox.messaging import REFERENCES
from tests.integration.conftest import CONFIG, ENDLESS_PERIOD, SCALE
from tests.integration.pipelines import Pipeline
from tests.integration.silent_cluster import SILENT, add_silent_cluster

pytestmark = pytest.mark.integration

IMAGES = 8
"""So many references that a hash assigns some to each of two clusters."""


@pytest.fixture
def pipeline(archives: Path, deployed_python: Path) -> Iterator[Pipeline]:
    """A cloud with a second cluster in its region."""
    cloud = LocalCloud(scale=SCALE, config=CONFIG + ENDLESS_PERIOD)
    add_silent_cluster(cloud, "image_reference")
    made = Pipeline(cloud, archives, deployed_python)
    try:
        yield made.start("image_reference", "pull_event")
    finally:
        made.stop()


def test_reference_is_warmed_although_its_cluster_does_not_answer(pipeline: Pipeline) -> None:
    pipeline.add_gpu_node("gke-gpu-l4-a", "l4-spot", accelerator="nvidia-l4")
    images = [pipeline.add_image(f"team/share-{number}") for number in range(IMAGES)]
    for image in images:
        pipeline.line(pipeline.publish(REFERENCES, {"image": image}), "handled")
    published = {
        image: message
        for image in images
        for message in pipeline.reference_messages(image)
        if json.loads(message.data).get("cluster")
    }
    chosen = {image: json.loads(each.data)["cluster"] for image, each in published.items()}

    assert set(chosen.values()) == {SILENT, pipeline.cloud.cluster}
    for image, message in published.items():
        line = pipeline.line(message.message_id, "handled")
        assert pipeline.statuses(message.message_id) == [200]
        assert line["cluster"] == pipeline.cloud.cluster
        assert line.get("unreachable") == (SILENT if chosen[image] == SILENT else None)
        assert pipeline.warmup(image)["outcome"] == "pulled"


def test_reference_for_a_cluster_waits_for_that_cluster(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/named")

    message = pipeline.publish(REFERENCES, {"image": image, "cluster": SILENT})

    assert SILENT in pipeline.line(message, "deferred")["reason"]
    assert pipeline.jobs(image) == []
