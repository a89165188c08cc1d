"""A tenant who makes very many pods keeps no other from being warmed."""

import pytest

from tests.integration.pipelines import Pipeline

TOPIC = "budgets"
CONFIG = """
max_running: 2
deadline_minutes: 1440
namespace_budget: 2
period_hours: 8760
upstreams: {docker.io: }
"""


@pytest.fixture(scope="module")
def budgeted(pipeline: Pipeline) -> str:
    """A second ``image_reference``, with a small budget for each namespace."""
    return pipeline.serve_variant("image_reference", CONFIG, TOPIC)


def ask(pipeline: Pipeline, image: str, namespace: str) -> str:
    resource = f"core/v1/namespaces/{namespace}/pods/trainer"
    cause = {"kind": "audit_log", "id": f"entry-{image}", "resource": resource}
    return pipeline.ask(image, topic=TOPIC, cause=cause)


def test_request_over_the_namespace_budget_is_postponed(pipeline: Pipeline, budgeted: str) -> None:
    names = [f"team/budget-greedy-{number}" for number in range(4)]
    greedy = [pipeline.add_image(name) for name in names]
    other = pipeline.add_image("team/budget-other")

    with pipeline.running_on("team/budget"):
        for image in greedy:
            assert pipeline.statuses(ask(pipeline, image, "greedy")) == [200]
        line = pipeline.line(ask(pipeline, other, "other"), "handled", budgeted)
        assert line["created"]
        standing = [bool(pipeline.jobs(image)) for image in greedy]
        for image in greedy[:2]:
            pipeline.end(image)
        pipeline.end(other)

    assert standing == [True, True, False, False]
    for image in greedy[2:]:
        fact = pipeline.warmup(image)
        assert fact["outcome"] == "postponed"
        assert "namespace 'greedy' has 2 warmups" in fact["reason"]
        assert "namespace_budget" in fact["hint"]
    assert pipeline.warmup(other)["outcome"] == "pulled"


def test_postponed_image_is_warmed_at_the_next_request(pipeline: Pipeline, budgeted: str) -> None:
    images = [pipeline.add_image(f"team/budget-again-{number}") for number in range(3)]

    with pipeline.running_on("team/budget"):
        for image in images:
            pipeline.statuses(ask(pipeline, image, "again"))
        assert pipeline.warmup(images[2])["outcome"] == "postponed"
        for image in images[:2]:
            pipeline.end(image)

    line = pipeline.line(ask(pipeline, images[2], "again"), "handled", budgeted)
    assert line["created"]
    assert pipeline.warmup(images[2], outcome="pulled")["job"]
