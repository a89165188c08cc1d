"""Each function without one of its rights: it ignores the delivery, and a sweep catches up."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.pipelines import ADMIN, TIMEOUT_S, Pipeline
from tests.integration.warmup_jobs import is_finished, is_reported

SWEEP = "scheduled_sweep"
REFERENCE_RULES = [
    pytest.param("roles", "prestream", "jobs", "create", id="create Jobs"),
    pytest.param("roles", "prestream", "jobs", "get", id="get Jobs"),
    pytest.param("roles", "prestream", "jobs", "list", id="list Jobs"),
    pytest.param("roles", "prestream", "jobs", "patch", id="patch Jobs"),
    pytest.param("clusterroles", None, "nodes", "list", id="list nodes"),
]
# A Job that ended is read with the queue; it is read by its name only if it was reported before.
EVENT_RULES = [
    pytest.param("roles", "prestream", "jobs", "list", id="list Jobs"),
    pytest.param("roles", "prestream", "jobs", "patch", id="patch Jobs"),
    pytest.param("clusterroles", None, "pods", "list", id="list pods"),
    pytest.param("clusterroles", None, "events", "list", id="list events"),
    pytest.param("clusterroles", None, "nodes", "get", id="get nodes"),
]


@contextmanager
def revoked(
    pipeline: Pipeline, function: str, kind: str, namespace: str | None, resource: str, verb: str
) -> Iterator[None]:
    """Take a right away from a function's role, and give it back."""
    name = f"prestream-{function.replace('_', '-')}"
    plural = f"{kind}.rbac.authorization.k8s.io"
    granted = pipeline.api.read(plural, name, namespace)["rules"]
    kept = [
        {**rule, "verbs": [each for each in rule["verbs"] if each != verb]}
        if resource in rule["resources"]
        else rule
        for rule in granted
    ]
    assert kept != granted, f"{name} has no right to {verb} {resource}"
    kept = [rule for rule in kept if rule["verbs"]]
    pipeline.api.patch(plural, name, {"rules": kept}, namespace, user=ADMIN)
    try:
        yield
    finally:
        pipeline.api.patch(plural, name, {"rules": granted}, namespace, user=ADMIN)


@pytest.fixture(scope="module")
def swept(pipeline: Pipeline) -> Pipeline:
    """Serve the sweep as well, which catches up with ignored deliveries."""
    config = Path(pipeline.cloud.environ(SWEEP)["PRESTREAM_CONFIG"]).read_text("utf-8")
    pipeline.serve_variant(SWEEP, config, "permissions-schedule")
    return pipeline


def sweep(pipeline: Pipeline, disposition: str = "handled") -> dict[str, Any]:
    """Sweep the cluster, and return the line."""
    tick = pipeline.publish("permissions-schedule", {"cluster": pipeline.cloud.cluster})
    line = pipeline.line(tick, disposition, f"{SWEEP}-permissions-schedule")
    assert pipeline.statuses(tick) == [200]
    return line


@pytest.mark.parametrize(("kind", "namespace", "resource", "verb"), REFERENCE_RULES)
def test_image_reference_without_a_right_ignores_what_a_sweep_requests_later(
    swept: Pipeline, kind: str, namespace: str | None, resource: str, verb: str
) -> None:
    image = swept.add_image(f"team/without-{verb}-{resource}")

    with revoked(swept, "image_reference", kind, namespace, resource, verb):
        since = swept.count_lines("image_reference")
        swept.deploy(f"without-{verb}-{resource}", image)
        line = swept.next_line("image_reference", "ignored", since)

    assert swept.statuses(line["event_id"]) == [200]
    assert (line["severity"], line["image"]) == ("INFO", image)
    assert f"cannot {verb} resource" in line["reason"]
    sweep(swept)
    assert swept.warmup(image)["outcome"] == "pulled"
    assert len(swept.jobs(image)) == 1


@pytest.mark.parametrize(("kind", "namespace", "resource", "verb"), EVENT_RULES)
def test_pull_event_without_a_right_ignores_what_a_sweep_reports_later(
    swept: Pipeline, kind: str, namespace: str | None, resource: str, verb: str
) -> None:
    image = swept.add_image(f"team/untold-without-{verb}-{namespace or 'cluster'}-{resource}")

    with revoked(swept, "pull_event", kind, namespace, resource, verb):
        since = swept.count_lines("pull_event")
        swept.ask(image)
        swept.job(image, is_finished)
        line = find_refusal(swept, since, f"cannot {verb} resource")

    assert swept.statuses(line["event_id"]) == [200]
    assert line["severity"] == "INFO"
    sweep(swept)
    assert swept.warmup(image)["outcome"] == "pulled"
    swept.job(image, is_reported)
    assert len(swept.facts(event="warmup.finished", image=image)) == 1


def find_refusal(pipeline: Pipeline, since: int, text: str) -> dict[str, Any]:
    """Wait for an ignored delivery of pull_event whose reason has a text."""
    process = pipeline.cloud.functions["pull_event"]

    def find() -> dict[str, Any] | None:
        lines = process.lines[since:]
        return next((each for each in lines if text in str(each.get("reason"))), None)

    process.wait_for_line(lambda _: find() is not None, TIMEOUT_S)
    found = find()
    assert found is not None, process.lines[since:]
    assert found["disposition"] == "ignored"
    return found


def test_cluster_that_is_not_onboarded_is_reported_until_a_sweep_catches_up(
    swept: Pipeline,
) -> None:
    image = swept.add_image("team/not-onboarded")

    with revoked(swept, SWEEP, "clusterroles", None, "deployments", "list"):
        swept.deploy("not-onboarded", image)
        line = sweep(swept, "ignored")
        sweep(swept, "ignored")
    (fact,) = swept.facts(event="cluster.not_onboarded")
    payload = fact["jsonPayload"]

    assert "cannot list resource" in line["reason"]
    assert (payload["image"], payload["mirror"]) == (None, None)
    assert (payload["cluster"], payload["reason"]) == (swept.cloud.cluster, line["reason"])
    assert "kubectl" in payload["hint"]
    sweep(swept)
    assert swept.warmup(image)["outcome"] == "pulled"


def test_cluster_without_the_manifests_blocks_until_they_are_applied(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/without-priority-class")
    plural = "priorityclasses.scheduling.k8s.io"
    body = pipeline.api.read(plural, "prestream-warmup")
    pipeline.api.delete(plural, "prestream-warmup", user=ADMIN)

    message = pipeline.ask(image)
    pipeline.wait(lambda: bool(pipeline.jobs(image)))
    metadata = {"name": "prestream-warmup", "labels": body["metadata"]["labels"]}
    kept = {key: body[key] for key in ("apiVersion", "kind", "value", "preemptionPolicy")}
    pipeline.api.create(plural, {**kept, "metadata": metadata}, user=ADMIN)

    assert pipeline.statuses(message) == [200]
    assert pipeline.warmup(image)["outcome"] == "pulled"
