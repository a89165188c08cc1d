"""No tenant takes all of what a cluster warms: each has a budget of warmups and of bytes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.image_reference import parse_reference
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.request import Cause
from shared.domain.tenant import find_tenant
from shared.domain.timestamp import format_time
from tests.fakes.warmings import GB, PUBLISHED, Scene
from tests.fakes.warmups import make_node

IMAGES = [f"team/app-{number}:1" for number in range(5)]
APPS = "us-central1-docker.pkg.dev/demo/apps"
PUSHED = [f"{APPS}/trainer-{number}:1" for number in range(3)]
BUILD = Cause("build", "1", "projects/demo/builds/1")
PUSH = Cause("push", "1")


def cause_in(namespace: str, kind: str = "audit_log") -> Cause:
    resource = f"apps/v1/namespaces/{namespace}/deployments/trainer"
    return Cause(kind, "entry-1", resource)  # type: ignore[arg-type]  # the kinds are tested words


@pytest.fixture
def scene() -> Scene:
    scene = Scene(namespace_budget=2, max_running=1)
    scene.cluster.place(make_node("gpu-1"))
    apps = RepositoryName("demo", "us-central1", "apps")
    scene.repositories.states[apps] = RepositoryState(is_docker_remote=False)
    for image in [*IMAGES, *PUSHED]:
        reference = parse_reference(image)
        scene.registry.add(reference.name, "1", Image((2 * GB,), build=image))
    return scene


def ask(scene: Scene, image: str, namespace: str = "ml", **fields: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"cause": cause_in(namespace), "message_id": f"m-{image}"}
    return dict(scene.warm(image, **{**usual, **fields}).details)


def age(scene: Scene, name: str, by: timedelta) -> None:
    created = format_time(datetime.now(UTC) - by)
    scene.cluster.jobs[name]["metadata"]["creationTimestamp"] = created


# Pending and running warmups.


def test_request_over_the_budget_is_postponed(scene: Scene) -> None:
    lines = [ask(scene, image) for image in IMAGES[:3]]

    assert [bool(line.get("created")) for line in lines] == [True, True, False]
    assert lines[2]["outcome"] == "postponed"
    assert "namespace 'ml' has 2 warmups" in lines[2]["reason"]
    assert "namespace_budget" in lines[2]["hint"]
    (fact,) = scene.facts.facts
    assert fact.payload["outcome"] == "postponed"
    assert fact.payload["image"] == IMAGES[2]
    assert len(scene.cluster.jobs) == 2


def test_request_over_the_budget_creates_and_deletes_no_job(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    scene.forget_calls()

    ask(scene, IMAGES[2])

    assert {"create_job", "delete_job", "patch_job"}.isdisjoint(scene.cluster.calls)


def test_budget_of_a_namespace_does_not_affect_another(scene: Scene) -> None:
    for image in IMAGES[:3]:
        ask(scene, image)

    assert ask(scene, IMAGES[3], "other")["created"]
    assert len(scene.cluster.jobs) == 3


def test_tenant_over_its_budget_cannot_remove_the_warmup_of_another(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image, "greedy")

    assert ask(scene, IMAGES[2], "greedy")["outcome"] == "postponed"
    (name,) = ask(scene, IMAGES[2], "victim", message_id="m-victim")["created"]
    assert ask(scene, IMAGES[2], "greedy", message_id="m-again")["waiting"] == [name]
    assert name in scene.cluster.jobs


def test_ended_warmup_is_not_pending(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    scene.cluster.end_job(next(iter(scene.cluster.jobs)), "Complete")

    assert ask(scene, IMAGES[2])["created"]


def test_repeated_request_is_within_the_budget(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    before = dict(scene.cluster.jobs)

    again = [ask(scene, image, message_id="again") for image in IMAGES[:2]]

    assert [line.get("outcome") for line in again] == [None, None]
    assert scene.cluster.jobs == before


def test_repeated_message_writes_the_same_fact(scene: Scene) -> None:
    for image in (*IMAGES[:3], IMAGES[2]):
        ask(scene, image)

    assert len({fact.insert_id for fact in scene.facts.facts}) == 1
    assert len(scene.cluster.jobs) == 2


def test_sweeps_report_a_postponed_image_once_a_day(scene: Scene) -> None:
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


@pytest.mark.parametrize("cause", [BUILD, PUSH], ids=["build", "push"])
def test_builds_and_pushes_count_for_their_repository(scene: Scene, cause: Cause) -> None:
    lines = [ask(scene, image, cause=cause) for image in PUSHED]

    assert [bool(line.get("created")) for line in lines] == [True, True, False]
    assert lines[2]["outcome"] == "postponed"
    assert f"repository '{APPS}' has 2 warmups" in lines[2]["reason"]
    assert ask(scene, PUSHED[2], message_id="m-ml")["created"]


def test_request_of_a_person_has_no_budget(scene: Scene) -> None:
    for image in IMAGES:
        assert ask(scene, image, cause=Cause("manual"))["created"]


def test_zero_is_no_limit(scene: Scene) -> None:
    scene.restart(namespace_budget=0, namespace_daily_budget=0)

    for image in IMAGES:
        assert ask(scene, image)["created"]


@pytest.mark.parametrize(
    ("image", "cause", "tenant"),
    [
        pytest.param("nginx", cause_in("ml"), "namespace 'ml'", id="workload"),
        pytest.param("nginx", cause_in("ml", "schedule"), "namespace 'ml'", id="sweep"),
        pytest.param(PUSHED[0], PUSH, f"repository '{APPS}'", id="push"),
        pytest.param("gcr.io/demo/a/b:1", PUSH, "repository 'gcr.io/demo'", id="gcr.io"),
        pytest.param("team/a:1", BUILD, "repository 'docker.io/team'", id="elsewhere"),
        pytest.param("nginx", Cause("manual"), None, id="person"),
        pytest.param("nginx", Cause("audit_log", "1", "namespaces"), None, id="no-namespace"),
        pytest.param(
            "nginx", Cause("audit_log", "1", "core/v1/namespaces/ml"), None, id="namespace-itself"
        ),
    ],
)
def test_tenant_is_a_namespace_or_a_repository(
    image: str, cause: Cause, tenant: str | None
) -> None:
    found = find_tenant(cause, parse_reference(image))

    assert (None if found is None else str(found)) == tenant


# Bytes.


def test_request_over_the_daily_budget_is_postponed(scene: Scene) -> None:
    scene.restart(namespace_budget=0, namespace_daily_budget=5 * GB)

    lines = [ask(scene, image) for image in IMAGES[:3]]

    assert [bool(line.get("created")) for line in lines] == [True, True, False]
    assert lines[2]["outcome"] == "postponed"
    assert "the warmups of namespace 'ml' in the last 24 hours" in lines[2]["reason"]
    assert f"exceed its budget of {5 * GB}" in lines[2]["reason"]
    assert "namespace_daily_budget" in lines[2]["hint"]
    assert ask(scene, IMAGES[3], "other")["created"]


def test_ended_warmups_of_a_day_count_for_the_daily_budget(scene: Scene) -> None:
    scene.restart(namespace_budget=0, namespace_daily_budget=5 * GB)
    names = [ask(scene, image)["created"][0] for image in IMAGES[:2]]
    for name, condition in zip(names, ("Complete", "Failed"), strict=True):
        scene.cluster.end_job(name, condition)
    age(scene, names[0], timedelta(hours=23))
    age(scene, names[1], timedelta(hours=23))

    assert ask(scene, IMAGES[2])["outcome"] == "postponed"

    age(scene, names[0], timedelta(hours=25))
    assert ask(scene, IMAGES[2], message_id="next-day")["created"]


def test_replaced_warmups_count_for_the_daily_budget(scene: Scene) -> None:
    scene.restart(namespace_budget=0, namespace_daily_budget=7 * GB)

    lines = []
    for attempt in range(4):
        lines.append(ask(scene, IMAGES[0], message_id=f"m-{attempt}"))
        scene.cluster.end_job(next(iter(scene.cluster.jobs)), "Failed")

    assert [bool(line.get("created")) for line in lines] == [True, True, True, False]
    assert lines[3]["outcome"] == "postponed"


def test_image_beyond_the_whole_daily_budget_is_postponed(scene: Scene) -> None:
    scene.restart(namespace_daily_budget=GB)

    assert ask(scene, IMAGES[0])["outcome"] == "postponed"
    assert scene.cluster.jobs == {}


# Warmups that several tenants wait for.


def test_waiting_warmup_runs_at_the_turn_of_each_tenant_that_requests_it(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image, "greedy")
    ask(scene, IMAGES[2], "other")
    (shared,) = ask(scene, IMAGES[1], "victim", message_id="m-victim")["waiting"]

    tenants = [find_tenant(cause_in(name), parse_reference("a")) for name in ("greedy", "victim")]
    labels = scene.cluster.jobs[shared]["metadata"]["labels"]
    assert [labels[each.label] for each in tenants if each] == ["first", "also"]


def test_repeated_request_shares_nothing(scene: Scene) -> None:
    for image in IMAGES[:2]:
        ask(scene, image)
    scene.forget_calls()

    ask(scene, IMAGES[1], message_id="again")

    assert "patch_job" not in scene.cluster.calls
