"""Services that fail, upstreams that refuse, and images at fault."""

from datetime import timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from sandbox.fault import Fault
from sandbox.messaging import BUILDS, REFERENCES
from tests.integration.pipelines import Pipeline
from tests.integration.warmup_jobs import is_finished, is_reported

APPS = "us-central1-docker.pkg.dev/demo/apps"
A_WEEK_S = 7 * 24 * 3600
STALL_S = 40.0
"""Longer than any client waits for an answer."""


@pytest.fixture(scope="module", autouse=True)
def stalled(pipeline: Pipeline) -> dict[str, tuple[str, str]]:
    """
    References whose service says nothing, by service: the message, and the image.

    They are asked for before everything else, since clients wait ten real seconds for an answer.
    """
    calls = {
        "artifact-registry": "GET .*/repositories/stalled-example-mirror",
        "registry": "GET /v2/.*/team/silent-registry/manifests/1",
        "kubernetes": "POST /apis/batch/v1/namespaces/prestream/jobs",
    }
    asked = {}
    for service, call in calls.items():
        registry = "stalled.example" if service == "artifact-registry" else "docker.io"
        image = pipeline.add_image(f"team/silent-{service}", registry=registry)
        fault = pipeline.cloud.faults.add(_stall(service, call))
        asked[service] = pipeline.ask(image), image
        # The next call of the kind, which is another test's, must find the service in order.
        pipeline.wait_until_hit(fault)
    return asked


def _stall(service: str, call: str) -> Fault:
    return Fault(service, call, stall_s=STALL_S, times=1)


# Artifact Registry.


@pytest.mark.parametrize(
    ("registry", "status"),
    [
        pytest.param("broken.example", 503, id="unavailable"),
        pytest.param("quota.example", 429, id="quota"),
    ],
)
def test_mirror_is_made_once_artifact_registry_answers_again(
    pipeline: Pipeline, registry: str, status: int
) -> None:
    image = pipeline.add_image(f"team/api-{status}", registry=registry)
    repository = f"{registry.replace('.', '-')}-mirror"

    with pipeline.fault("artifact-registry", repository, status):
        message = pipeline.ask(image)
        line = pipeline.line(message, "deferred")
        assert pipeline.repository(repository) is None
    statuses = pipeline.statuses(message)

    assert (line["severity"], str(status) in line["reason"]) == ("WARNING", True)
    assert set(statuses[:-1]) == {503}
    assert statuses[-1] == 200
    assert pipeline.warmup(image)["outcome"] == "pulled"
    assert pipeline.repository(repository) is not None


def test_mirror_is_created_once_after_a_lost_answer(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/lost", registry="secured.example")

    with pipeline.fault("artifact-registry", "POST .*=secured", status=0, applied=True, times=1):
        message = pipeline.ask(image)
        pipeline.line(message, "deferred")
    pipeline.line(message, "handled")

    assert pipeline.warmup(image)["outcome"] == "pulled"
    assert pipeline.repository("secured-example-mirror") is not None


def test_mirror_that_is_being_made_is_waited_for_by_redelivery(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/slowly", registry="delayed.example")
    registry = pipeline.cloud.artifact_registry
    # Longer than a delivery waits for it.
    registry.switches.operation_delay_s = timedelta(hours=6).total_seconds()
    message = pipeline.ask(image)
    line = pipeline.line(message, "deferred")
    registry.switches.operation_delay_s = 0.0
    pipeline.cloud.clock.advance(timedelta(hours=6))

    assert "is being made" in line["reason"]
    assert pipeline.statuses(message)[0] == 503
    assert pipeline.warmup(image)["outcome"] == "pulled"
    assert pipeline.repository("delayed-example-mirror") is not None


@pytest.mark.parametrize(
    ("status", "disposition"),
    [
        pytest.param(401, "blocked", id="our identity is unknown"),
        pytest.param(429, "deferred", id="our quota is spent"),
        pytest.param(500, "deferred", id="an error"),
        pytest.param(502, "deferred", id="a bad gateway"),
        pytest.param(503, "deferred", id="unavailable"),
        pytest.param(0, "deferred", id="no answer"),
    ],
)
def test_failing_registry_is_retried(pipeline: Pipeline, status: int, disposition: str) -> None:
    image = pipeline.add_image(f"team/registry-{status}")

    with pipeline.fault("registry", f"GET .*team/registry-{status}/", status):
        message = pipeline.ask(image)
        line = pipeline.line(message, disposition)
        assert not pipeline.jobs(image)
    statuses = pipeline.statuses(message)

    assert line["severity"] == ("CRITICAL" if disposition == "blocked" else "WARNING")
    assert set(statuses[:-1]) == {503}
    assert pipeline.warmup(image)["outcome"] == "pulled"


def test_mirror_that_our_identity_may_not_read_blocks_until_it_may(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/denied", registry="denied.example")
    name = "projects/demo/locations/us-central1/repositories/denied-example-mirror"
    denied = pipeline.cloud.artifact_registry.switches.denied
    denied.add(name)
    message = pipeline.ask(image)

    line = pipeline.line(message, "blocked")
    facts = pipeline.facts(image=image)
    denied.remove(name)

    assert "roles/artifactregistry.reader" in line["reason"]
    assert facts == []
    assert pipeline.statuses(message)[0] == 503
    assert pipeline.warmup(image)["outcome"] == "pulled"


def settled_with_fact(pipeline: Pipeline, image: str, **fields: Any) -> dict[str, Any]:
    """Ask for an image at fault: one delivery, acknowledged, and one fact. Return its payload."""
    message = pipeline.ask(image, **fields)
    line = pipeline.line(message, "handled")
    fact = pipeline.warmup(image)
    assert pipeline.statuses(message) == [200]
    assert (line["outcome"], line["reason"]) == (fact["outcome"], fact["reason"])
    assert fact["hint"]
    assert (fact["streamed"], fact["job"], fact["pull_seconds"]) == (None, None, None)
    assert pipeline.jobs(image) == []
    assert len(pipeline.facts(image=image)) == 1
    return fact


def test_absent_image_is_reported_and_acknowledged(pipeline: Pipeline) -> None:
    fact = settled_with_fact(pipeline, "docker.io/team/absent:1")

    assert fact["outcome"] == "pull_failed"


def test_absent_image_of_our_registry_is_reported_and_acknowledged(pipeline: Pipeline) -> None:
    fact = settled_with_fact(pipeline, f"{APPS}/absent:1")

    assert fact["outcome"] == "pull_failed"


@pytest.mark.parametrize("image", ["registry.example.com/team/model:1", "localhost:5000/model:1"])
def test_host_that_is_not_on_the_list_is_never_mirrored(pipeline: Pipeline, image: str) -> None:
    before = set(pipeline.mirrors())

    fact = settled_with_fact(pipeline, image, force=True)

    assert fact["outcome"] == "not_allowed"
    assert set(pipeline.mirrors()) == before


def test_unrelated_repository_of_the_mirrors_name_is_left_alone(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/taken", registry="taken.example")
    pipeline.cloud.artifact_registry.push(
        "us-central1-docker.pkg.dev/demo/taken/team/taken", "1", Image((300_000_000,))
    )
    before = pipeline.repository("taken")

    fact = settled_with_fact(pipeline, image)

    assert fact["outcome"] == "misconfigured"
    assert pipeline.repository("taken") == before


def test_unreachable_upstream_of_a_new_mirror_is_reported(
    pipeline: Pipeline,
) -> None:
    fact = settled_with_fact(pipeline, "absent-host.example/team/model:1")

    assert fact["outcome"] == "misconfigured"
    assert pipeline.repository("absent-host-example-mirror") is None


def test_upstream_that_limits_pulls_postpones_the_warmup(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/limited", registry="limited.example")
    pipeline.cloud.catalogue.limit("limited.example", after=0, retry_after_s=A_WEEK_S)

    fact = settled_with_fact(pipeline, image)
    pipeline.cloud.catalogue.restore("limited.example")
    again = pipeline.line(pipeline.ask(image), "handled")
    forced = pipeline.line(pipeline.ask(image, force=True), "handled")

    assert fact["outcome"] == "postponed"
    assert fact["not_before"] is not None
    # The registry named a time, which only force ignores.
    assert (again["outcome"], again["reason"]) == ("postponed", fact["reason"])
    assert forced["created"]
    assert pipeline.warmup(image, outcome="pulled")["not_before"] is None


def test_credentials_that_come_later_are_given_to_the_mirror(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/private", registry="private.example")
    secret = "projects/demo/secrets/private/versions/1"  # noqa: S105 - the name of a version
    pipeline.cloud.catalogue.require_credentials("private.example", "robot", secret)
    before = settled_with_fact(pipeline, image)
    unchanged = pipeline.repository("private-example-mirror")
    upstream = f'username: robot, password_secret_version: "{secret}", paths: ["team/*"]'
    function = pipeline.serve_variant(
        "image_reference", f"upstreams: {{docker.io: , private.example: {{{upstream}}}}}", "login"
    )

    message = pipeline.ask(image, topic="login")
    other = pipeline.ask("private.example/others/private:1", topic="login")

    assert before["outcome"] == "pull_failed"
    assert "credentials" in str(before["hint"])
    assert unchanged is not None
    assert "upstreamCredentials" not in unchanged["remoteRepositoryConfig"]
    assert pipeline.line(message, "handled", function)["created"]
    assert pipeline.warmup(image, outcome="pulled")["digest"] is not None
    mirror = pipeline.repository("private-example-mirror")
    assert mirror is not None
    assert mirror["remoteRepositoryConfig"]["upstreamCredentials"] == {
        "usernamePasswordCredentials": {"username": "robot", "passwordSecretVersion": secret}
    }
    # With credentials, only the paths that are listed are mirrored.
    assert pipeline.line(other, "handled", function)["outcome"] == "not_allowed"


# Services that say nothing, which were asked first.


@pytest.mark.parametrize("service", ["artifact-registry", "registry", "kubernetes"])
def test_silent_service_defers_the_delivery(
    pipeline: Pipeline, stalled: dict[str, tuple[str, str]], service: str
) -> None:
    message, image = stalled[service]

    line = pipeline.line(message, "deferred")
    statuses = pipeline.statuses(message)

    assert "timed out" in line["reason"]
    assert statuses == [503, 200]
    assert pipeline.warmup(image)["outcome"] == "pulled"


# Faults that hit the next call: nothing else may be under way.


@pytest.mark.parametrize(
    ("name", "call", "fault"),
    [
        pytest.param("unavailable", "POST .*/jobs", {}, id="unavailable"),
        pytest.param("throttled", "POST .*/jobs", {"status": 429}, id="too many requests"),
        pytest.param("reset", "POST .*/jobs", {"status": 0}, id="the connection is reset"),
        pytest.param(
            "made",
            "POST .*/jobs",
            {"status": 0, "applied": True},
            id="the connection is reset once the Job exists",
        ),
        # A request that only reads is sent once more by itself.
        pytest.param("read", "GET .*/nodes", {"status": 0, "times": 2}, id="two resets of a read"),
        pytest.param("turn", "PATCH .*/jobs/warm-turn", {}, id="unavailable for the Job's turn"),
    ],
)
def test_warmup_is_launched_once_the_api_server_answers_again(
    pipeline: Pipeline, name: str, call: str, fault: dict[str, Any]
) -> None:
    image = pipeline.add_image(f"team/{name}")

    with pipeline.fault("kubernetes", call, **{"times": 1, **fault}):
        message = pipeline.ask(image)
        pipeline.line(message, "deferred")
    statuses = pipeline.statuses(message)

    assert statuses == [503, 200]
    assert pipeline.warmup(image)["outcome"] == "pulled"
    assert len(pipeline.jobs(image)) == 1


@pytest.mark.parametrize(
    ("name", "call"),
    [
        pytest.param("jobs", "GET .*/prestream/jobs", id="the list with the Job"),
        pytest.param("pods", "GET .*/pods", id="its pods"),
        pytest.param("events", "GET .*/namespaces/prestream/events", id="its events"),
        pytest.param("node", "GET .*/nodes/", id="its node"),
        pytest.param("node-events", "GET .*/namespaces/default/events", id="its node's events"),
        pytest.param("mark", "PATCH .*/jobs/warm-", id="its mark"),
    ],
)
def test_warmup_is_reported_after_an_outage_of_the_api_server(
    pipeline: Pipeline, name: str, call: str
) -> None:
    image = pipeline.add_image(f"team/untold-{name}")

    with pipeline.running_on(f"untold-{name}"):
        pipeline.ask(image)
        job = pipeline.job(image, lambda job: bool(job.get("status", {}).get("ready")))
        since = pipeline.count_lines("pull_event")
        with pipeline.fault("kubernetes", call):
            pipeline.end(image)
            line = pipeline.next_line("pull_event", "deferred", since)
    statuses = pipeline.statuses(line["event_id"])

    assert statuses[0] == 503
    assert pipeline.warmup(image)["job"] == job["metadata"]["name"]
    pipeline.job(image, is_reported)
    assert len(pipeline.facts(event="warmup.finished", image=image)) == 1


@pytest.mark.parametrize("status", [503, 429, 0])
def test_warmup_is_reported_after_an_outage_of_cloud_logging(
    pipeline: Pipeline, status: int
) -> None:
    image = pipeline.add_image(f"team/logging-{status}")

    with pipeline.fault("logging", "POST /v2/entries:write", status):
        since = pipeline.count_lines("pull_event")
        pipeline.ask(image)
        job = pipeline.job(image, is_finished)["metadata"]["name"]
        line = pipeline.next_line("pull_event", "deferred", since)
        assert not any(is_reported(each) for each in pipeline.jobs(image))
        assert pipeline.facts(image=image) == []
    statuses = pipeline.statuses(line["event_id"])

    assert statuses[0] == 503
    assert "write to log" in line["reason"]
    assert pipeline.warmup(image)["job"] == job
    assert len(pipeline.facts(image=image, event="warmup.finished")) == 1
    pipeline.job(image, is_reported)


def test_fact_without_a_job_is_not_lost_either(pipeline: Pipeline) -> None:
    image = "docker.io/team/absent-while-logging-fails:1"

    with pipeline.fault("logging", "POST /v2/entries:write", 503):
        message = pipeline.ask(image)
        pipeline.line(message, "deferred")
        assert pipeline.facts(image=image) == []

    assert pipeline.warmup(image)["outcome"] == "pull_failed"
    assert pipeline.statuses(message)[0] == 503


def test_references_are_published_once_pubsub_takes_them_again(pipeline: Pipeline) -> None:
    first, second = (pipeline.add_image(f"team/unpublished-{n}") for n in "ab")
    build = {
        "id": "build-unpublished",
        "status": "SUCCESS",
        "results": {"images": [{"name": first}, {"name": second}]},
    }

    with pipeline.fault("pubsub", f"^Publish projects/demo/topics/{REFERENCES}$"):
        message = pipeline.publish(BUILDS, build)
        line = pipeline.line(message, "deferred", "build_notification")
        assert not pipeline.reference_messages(first)
    statuses = pipeline.statuses(message)

    assert REFERENCES in line["reason"]
    assert set(statuses[:-1]) == {503}
    assert len(pipeline.announced(first)) == 1
    assert len(pipeline.announced(second)) == 1
    assert [pipeline.warmup(each)["outcome"] for each in (first, second)] == ["pulled"] * 2


def test_workload_is_announced_once_pubsub_takes_references_again(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/unannounced")

    with pipeline.fault("pubsub", f"^Publish projects/demo/topics/{REFERENCES}$"):
        since = pipeline.count_lines("audit_log")
        pipeline.deploy("unannounced", image, replicas=0)
        line = pipeline.next_line("audit_log", "deferred", since)
        assert not pipeline.reference_messages(image)
    statuses = pipeline.statuses(line["event_id"])

    assert set(statuses[:-1]) == {503}
    assert pipeline.warmup(image)["cause"]["kind"] == "audit_log"
