"""Warmups that do not end well, and such as only look as if they did not."""

import json
from typing import Any

from sandbox.messaging import GKE_EVENTS
from tests.integration.pipelines import ADMIN, BIG, TIMEOUT_S, Pipeline
from tests.integration.warmup_jobs import (
    Job,
    annotation,
    is_end_of,
    is_finished,
    is_reported,
    is_running,
)

DEADLINE_S = 24 * 3600


def test_pull_that_cannot_succeed_ends_the_warmup_early_and_lets_the_next_run(
    pipeline: Pipeline,
) -> None:
    hopeless = pipeline.add_image("team/hopeless")
    holder, waiting = pipeline.add_image("team/holder"), pipeline.add_image("team/waiting")

    with pipeline.running_on("team/holder"):
        pipeline.statuses(pipeline.ask(holder))
        pipeline.job(holder, lambda job: bool(job.get("status", {}).get("ready")))
        # It was there when it was resolved, and is gone when the node asks.
        with pipeline.fault("registry", "HEAD .*team/hopeless/", 404):
            pipeline.statuses(pipeline.ask(hopeless))
            pipeline.statuses(pipeline.ask(waiting))
            fact = pipeline.warmup(hopeless)
        # The holder still has one of two turns: the other has come free.
        after = pipeline.warmup(waiting)
        assert is_running(pipeline.job(holder))
        pipeline.end(holder)

    assert fact["outcome"] == "pull_failed"
    assert fact["total_seconds"] < DEADLINE_S / 2
    assert fact["reason"] == "the registry has no such image"
    assert any("not found" in each["text"] for each in fact["evidence"])
    assert fact["hint"]
    assert fact["node"] is not None
    assert (fact["pull_seconds"], fact["streamed"]) == (None, None)
    assert after["outcome"] == "pulled"
    assert pipeline.warmup(holder)["outcome"] == "pulled"


def test_failed_warmup_is_replaced_on_a_new_request(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/second-try")
    with pipeline.fault("registry", "HEAD .*team/second-try/", 404):
        pipeline.ask(image)
        pipeline.warmup(image, outcome="pull_failed")
        failed = pipeline.job(image, is_reported)

    message = pipeline.ask(image)

    assert pipeline.line(message, "handled")["created"] == [failed["metadata"]["name"]]
    assert pipeline.warmup(image, outcome="pulled")["job"] == failed["metadata"]["name"]
    (job,) = pipeline.jobs(image)
    assert job["metadata"]["uid"] != failed["metadata"]["uid"]


def test_failed_warmup_is_reported_before_it_is_replaced(
    pipeline: Pipeline,
) -> None:
    image = pipeline.add_image("team/lost-failure")
    pipeline.cloud.router.lose = lambda entry: "warm-lost-failure" in json.dumps(entry)
    with pipeline.fault("registry", "HEAD .*team/lost-failure/", 404):
        pipeline.ask(image)
        job = pipeline.job(image)
        pipeline.wait(lambda: said(pipeline, job, "Failed"))
        patch = {"spec": {"activeDeadlineSeconds": 1}}
        name = job["metadata"]["name"]
        pipeline.api.patch("jobs.batch", name, patch, "prestream", user=ADMIN)
        uid = pipeline.job(image, is_finished)["metadata"]["uid"]
        assert pipeline.cloud.logging.wait_for(lambda entry: is_end_of(entry, uid), TIMEOUT_S)
    assert pipeline.cloud.router.flush(TIMEOUT_S)
    pipeline.cloud.router.lose = None
    assert pipeline.facts(image=image) == []

    pipeline.ask(image)

    assert pipeline.warmup(image, outcome="pull_failed")["job"] == name
    assert pipeline.warmup(image, outcome="pulled")["job"] == name


def said(pipeline: Pipeline, job: Job, reason: str) -> bool:
    """Whether a Job's pod has an event for a reason."""
    name = job["metadata"]["name"]
    return any(
        event["reason"] == reason and event["involvedObject"]["name"].startswith(f"{name}-")
        for event in pipeline.api.list("events", "prestream")
    )


def test_registry_that_fails_the_node_for_a_while_is_no_failure(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/for-a-while")

    with pipeline.fault("registry", "HEAD .*team/for-a-while/", 503, times=2):
        pipeline.ask(image)
        fact = pipeline.warmup(image)

    assert fact["outcome"] == "pulled"
    assert fact["pull_seconds"] is not None


def test_container_that_cannot_start_has_warmed_its_image(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/cannot-start")
    errors = pipeline.cloud.gke.switches.start_errors
    errors["team/cannot-start"] = "/.prestream-warmup/true"

    pipeline.ask(image)
    fact = pipeline.warmup(image)
    del errors["team/cannot-start"]

    assert fact["outcome"] == "pulled"
    assert "did not start" in fact["reason"]
    assert fact["pull_seconds"] > 0


def test_container_that_fails_has_warmed_its_image(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/exits")
    codes = pipeline.cloud.gke.switches.exit_codes
    codes["team/exits"] = 1

    pipeline.ask(image)
    fact = pipeline.warmup(image)
    del codes["team/exits"]

    assert fact["outcome"] == "pulled"
    assert fact["pull_seconds"] > 0


def test_preempted_node_is_no_failure_of_the_image(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/preempted", 4 * BIG)
    pipeline.add_gpu_node("gke-gpu-preempted", "preempted")
    pipeline.ask(image, pool="preempted")
    job = pipeline.job(image)
    pipeline.wait(lambda: is_pulling(pipeline, job))

    pipeline.cloud.gke.preempt_node("gke-gpu-preempted")
    pipeline.add_gpu_node("gke-gpu-successor", "preempted")
    fact = pipeline.warmup(image)

    assert (fact["outcome"], fact["node"]) == ("pulled", "gke-gpu-successor")
    assert fact["pull_seconds"] > 4 * BIG / 31e6
    assert len(pipeline.facts(image=image)) == 1
    assert pipeline.job(image, is_reported)["metadata"]["uid"] == job["metadata"]["uid"]


def is_pulling(pipeline: Pipeline, job: Job) -> bool:
    """Whether a Job's pod pulls the image itself, after the helper's."""
    name = job["metadata"]["name"]
    return any(
        event["reason"] == "Pulling"
        and event["involvedObject"]["name"].startswith(f"{name}-")
        and "containers{image}" in event["involvedObject"]["fieldPath"]
        and "init" not in event["involvedObject"]["fieldPath"]
        for event in pipeline.api.list("events", "prestream")
    )


def test_image_is_warmed_again_on_a_node_that_lacks_it(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/held")
    mirror = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/held"
    pipeline.add_gpu_node("gke-gpu-held-a", "held")
    pipeline.add_gpu_node("gke-gpu-held-b", "held")
    pipeline.ask(image, pool="held")
    first = pipeline.warmup(image)

    message = pipeline.ask(image, pool="held", force=True)
    job = pipeline.line(message, "handled")["created"][0]
    second = pipeline.warmup(image, job=job)

    assert {first["node"], second["node"]} == {"gke-gpu-held-a", "gke-gpu-held-b"}
    assert first["streamed"] == "not_streamed"
    assert second["outcome"] == "pulled"
    assert (annotation(pipeline.job(image), "mirror") or "").startswith(f"{mirror}@sha256:")


def test_events_of_jobs_that_are_not_ours_end_nothing(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/not-ours")
    with pipeline.running_on("team/not-ours"):
        pipeline.ask(image)
        job = pipeline.job(image, lambda job: bool(job.get("status", {}).get("ready")))
        name = job["metadata"]["name"]
        event = forge_failure(pipeline, f"{name}-zzzzz")

        message = pipeline.publish(GKE_EVENTS, event)
        line = pipeline.line(message, "ignored", "pull_event")
        assert is_running(pipeline.job(image))
        pipeline.end(image)

    assert line["reason"]
    assert pipeline.warmup(image)["outcome"] == "pulled"


def forge_failure(pipeline: Pipeline, pod: str) -> dict[str, Any]:
    """Return the report of a failed pull by a pod that does not exist."""
    real = next(
        entry
        for entry in pipeline.entries(GKE_EVENTS)
        if "Failed to pull image" in entry.get("jsonPayload", {}).get("message", "")
    )
    about = {**real["jsonPayload"]["involvedObject"], "name": pod, "uid": "none"}
    return {**real, "jsonPayload": {**real["jsonPayload"], "involvedObject": about}}
