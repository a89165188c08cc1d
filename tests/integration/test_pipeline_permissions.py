"""Each function under its own identity: without one of its rights it is blocked, not lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.pipelines import ADMIN, Pipeline
from tests.integration.warmup_jobs import is_reported

REFERENCE_RULES = [
    pytest.param("roles", "prestream", "jobs", "create", id="create Jobs"),
    pytest.param("roles", "prestream", "jobs", "get", id="get Jobs"),
    pytest.param("roles", "prestream", "jobs", "list", id="list Jobs"),
    pytest.param("roles", "prestream", "jobs", "patch", id="patch Jobs"),
    pytest.param("clusterroles", None, "nodes", "list", id="list nodes"),
]
EVENT_RULES = [
    pytest.param("roles", "prestream", "jobs", "get", id="get Jobs"),
    pytest.param("roles", "prestream", "jobs", "list", id="list Jobs"),
    pytest.param("roles", "prestream", "jobs", "patch", id="patch Jobs"),
    pytest.param("roles", "prestream", "pods", "list", id="list pods"),
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


@pytest.mark.parametrize(("kind", "namespace", "resource", "verb"), REFERENCE_RULES)
def test_image_reference_without_a_right_is_blocked_until_it_has_it_again(
    pipeline: Pipeline, kind: str, namespace: str | None, resource: str, verb: str
) -> None:
    image = pipeline.add_image(f"team/without-{verb}-{resource}")

    with revoked(pipeline, "image_reference", kind, namespace, resource, verb):
        message = pipeline.ask(image)
        line = pipeline.line(message, "blocked")
    statuses = pipeline.statuses(message)

    assert line["severity"] == "CRITICAL"
    assert f"cannot {verb} resource" in line["reason"]
    assert set(statuses[:-1]) == {503}
    assert pipeline.warmup(image)["outcome"] == "pulled"
    assert len(pipeline.jobs(image)) == 1


@pytest.mark.parametrize(("kind", "namespace", "resource", "verb"), EVENT_RULES)
def test_pull_event_without_a_right_is_blocked_until_it_has_it_again(
    pipeline: Pipeline, kind: str, namespace: str | None, resource: str, verb: str
) -> None:
    image = pipeline.add_image(f"team/untold-without-{verb}-{namespace or 'cluster'}-{resource}")

    with revoked(pipeline, "pull_event", kind, namespace, resource, verb):
        since = pipeline.count_lines("pull_event")
        pipeline.ask(image)
        line = pipeline.next_line("pull_event", "blocked", since)
        assert not any(is_reported(job) for job in pipeline.jobs(image))
    statuses = pipeline.statuses(line["event_id"])

    assert line["severity"] == "CRITICAL"
    assert f"cannot {verb} resource" in line["reason"]
    assert set(statuses[:-1]) == {503}
    assert pipeline.warmup(image)["outcome"] == "pulled"
    pipeline.job(image, is_reported)
    assert len(pipeline.facts(event="warmup.finished", image=image)) == 1


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
