"""No namespace's workloads take all of what a cluster warms: each has a budget."""

import json
from datetime import timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.job_state import JobState
from shared.domain.request import Cause
from shared.domain.warmup_job import CAUSE_ANNOTATION
from shared.errors import TransientError
from shared.pipeline.plan_resume import find_excess, read_queue
from tests.fakes.clusters import FakeCluster
from tests.fakes.warmings import GB, PUBLISHED, Scene
from tests.fakes.warmups import make_node, make_warmup

IMAGES = [f"team/app-{number}:1" for number in range(5)]


def cause_in(namespace: str, kind: str = "audit_log") -> Cause:
    resource = f"apps/v1/namespaces/{namespace}/deployments/trainer"
    return Cause(kind, "entry-1", resource)  # type: ignore[arg-type]  # the kinds are tested words


def fill(cluster: FakeCluster, **namespaces: int) -> None:
    for namespace, count in namespaces.items():
        for number in range(count):
            name = f"warm-{namespace}-{number}"
            cluster.create_job(make_warmup(name, cause=cause_in(namespace)).body())


@pytest.fixture
def scene() -> Scene:
    scene = Scene(namespace_budget=2, max_running=1)
    scene.cluster.place(make_node("gpu-1"))
    for image in IMAGES:
        name, _, tag = image.partition(":")
        scene.registry.add(f"docker.io/{name}", tag, Image((2 * GB,), build=name))
    return scene


def ask(scene: Scene, image: str, namespace: str = "ml", **fields: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"cause": cause_in(namespace), "message_id": f"m-{image}"}
    return dict(scene.warm(image, **{**usual, **fields}).details)


def test_what_is_beyond_the_budget_of_its_namespace_is_postponed(scene: Scene) -> None:
    lines = [ask(scene, image) for image in IMAGES[:3]]

    assert [bool(line.get("created")) for line in lines] == [True, True, False]
    assert lines[2]["outcome"] == "postponed"
    assert "namespace 'ml' has 2 warmups" in lines[2]["reason"]
    assert "namespace_budget" in lines[2]["hint"]
    (fact,) = scene.facts.facts
    assert fact.payload["outcome"] == "postponed"
    assert fact.payload["image"] == IMAGES[2]
    assert len(scene.cluster.jobs) == 2


def test_another_namespace_is_not_touched_by_it(scene: Scene) -> None:
    for image in IMAGES[:3]:
        ask(scene, image)

    assert ask(scene, IMAGES[3], "other")["created"]
    assert len(scene.cluster.jobs) == 3


def test_what_ended_counts_no_more(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    scene.cluster.end_job(next(iter(scene.cluster.jobs)), "Complete")

    assert ask(scene, IMAGES[2])["created"]


def test_what_is_asked_for_again_stays(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    before = dict(scene.cluster.jobs)

    again = [ask(scene, image, message_id="again") for image in IMAGES[:2]]

    assert [line.get("outcome") for line in again] == [None, None]
    assert scene.cluster.jobs == before


def test_the_same_message_again_is_the_same_fact(scene: Scene) -> None:
    for image in (*IMAGES[:3], IMAGES[2]):
        ask(scene, image)

    assert len({fact.insert_id for fact in scene.facts.facts}) == 1
    assert len(scene.cluster.jobs) == 2


def test_sweeps_say_once_a_day_what_they_ask_for_in_vain(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    for hour in range(3):
        ask(
            scene,
            IMAGES[2],
            cause=cause_in("ml", "schedule"),
            message_id=f"sweep-{hour}",
            publish_time=PUBLISHED + timedelta(hours=hour),
        )

    assert len({fact.insert_id for fact in scene.facts.facts}) == 1


def test_a_fact_that_cannot_be_written_leaves_the_job_for_the_next_delivery(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    scene.facts.error = TransientError("no log")
    with pytest.raises(TransientError):
        ask(scene, IMAGES[2])
    assert len(scene.cluster.jobs) == 3

    scene.facts.error = None
    line = ask(scene, IMAGES[2])

    assert line["outcome"] == "postponed"
    assert len(scene.cluster.jobs) == 2


def test_what_another_namespace_asked_for_first_is_left_to_that_ones_delivery(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    scene.facts.error = TransientError("no log")
    with pytest.raises(TransientError):
        ask(scene, IMAGES[2])
    scene.facts.error = None

    line = ask(scene, IMAGES[2], "other", message_id="m-other")

    assert line["waiting"]
    assert len(scene.cluster.jobs) == 3


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(Cause("manual"), id="a-person"),
        pytest.param(Cause("build", "1", "projects/demo/builds/1"), id="a-build"),
        pytest.param(Cause("push", "1"), id="a-push"),
    ],
)
def test_what_no_workload_asked_for_has_no_budget(scene: Scene, cause: Cause) -> None:
    for image in IMAGES:
        assert ask(scene, image, cause=cause)["created"]


def test_no_budget_is_no_limit(scene: Scene) -> None:
    scene.restart(namespace_budget=0)

    for image in IMAGES:
        assert ask(scene, image)["created"]


def test_the_budget_costs_no_call_more(scene: Scene) -> None:
    scene.restart(max_running=5)
    ask(scene, IMAGES[0])
    scene.forget_calls()

    ask(scene, IMAGES[1])

    assert scene.cluster.calls == [
        "fetch_job",
        "fetch_job",
        "list_nodes",
        "create_job",
        "list_jobs",
        "patch_job",
    ]


# Turns.


def test_what_runs_is_never_beyond_the_budget() -> None:
    cluster = FakeCluster()
    fill(cluster, greedy=4)
    for job in cluster.jobs.values():
        job["spec"]["suspend"] = False

    assert find_excess(read_queue(cluster), 1) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        "7",
        "null",
        '{"resource": 7}',
        '{"resource": "namespaces"}',
        json.dumps({"resource": "core/v1/namespaces/ml"}),
        json.dumps({"resource": "projects/x/builds/namespaces/a/b"}),
    ],
)
def test_a_cause_that_somebody_broke_counts_for_no_namespace(text: str) -> None:
    body = make_warmup().body()
    body["metadata"]["annotations"][CAUSE_ANNOTATION] = text

    assert JobState.from_body(body).asked_by is None
