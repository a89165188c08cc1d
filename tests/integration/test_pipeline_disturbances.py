"""
Damaged answers, wrong clocks, and events that come late, twice or combined.

A disturbed answer is the fault of the world: the delivery is deferred, and the world
ends as if nothing had been.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sandbox.fault import Fault, every, first
from tests.integration.pipelines import Pipeline
from tests.integration.test_pipeline_failed_warmups import is_pulling
from tests.integration.warmup_jobs import is_reported

PAGE = b"<html><body>502 Bad Gateway</body></html>"
WRONG: dict[str, dict[str, Any]] = {
    "cut": {"damage": "cut"},
    "truncated": {"damage": "truncated"},
    "emptied": {"damage": "emptied"},
    "page": {"status": 200, "content": PAGE},
    "no-json": {"status": 200, "content": b"ok", "headers": {"Content-Type": "application/json"}},
    "gateway": {"status": 502, "content": PAGE},
}
"""An answer as a middlebox changes it."""


@pytest.fixture(autouse=True)
def _undisturbed(pipeline: Pipeline) -> Iterator[None]:
    yield
    pipeline.clear()


def warmed_once(pipeline: Pipeline, image: str) -> dict[str, Any]:
    """Wait for the one fact of an image's one Job, which says that it was pulled."""
    fact = pipeline.warmup(image)
    pipeline.job(image, is_reported)
    assert fact["outcome"] == "pulled"
    assert len(pipeline.jobs(image)) == 1
    assert len(pipeline.facts(event="warmup.finished", image=image)) == 1
    return fact


MANIFEST = ("registry", "GET .*/team/{}/manifests/", 1)
# A read that breaks off is sent once more by itself.
NODES = ("kubernetes", "GET .*/nodes[?]", 2)
CREATION = ("kubernetes", "POST .*/jobs", 1)


@pytest.mark.parametrize(
    ("service", "call", "times", "wrong"),
    [
        *[pytest.param(*MANIFEST, wrong, id=f"manifest-{wrong}") for wrong in WRONG],
        *[pytest.param(*NODES, wrong, id=f"nodes-{wrong}") for wrong in ("cut", "truncated")],
        *[pytest.param(*CREATION, wrong, id=f"creation-{wrong}") for wrong in ("cut", "page")],
    ],
)
def test_damaged_answer_defers_the_delivery(
    pipeline: Pipeline, service: str, call: str, times: int, wrong: str
) -> None:
    name = f"damaged-{service}-{wrong}-{times}"
    image = pipeline.add_image(f"team/{name}")
    fields = {**WRONG[wrong], "times": times}

    with pipeline.fault(service, call.format(name), **fields) as fault:
        message = pipeline.ask(image)
        statuses = pipeline.statuses(message)
    assert fault.hits
    assert set(statuses[:-1]) == {503}
    pipeline.line(message, "handled")
    assert {line["disposition"] for line in pipeline.lines(message)} == {"deferred", "handled"}
    warmed_once(pipeline, image)


@pytest.mark.parametrize("wrong", ["cut", "page"])
def test_fact_with_a_damaged_answer_is_written_once(pipeline: Pipeline, wrong: str) -> None:
    image = pipeline.add_image(f"team/damaged-fact-{wrong}")

    with pipeline.fault("logging", "entries:write", times=1, **WRONG[wrong]) as fault:
        pipeline.ask(image)
        warmed_once(pipeline, image)

    assert fault.hits == 1


def test_answer_of_the_wrong_media_type_is_read_by_what_it_is(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/mistyped")
    services = ("registry", "kubernetes", "logging", "container", "artifact-registry")
    for service in services:
        pipeline.cloud.faults.add(Fault(service, damage="mistyped", when=every(2)))

    pipeline.ask(image)

    warmed_once(pipeline, image)


@pytest.mark.parametrize("wrong", ["truncated", "page"])
def test_damaged_answer_about_a_mirror_makes_no_second_one(pipeline: Pipeline, wrong: str) -> None:
    image = pipeline.add_image(f"team/damaged-mirror-{wrong}", registry="disturbed.example")
    pipeline.delete_repository("disturbed-example-mirror")

    with pipeline.fault(
        "artifact-registry", "disturbed-example-mirror", times=2, **WRONG[wrong]
    ) as fault:
        message = pipeline.ask(image)
        statuses = pipeline.statuses(message)

    assert fault.hits
    assert set(statuses[:-1]) <= {503}
    warmed_once(pipeline, image)


REFUSALS = {503: "deferred", 429: "deferred", 409: "deferred", 401: "blocked"}


@pytest.mark.parametrize(
    ("service", "status"),
    [
        ("kubernetes", 503),
        ("kubernetes", 429),
        ("kubernetes", 409),
        ("kubernetes", 401),
        ("registry", 401),
        ("artifact-registry", 401),
    ],
)
def test_first_answer_of_each_call_may_be_a_refusal(
    pipeline: Pipeline, service: str, status: int
) -> None:
    image = pipeline.add_image(f"team/first-{service}-{status}", registry="unsteady.example")
    if service == "artifact-registry":
        pipeline.delete_repository("unsteady-example-mirror")
    calls = {
        "registry": f"GET .*first-registry-{status}/manifests/1$",
        "kubernetes": "(?<!GET) .*/jobs",
    }
    fault = Fault(service, calls.get(service, "unsteady-example"), status, when=first(1))
    pipeline.cloud.faults.add(fault)

    message = pipeline.ask(image)
    statuses = pipeline.statuses(message)

    assert fault.hits
    assert set(statuses[:-1]) <= {503}
    pipeline.line(message, "handled")
    dispositions = {line["disposition"] for line in pipeline.lines(message)}
    assert dispositions == {REFUSALS[status], "handled"}
    warmed_once(pipeline, image)


def test_restart_of_the_api_server_loses_no_warmup(pipeline: Pipeline) -> None:
    image, waiting = (pipeline.add_image(f"team/restart-{name}") for name in ("before", "while"))
    with pipeline.running_on("team/restart-before"):
        pipeline.statuses(pipeline.ask(image))
        pipeline.job(image, lambda job: bool(job.get("status", {}).get("ready")))
        down = pipeline.cloud.kubernetes.restart(timedelta(days=1))
        message = pipeline.ask(waiting)
        line = pipeline.line(message, "deferred")
        pipeline.cloud.faults.remove(down)
        pipeline.end(image)

    assert "503" in line["reason"]
    warmed_once(pipeline, waiting)
    warmed_once(pipeline, image)


@pytest.mark.parametrize(
    ("service", "hours"), [("kubernetes", -1), ("kubernetes", 1), ("logging", -1), ("pubsub", 1)]
)
def test_wrong_clock_spoils_no_figure(pipeline: Pipeline, service: str, hours: int) -> None:
    image = pipeline.add_image(f"team/skewed-{service}-{hours}".replace("--", "-behind-"))
    pipeline.cloud.clocks[service].skew = timedelta(hours=hours)

    pipeline.ask(image)
    fact = warmed_once(pipeline, image)

    assert 0 < fact["pull_seconds"] < 600
    assert fact["total_seconds"] is None or fact["total_seconds"] >= 0


def test_repeated_and_late_events_are_recorded_once(pipeline: Pipeline) -> None:
    images = [pipeline.add_image(f"team/disturbed-{number}") for number in range(3)]
    router = pipeline.cloud.router
    router.delay = lambda entry: entry.get("jsonPayload", {}).get("reason") in {"Pulled", "Pulling"}
    router.duplicate = lambda _: True
    router.fold = lambda entry: entry["jsonPayload"]["reason"] in {"Completed", "BackOff"}

    for image in images:
        pipeline.ask(image)

    for image in images:
        warmed_once(pipeline, image)


def test_pull_on_a_drained_node_is_finished_and_reported(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/drained", 20_000_000_000)
    pipeline.add_gpu_node("gke-gpu-drained", "drained")
    pipeline.ask(image, pool="drained")
    job = pipeline.job(image)
    pipeline.wait(lambda: is_pulling(pipeline, job))

    pipeline.cloud.gke.drain("gke-gpu-drained")
    fact = warmed_once(pipeline, image)

    assert fact["node"] == "gke-gpu-drained"
    assert pipeline.job(image)["metadata"]["uid"] == job["metadata"]["uid"]
    pipeline.wait(lambda: not pods_of(pipeline, job))


def test_node_that_is_deleted_in_the_middle_of_a_pull_is_no_failure_of_the_image(
    pipeline: Pipeline,
) -> None:
    image = pipeline.add_image("team/deleted-node", 20_000_000_000)
    pipeline.add_gpu_node("gke-gpu-deleted", "deleted")
    pipeline.ask(image, pool="deleted")
    job = pipeline.job(image)
    pipeline.wait(lambda: is_pulling(pipeline, job))

    pipeline.cloud.gke.remove_node("gke-gpu-deleted")
    pipeline.add_gpu_node("gke-gpu-after-deletion", "deleted")
    fact = warmed_once(pipeline, image)

    assert fact["node"] == "gke-gpu-after-deletion"
    assert pipeline.job(image)["metadata"]["uid"] == job["metadata"]["uid"]


def pods_of(pipeline: Pipeline, job: dict[str, Any]) -> list[str]:
    """Return the uids of a Job's pods."""
    selector = f"batch.kubernetes.io/job-name={job['metadata']['name']}"
    pods = pipeline.api.list("pods", "prestream", label_selector=selector)
    return [pod["metadata"]["uid"] for pod in pods]
