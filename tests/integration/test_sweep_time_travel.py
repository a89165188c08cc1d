"""The sweep in the local cloud as time goes on: periods, moved tags, and what got lost."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from sandbox.local_cloud import LocalCloud
from sandbox.messaging import BUILDS, PUSHES, REFERENCES
from shared.domain.image_reference import Digest
from shared.domain.warmup_job import period_of
from tests.integration.conftest import CONFIG, SCALE
from tests.integration.pipelines import ADMIN, MEDIUM, REPORTED, Pipeline
from tests.integration.silent_cluster import SILENT, add_silent_cluster
from tests.integration.warmup_jobs import annotation, is_finished, is_reported

pytestmark = pytest.mark.integration

SWEEP = "scheduled_sweep"
SCHEDULE = "prestream-schedule"
MIRROR_FRESHNESS = timedelta(hours=1)
PERIOD = timedelta(hours=48)

Start = Callable[..., Pipeline]


@pytest.fixture
def start(archives: Path, deployed_python: Path) -> Iterator[Start]:
    """Start a cloud of the test's own with some of the functions, since time moves in it."""
    with ExitStack() as stack:

        def run(
            *functions: str, prepare: Callable[[LocalCloud], None] = lambda _: None
        ) -> Pipeline:
            cloud = LocalCloud(scale=SCALE, config=CONFIG)
            prepare(cloud)
            pipeline = Pipeline(cloud, archives, deployed_python)
            stack.callback(pipeline.stop)
            pipeline.start(*functions)
            for letter in "ab":
                pipeline.add_gpu_node(f"gke-gpu-l4-{letter}", "l4-spot", accelerator="nvidia-l4")
            return pipeline

        yield run


def add_image(pipeline: Pipeline, name: str, *, registry: str = "docker.io") -> str:
    """Publish an image whose period does not end in the hours that a test takes."""
    now = pipeline.cloud.clock.now()
    for number in range(100):
        image = pipeline.add_image(f"{name}-{number}", registry=registry)
        path = image.rpartition(":")[0]
        digest = pipeline.cloud.catalogue.fetch(registry, path.partition("/")[2], "1").digest
        ends = (now, now + timedelta(hours=12))
        if len({period_of(end, Digest(digest), PERIOD.total_seconds()) for end in ends}) == 1:
            return image
    raise AssertionError("all periods end soon")


def sweep(pipeline: Pipeline) -> dict[str, Any]:
    """Let Cloud Scheduler's message come, and return the line of the cluster's sweep."""
    since = pipeline.count_lines(SWEEP)
    pipeline.publish(SCHEDULE, b"{}")
    pipeline.next_line(SWEEP, "handled", since)
    found = pipeline.cloud.functions[SWEEP].wait_for_line(
        lambda line: line in pipeline.cloud.functions[SWEEP].lines[since:] and "due" in line, 30
    )
    assert found is not None, pipeline.cloud.functions[SWEEP].lines[since:]
    return found


def count_images(line: dict[str, Any]) -> dict[str, int]:
    """Return the states of the images in use with their numbers."""
    return {state: number for state, number in line["coverage"].items() if number}


def settle(pipeline: Pipeline) -> None:
    """Wait until every message is read, and every warmup has ended and is reported."""

    def is_done() -> bool:
        return all(is_reported(job) for job in pipeline.jobs())

    pipeline.wait(is_done)
    assert pipeline.pubsub.settled(30)


def payloads(pipeline: Pipeline, event: str) -> list[dict[str, Any]]:
    return [entry["jsonPayload"] for entry in pipeline.facts(event=event)]


def node_of(pipeline: Pipeline, job: dict[str, Any]) -> str:
    (fact,) = pipeline.facts(event="warmup.finished", job=job["metadata"]["name"])
    node: str = fact["jsonPayload"]["node"]
    return node


def test_after_a_period_what_is_in_use_is_warmed_again_on_another_node_and_nothing_else_is(
    start: Start,
) -> None:
    pipeline = start("scheduled_sweep", "image_reference", "pull_event")
    used, unused = add_image(pipeline, "team/used"), add_image(pipeline, "team/unused")
    pipeline.deploy("used", used, replicas=0)
    pipeline.deploy("unused", unused, replicas=0)
    line = sweep(pipeline)
    assert (line["due"], count_images(line)) == (2, {"due": 2})
    pipeline.warmup(used)
    pipeline.warmup(unused)
    settle(pipeline)
    line = sweep(pipeline)
    assert (line["due"], count_images(line)) == (0, {"warm": 2})

    pipeline.api.delete("deployments.apps", "unused", "ml", user=ADMIN)
    pipeline.cloud.clock.advance(PERIOD)
    line = sweep(pipeline)
    pipeline.wait(lambda: len(pipeline.jobs(used)) == 2)
    settle(pipeline)

    first, second = pipeline.jobs(used)
    assert (line["images"], line["due"], count_images(line)) == (1, 1, {"due": 1})
    assert len(pipeline.jobs(unused)) == 1
    assert node_of(pipeline, first) != node_of(pipeline, second)
    outcomes = [each["outcome"] for each in payloads(pipeline, "warmup.finished")]
    assert outcomes == ["pulled"] * 3


def test_moved_tag_is_noticed_after_the_mirrors_hour_and_warmed(start: Start) -> None:
    pipeline = start("scheduled_sweep", "image_reference", "pull_event")
    image = add_image(pipeline, "team/moving")
    pipeline.deploy("moving", image)
    pods = pipeline.api.list
    pipeline.wait(lambda: all(p["status"]["phase"] == "Running" for p in pods("pods", "ml")))
    assert sweep(pipeline)["moved"] == 0
    settle(pipeline)
    (first,) = pipeline.jobs(image)

    newer = Image((1_000_000, MEDIUM - 1_000_000), build="newer")
    digest = pipeline.cloud.catalogue.move_tag(image.rpartition(":")[0], "1", newer)
    early = sweep(pipeline)
    pipeline.cloud.clock.advance(MIRROR_FRESHNESS)
    late = sweep(pipeline)
    pipeline.wait(lambda: len(pipeline.jobs(image)) == 2)
    settle(pipeline)

    assert [(line["moved"], line["due"]) for line in (early, late)] == [(0, 0), (1, 1)]
    (fact,) = payloads(pipeline, "tag.moved")
    assert fact["image"] == image
    assert (fact["old_digest"], fact["digest"]) == (annotation(first, "digest"), digest)
    assert fact["workloads"] == ["apps/v1/namespaces/ml/deployments/moving"]
    assert {annotation(job, "digest") for job in pipeline.jobs(image)} == {
        fact["old_digest"],
        digest,
    }


def test_facts_of_lost_events_are_written(start: Start) -> None:
    # Nobody listens to the cluster's events.
    pipeline = start("scheduled_sweep", "image_reference")
    image = add_image(pipeline, "team/lost")
    pipeline.deploy("lost", image, replicas=0)
    sweep(pipeline)
    job = pipeline.job(image, is_finished)
    assert not is_reported(job)
    assert pipeline.facts() == []

    assert sweep(pipeline)["reported"] == 1

    (fact,) = pipeline.facts(event="warmup.finished")
    assert (fact["jsonPayload"]["image"], fact["jsonPayload"]["outcome"]) == (image, "pulled")
    assert pipeline.jobs(image)[0]["metadata"]["annotations"][REPORTED] == fact["insertId"]
    assert sweep(pipeline)["reported"] == 0


def set_quota(pipeline: Pipeline, pods: int) -> None:
    quota = {"spec": {"hard": {"pods": str(pods)}}}
    pipeline.api.patch("resourcequotas", "prestream-warmup", quota, "prestream", user=ADMIN)


def test_warmup_that_waits_for_a_node_in_vain_gets_its_fact_and_another_try(
    start: Start,
) -> None:
    pipeline = start("scheduled_sweep", "image_reference")
    image = add_image(pipeline, "team/stuck")
    pipeline.deploy("stuck", image, replicas=0)
    # Its node goes before its pod comes, for which the quota leaves no room until then.
    set_quota(pipeline, 0)
    sweep(pipeline)
    pipeline.job(image, lambda job: not job["spec"]["suspend"])
    for letter in "ab":
        pipeline.cloud.gke.remove_node(f"gke-gpu-l4-{letter}")
    set_quota(pipeline, 20)
    events = pipeline.api.list
    pipeline.wait(
        lambda: any(each["reason"] == "FailedScheduling" for each in events("events", "prestream"))
    )

    pipeline.cloud.clock.advance(timedelta(minutes=61))
    pipeline.job(image, is_finished)
    line = sweep(pipeline)

    assert (line["reported"], line["due"]) == (1, 0)
    (fact,) = payloads(pipeline, "warmup.finished")
    assert fact["outcome"] == "no_node"
    assert (fact["node"], fact["streamed"]) == (None, None)

    pipeline.add_gpu_node("gke-gpu-l4-d", "l4-spot", accelerator="nvidia-l4")
    pipeline.cloud.clock.advance(PERIOD / 8)
    assert sweep(pipeline)["due"] == 1
    pipeline.wait(
        lambda: any(
            condition["type"] == "Complete"
            for job in pipeline.jobs(image)
            for condition in job.get("status", {}).get("conditions", [])
        )
    )


def test_two_sweeps_at_once_make_each_warmup_once(start: Start) -> None:
    pipeline = start("scheduled_sweep", "image_reference", "pull_event")
    images = [add_image(pipeline, f"team/twice-{number}") for number in range(6)]
    for number, image in enumerate(images):
        pipeline.deploy(f"twice-{number}", image, replicas=0)
    ticks = [pipeline.publish(SCHEDULE, {"cluster": pipeline.cloud.cluster}) for _ in range(3)]

    lines = [pipeline.line(tick, "handled", SWEEP) for tick in ticks]
    outcomes = [pipeline.warmup(image)["outcome"] for image in images]
    settle(pipeline)

    assert max(line["due"] for line in lines) == 6
    assert outcomes == ["pulled"] * 6
    assert sorted(str(annotation(job, "image")) for job in pipeline.jobs()) == images
    assert len(pipeline.facts(event="warmup.finished")) == 6


def test_cluster_that_does_not_answer_blocks_no_other_and_is_reported(start: Start) -> None:
    pipeline = start(SWEEP, prepare=lambda cloud: add_silent_cluster(cloud, SWEEP))
    image = add_image(pipeline, "team/answered")
    pipeline.deploy("answered", image, replicas=0)

    line = sweep(pipeline)
    silent = pipeline.next_line(SWEEP, "deferred", 0)

    assert (line["cluster"], line["due"]) == (pipeline.cloud.cluster, 1)
    assert SILENT in silent["reason"]
    assert len(pipeline.reference_messages(image)) == 1


def test_sweep_stops_requests_to_a_limited_upstream_only(start: Start) -> None:
    pipeline = start("scheduled_sweep", "image_reference", "pull_event")
    limited = [add_image(pipeline, f"team/l-{n}", registry="limited.example") for n in range(5)]
    pipeline.deploy("limited-0", limited[0], replicas=0)
    sweep(pipeline)
    settle(pipeline)
    for number, image in enumerate(limited[1:], start=1):
        pipeline.deploy(f"limited-{number}", image, replicas=0)
    other = add_image(pipeline, "team/unlimited")
    pipeline.deploy("unlimited", other, replicas=0)
    pipeline.cloud.catalogue.limit("limited.example", after=1, retry_after_s=3600)
    before = len(pipeline.cloud.artifact_registry.requests)

    line = sweep(pipeline)
    pipeline.fact(event="warmup.finished", outcome="postponed")

    asked = pipeline.cloud.artifact_registry.requests[before:]
    refused = [path for _, _, path, status in asked if status == 429]
    # The sweep is refused once, and the record of that costs another request.
    assert (len(refused), len(set(refused))) == (2, 1)
    # One was answered; the one that was warmed before comes last, and is left alone as well.
    assert line["postponed"]["limited.example"]["images"] == 4
    assert line["postponed"]["limited.example"]["not_before"] is not None
    assert pipeline.warmup(other)["outcome"] == "pulled"

    pipeline.cloud.catalogue.restore("limited.example")
    pipeline.cloud.clock.advance(MIRROR_FRESHNESS)
    assert sweep(pipeline)["postponed"] == {}
    for image in limited:
        pipeline.warmup(image, outcome="pulled")


def test_dry_run_changes_nothing(start: Start) -> None:
    # No function receives the events of the cluster, so the sweep has facts to write.
    pipeline = start("image_reference", "scheduled_sweep")
    image = add_image(pipeline, "team/dry")
    pipeline.deploy("dry", image, replicas=0)
    sweep(pipeline)
    pipeline.job(image, is_finished)
    fresh = add_image(pipeline, "team/fresh", registry="ghcr.io")
    pipeline.deploy("fresh", fresh, replicas=0)
    name = pipeline.serve_variant(SWEEP, "dry_run: true\n" + CONFIG, "sweep-dry")
    with pipeline.fault("pubsub", "Push .*prestream-image-reference"):
        before = (pipeline.jobs(), pipeline.mirrors())

        message = pipeline.publish("sweep-dry", {"cluster": pipeline.cloud.cluster})
        line = pipeline.line(message, "handled", name)

        assert (line["due"], line["reported"], line["dry_run"]) == (1, 1, True)
        assert line["resumed"] == []
        assert (pipeline.jobs(), pipeline.mirrors()) == before


def test_image_from_two_sources_is_one_warmup(start: Start) -> None:
    pipeline = start("registry_push", "build_notification", "image_reference", "pull_event")
    name = "us-central1-docker.pkg.dev/demo/apps/told-twice"
    image = Image((1_000_000, MEDIUM - 1_000_000), build=name)
    digest = pipeline.cloud.artifact_registry.push(name, "1", image)
    build = {
        "id": "build-1",
        "status": "SUCCESS",
        "results": {"images": [{"name": f"{name}:1", "digest": digest}]},
    }
    pushed = {"action": "INSERT", "digest": f"{name}@{digest}", "tag": f"{name}:1"}

    pipeline.publish(BUILDS, build, {"status": "SUCCESS"})
    pipeline.publish(PUSHES, pushed)
    pipeline.wait(lambda: bool(pipeline.jobs()))
    settle(pipeline)

    (job,) = pipeline.jobs()
    assert annotation(job, "digest") == digest
    (fact,) = payloads(pipeline, "warmup.finished")
    assert (fact["outcome"], fact["mirror"]) == ("pulled", f"{name}@{digest}")
    published = pipeline.messages(REFERENCES)
    kinds = {message.attributes["cause"] for message in published}
    assert kinds == {"build", "push"}
