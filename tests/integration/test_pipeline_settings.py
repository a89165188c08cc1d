"""Settings: a dry run changes nothing, and invalid settings block messages until they are fixed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.local_cloud import LocalCloud
from sandbox.messaging import AUDIT, BUILDS, GKE_EVENTS
from tests.integration.pipelines import FUNCTIONS, TIMEOUT_S, Pipeline
from tests.integration.warmup_jobs import is_reported, is_running

DRY_RUN = "dry-run"
DRY_EVENTS = "dry-run-events"
IN_PLACE = "in-place"
DRY_CONFIG = """
dry_run: true
period_hours: 8760
upstreams: {docker.io: , unmade.example: , taken.example: {repository: taken}}
"""


@pytest.fixture(scope="module")
def dry(pipeline: Pipeline) -> str:
    """A second ``image_reference`` that changes nothing."""
    return pipeline.serve_variant("image_reference", DRY_CONFIG, DRY_RUN)


@dataclass(frozen=True)
class World:
    """Everything that a dry run leaves as it is."""

    repositories: str
    jobs: tuple[tuple[Any, ...], ...]
    facts: int

    @classmethod
    def of(cls, pipeline: Pipeline) -> "World":
        return cls(
            json.dumps(pipeline.cloud.artifact_registry.repositories, sort_keys=True),
            tuple(map(state_of, pipeline.jobs())),
            len(pipeline.facts()),
        )


def state_of(job: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a function can change of a Job."""
    metadata, spec = job["metadata"], job["spec"]
    suspended, deadline = spec.get("suspend"), spec.get("activeDeadlineSeconds")
    return metadata["name"], metadata["uid"], metadata["annotations"], suspended, deadline


def test_dry_run_names_the_mirror_it_would_create(pipeline: Pipeline, dry: str) -> None:
    image = pipeline.add_image("team/unmade", registry="unmade.example")
    before = World.of(pipeline)

    message = pipeline.ask(image, topic=DRY_RUN)
    line = pipeline.line(message, "handled", dry)

    (repository,) = line["would_create"]
    assert repository.endswith("/locations/us-central1/repositories/unmade-example-mirror")
    assert line["dry_run"] is True
    assert pipeline.statuses(message) == [200]
    assert World.of(pipeline) == before


def test_dry_run_names_the_job_it_would_create(pipeline: Pipeline, dry: str) -> None:
    image = pipeline.add_image("team/would-warm")
    pipeline.warmup_of(pipeline.add_image("team/makes-the-mirror"))
    before = World.of(pipeline)

    message = pipeline.ask(image, topic=DRY_RUN)
    (job,) = pipeline.line(message, "handled", dry)["would_create"]

    assert World.of(pipeline) == before
    # The same Job is created without the dry run.
    assert pipeline.line(pipeline.ask(image), "handled")["created"] == [job]
    assert pipeline.warmup(image)["job"] == job
    # The next test compares the state of the world, and marking the Job would still change it.
    pipeline.job(image, is_reported)


@pytest.mark.parametrize(
    ("image", "outcome"),
    [
        pytest.param("docker.io/team/no-such-image:1", "pull_failed", id="absent"),
        pytest.param("registry.example.com/team/x:1", "not_allowed", id="not allowed"),
    ],
)
def test_dry_run_reports_a_faulty_image_in_its_line_only(
    pipeline: Pipeline, dry: str, image: str, outcome: str
) -> None:
    pipeline.warmup_of(pipeline.add_image("team/makes-the-mirror"))
    before = World.of(pipeline)

    message = pipeline.ask(image, topic=DRY_RUN)
    line = pipeline.line(message, "handled", dry)

    assert line["outcome"] == outcome
    assert line["hint"]
    assert World.of(pipeline) == before


def test_dry_run_gives_no_turn_to_a_warmup_that_waits(pipeline: Pipeline, dry: str) -> None:
    holders = [pipeline.add_image(f"team/dry-holder-{n}") for n in range(2)]
    waiting, other = pipeline.add_image("team/dry-waiting"), pipeline.add_image("team/dry-other")
    events = pipeline.serve_variant("pull_event", "{dry_run: true}", DRY_EVENTS)
    pipeline.cloud.router.lose = lambda entry: "warm-dry-holder" in json.dumps(entry)
    lost = len(pipeline.cloud.logging.entries)
    with pipeline.running_on("team/dry-holder"):
        for image in (*holders, waiting):
            pipeline.statuses(pipeline.ask(image))
        for image in holders:
            pipeline.end(image)
    assert pipeline.cloud.router.flush(TIMEOUT_S)
    pipeline.cloud.router.lose = None
    before = World.of(pipeline)
    ends = [entry for entry in pipeline.cloud.logging.entries[lost:] if is_end(entry)]

    messages = [pipeline.publish(DRY_EVENTS, entry) for entry in ends]
    asked = pipeline.ask(other, topic=DRY_RUN)
    for message in messages:
        assert pipeline.line(message, "handled", events)["resumed"] == []
    pipeline.line(asked, "handled", dry)

    assert len(ends) == len(holders)
    assert World.of(pipeline).jobs == before.jobs
    assert not is_running(pipeline.job(waiting))
    # Without the dry run, the same reports mark the Jobs and let the next one run.
    for entry in ends:
        pipeline.publish(GKE_EVENTS, entry)
    assert pipeline.warmup(waiting)["outcome"] == "pulled"
    for image in holders:
        pipeline.job(image, is_reported)


def test_image_of_docker_hub_is_warmed_without_a_mirror(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/in-place")
    config = "upstreams: {docker.io: {mirror: never}}"
    function = pipeline.serve_variant("image_reference", config, IN_PLACE)
    before = pipeline.mirrors()

    message = pipeline.ask(image, topic=IN_PLACE)
    line = pipeline.line(message, "handled", function)
    warmup = pipeline.warmup(image)

    name = image.rpartition(":")[0]
    assert (warmup["outcome"], warmup["mirror"]) == ("pulled", f"{name}@{line['digest']}")
    assert pipeline.mirrors() == before
    # The next test compares the state of the world, and marking the Job would still change it.
    pipeline.job(image, is_reported)


def is_end(entry: dict[str, Any]) -> bool:
    """Whether an entry reports the end of a Job."""
    return bool(entry.get("jsonPayload", {}).get("reason") == "DeadlineExceeded")


# Invalid settings.


@pytest.fixture
def misconfigured(archives: Path, deployed_python: Path) -> Iterator[Pipeline]:
    """A cloud whose functions were deployed with a misspelt key."""
    cloud = LocalCloud(scale=400.0, config="max_runing: 2\n")
    started = Pipeline(cloud, archives, deployed_python).start(*FUNCTIONS)
    started.add_gpu_node("gke-gpu-l4-a", "l4-spot", accelerator="nvidia-l4")
    yield started
    started.stop()


def test_messages_are_kept_until_the_settings_are_fixed(
    misconfigured: Pipeline,
) -> None:
    pipeline = misconfigured
    asked, built, deployed = (pipeline.add_image(f"team/mended-{n}") for n in "abd")
    build = {
        "id": "build-mended",
        "status": "SUCCESS",
        "results": {"images": [{"name": built}]},
    }
    pulled = {
        "logName": "projects/demo/logs/events",
        "resource": {"type": "k8s_pod", "labels": LABELS},
        "jsonPayload": pulled_event(),
    }
    messages = {
        "image_reference": pipeline.ask(asked),
        "build_notification": pipeline.publish(BUILDS, build),
        "pull_event": pipeline.publish(GKE_EVENTS, pulled),
    }
    pipeline.deploy("mended", deployed, replicas=0)
    assert pipeline.cloud.router.flush(TIMEOUT_S)
    messages["audit_log"] = next(
        each.message_id
        for each in pipeline.messages(AUDIT)
        if json.loads(each.data)["protoPayload"]["resourceName"].endswith("/deployments/mended")
    )

    lines = {
        function: pipeline.line(message, "blocked", function)
        for function, message in messages.items()
    }
    untouched = (pipeline.jobs(), pipeline.facts(), pipeline.mirrors())
    settings = Path(pipeline.cloud.environ("audit_log")["PRESTREAM_CONFIG"])
    settings.write_text("max_running: 2\n", encoding="utf-8")
    pipeline.redeploy()

    for line in lines.values():
        assert line["severity"] == "CRITICAL"
        assert "max_runing" in line["reason"]
        assert "max_running" in line["reason"]
    assert untouched == ([], [], [])
    for message in messages.values():
        statuses = pipeline.statuses(message)
        assert statuses[0] == 503
        assert statuses.count(200) == 1
    for image in (asked, built, deployed):
        assert pipeline.warmup(image)["outcome"] == "pulled"


LABELS = {"project_id": "demo", "location": "us-central1", "cluster_name": "gpu"}


def pulled_event() -> dict[str, Any]:
    """Return a kubelet's report of a pull, in a namespace that is looked at."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "x.1", "namespace": "ml", "uid": "u"},
        "involvedObject": {"kind": "Pod", "namespace": "ml", "name": "x", "uid": "u"},
        "reason": "Pulled",
        "message": 'Container image "docker.io/library/nginx:1" already present on machine',
        "source": {"component": "kubelet", "host": "n"},
        "lastTimestamp": "2024-05-17T09:31:04Z",
    }
