"""References without a cluster, and clusters that are not watched."""

import json
from typing import Any

from sandbox.demo.case import TRAINER
from sandbox.messaging import AUDIT, BUILDS, GKE_EVENTS, REFERENCES
from tests.integration.pipelines import TIMEOUT_S, Pipeline
from tests.integration.warmup_jobs import annotation

APPS = "us-central1-docker.pkg.dev/demo/apps"


def test_build_is_warmed_in_the_discovered_cluster(pipeline: Pipeline) -> None:
    digest = pipeline.cloud.artifact_registry.push(f"{APPS}/trainer", "v1", TRAINER)
    image = f"{APPS}/trainer:v1"
    build = {
        "id": "build-of-trainer",
        "name": "projects/1/locations/us-central1/builds/build-of-trainer",
        "status": "SUCCESS",
        "images": [image],
        "results": {"images": [{"name": image, "digest": digest}]},
    }

    message = pipeline.publish(BUILDS, build, {"buildId": "build-of-trainer", "status": "SUCCESS"})
    pipeline.line(message, "handled", "build_notification")
    fact = pipeline.fact(event="warmup.finished", digest=digest)["jsonPayload"]

    published = [json.loads(each.data) for each in pipeline.reference_messages(fact["image"])]
    # One without a cluster, from the build, and one for the only cluster of the region.
    assert [each.get("cluster") for each in published] == [None, pipeline.cloud.cluster]
    assert (fact["outcome"], fact["cause"]["kind"]) == ("pulled", "build")
    assert fact["cause"]["id"] == "build-of-trainer"
    assert fact["mirror"] == f"{APPS}/trainer@{digest}"
    # It lies in a repository of the project's own already, and needs no mirror.
    assert not [name for name in pipeline.mirrors() if name.endswith("pkg-dev-mirror")]


def test_build_that_failed_warms_nothing(pipeline: Pipeline) -> None:
    message = pipeline.publish(
        BUILDS, {"id": "b", "status": "FAILURE", "images": [f"{APPS}/broken:1"]}
    )

    line = pipeline.line(message, "ignored", "build_notification")

    assert pipeline.statuses(message) == [200]
    assert line["status"] == "FAILURE"
    assert pipeline.reference_messages(f"{APPS}/broken:1") == []


def test_reference_without_placement_is_warmed_on_every_kind_of_accelerator(
    pipeline: Pipeline,
) -> None:
    image = pipeline.add_image("team/everywhere")

    message = pipeline.publish(REFERENCES, {"image": image})
    line = pipeline.line(message, "handled")
    pipeline.warmup(image)
    nodes = pipeline.api.list("nodes")
    kinds = {node["metadata"]["labels"].get("cloud.google.com/gke-accelerator") for node in nodes}

    assert line["published"] == [pipeline.cloud.cluster]
    targets = [
        pipeline.fact(event="warmup.finished", job=job)["jsonPayload"]["accelerator"]
        for job in jobs_of(pipeline, image)
    ]
    assert set(targets) == kinds - {None}


def jobs_of(pipeline: Pipeline, image: str) -> list[str]:
    """Wait until an image's Jobs are made, and return their names."""
    (spread,) = pipeline.reference_messages(image)
    return list(pipeline.line(spread.message_id, "handled")["created"])


def test_reference_without_a_watched_cluster_is_ignored(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/nowhere")
    function = pipeline.serve_variant(
        "image_reference", "{clusters: [other], upstreams: {docker.io: }}", "unwatched"
    )

    spread = pipeline.publish("unwatched", {"image": image})
    named = pipeline.ask(image, topic="unwatched")

    assert pipeline.line(spread, "ignored", function)["reason"] == "no cluster is watched"
    assert pipeline.line(named, "ignored", function)["reason"] == "the cluster is not watched"
    assert pipeline.statuses(spread) == pipeline.statuses(named) == [200]
    assert pipeline.jobs(image) == []


def test_failing_container_api_defers_the_search_for_clusters(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/search")
    function = pipeline.serve_variant("image_reference", "{upstreams: {docker.io: }}", "search")

    with pipeline.fault("container", "", 503):
        message = pipeline.publish("search", {"image": image})
        pipeline.line(message, "deferred", function)
    line = pipeline.line(message, "handled", function)

    assert line["published"] == [pipeline.cloud.cluster]
    assert pipeline.statuses(message)[0] == 503


def test_image_below_the_least_size_is_left_alone(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/small", 150_000_000)

    message = pipeline.ask(image, cause={"kind": "audit_log"})
    line = pipeline.line(message, "ignored")
    insisted = pipeline.ask(image)

    assert "smaller than 200000000 bytes" in line["reason"]
    # By hand the rule of sizes is passed.
    assert pipeline.line(insisted, "handled")["created"]
    assert pipeline.warmup(image)["outcome"] == "pulled"


def test_own_objects_trigger_no_warmup(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/loop")

    job = pipeline.warmup_of(image)["job"]
    assert pipeline.cloud.router.flush(TIMEOUT_S)

    assert not [entry for entry in pipeline.entries(AUDIT) if in_own_namespace(entry)]
    assert [entry for entry in pipeline.entries(GKE_EVENTS) if job in json.dumps(entry)]
    assert len(pipeline.reference_messages(image)) == 0
    assert annotation(pipeline.job(image), "image") == image


def in_own_namespace(entry: dict[str, Any]) -> bool:
    return "/namespaces/prestream/" in entry["protoPayload"]["resourceName"]
