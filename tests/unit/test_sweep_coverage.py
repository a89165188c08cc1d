"""The states that a whole sweep counts."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.manifest import RegistryRefusalError
from shared.domain.prewarm import PrewarmRefusedError, RefusalKind
from tests.fakes.prewarmed_worlds import GB
from tests.fakes.prewarmed_worlds import HOST as APPS_HOST
from tests.fakes.prewarmed_worlds import World as PrewarmedWorld
from tests.fakes.sweep_values import (
    L4,
    NOW,
    TRAINER,
)
from tests.fakes.sweeps import BIG, SERVER, SweptWorld, big, make_deployment, pod_spec
from tests.fakes.warmups import make_node

PERIOD = timedelta(hours=48)
HOUR = timedelta(hours=1)


def coverage_of(world: SweptWorld, now: datetime = NOW) -> dict[str, int]:
    details = world.sweep(now).details
    return {state: number for state, number in details["coverage"].items() if number}


def test_sweep_counts_each_image_once() -> None:
    world = SweptWorld()
    world.warm(TRAINER)
    world.registry.add("docker.io/team/trainer", "stable", big("trainer"))
    world.use(SERVER, "evil.example/app:1", "docker.io/team/trainer:stable", "team/absent:1")

    assert coverage_of(world) == {"warm": 2, "due": 1, "not_eligible": 2}


def test_image_of_another_repository_with_the_same_job_has_its_own_state() -> None:
    world = SweptWorld()
    world.registry.add("ghcr.io/team/trainer", "1", big("trainer"))
    world.warm(TRAINER)
    world.use("ghcr.io/team/trainer:1", "docker.io/team/trainer:1")

    for _ in range(2):
        assert coverage_of(world) == {"warm": 1, "failed": 1}
    assert len(world.cluster.jobs) == 1


def test_one_of_two_images_with_the_same_job_is_requested() -> None:
    world = SweptWorld()
    world.registry.add("ghcr.io/team/trainer", "1", big("trainer"))
    world.use(TRAINER, "ghcr.io/team/trainer:1")

    assert coverage_of(world) == {"due": 1, "failed": 1}
    assert len(world.take_images()) == 1


def make_world(*nodes: Any, with_mirrors: bool = True, **values: Any) -> SweptWorld:
    """Return a cluster with some nodes that uses one image, which was never warmed."""
    world = SweptWorld(values)
    world.cluster.nodes.clear()
    for each in nodes:
        world.cluster.place(each)
    if not with_mirrors:
        world.registry.repositories.states.clear()
    world.use(TRAINER)
    return world


HOLDING = make_node(images=[f"docker.io/team/trainer@{big('trainer').digest}"])
WITHOUT_ROOM = make_node(storage="200M")


@pytest.mark.parametrize("with_mirrors", [True, False], ids=["mirror", "no-mirror"])
@pytest.mark.parametrize(
    ("nodes", "state"),
    [pytest.param([make_node()], "due", id="node"), pytest.param([], "failed", id="no-node")],
)
def test_image_without_a_warmup_is_due_or_has_failed(
    nodes: list[Any], state: str, *, with_mirrors: bool
) -> None:
    world = make_world(*nodes, with_mirrors=with_mirrors)

    for _ in range(2):
        assert coverage_of(world) == {state: 1}


@pytest.mark.parametrize(
    ("node", "state"),
    [
        pytest.param(HOLDING, "held", id="holds-it"),
        pytest.param(WITHOUT_ROOM, "failed", id="has-no-room"),
    ],
)
def test_image_that_no_rung_can_serve_is_as_its_fact_reports(node: Any, state: str) -> None:
    world = make_world(node)
    coverage_of(world)
    world.deliver()

    (fact,) = world.events("warmup.finished")
    assert fact["outcome"] == {"held": "already_present", "failed": "no_node"}[state]
    assert (world.cluster.jobs, coverage_of(world)) == ({}, {state: 1})


def test_nodes_are_read_once_for_all_images() -> None:
    world = make_world(make_node())
    world.add_apps(5)
    world.cluster.calls.clear()

    assert coverage_of(world) == {"due": 6}
    assert world.cluster.calls.count("list_nodes") == 1


@pytest.mark.parametrize(
    ("size", "refusal", "state"),
    [
        pytest.param(GB, None, "warming", id="started"),
        pytest.param(200 * GB, None, "failed", id="no-room"),
        pytest.param(GB, "permission", "failed", id="refused"),
    ],
)
def test_image_is_warming_if_artifact_registry_began_to_cache_it(
    size: int, refusal: RefusalKind | None, state: str
) -> None:
    world = PrewarmedWorld()
    world.cluster.nodes.clear()
    world.push("app", size)
    if refusal is not None:
        world.api.refusals["prewarm"] = PrewarmRefusedError(refusal, "no")

    assert coverage_of(world) == {state: 1}


def test_both_tags_of_an_image_are_warming() -> None:
    world = PrewarmedWorld()
    digest = world.push("app")
    world.use(f"{APPS_HOST}/app@{digest}")

    assert coverage_of(world) == {"warming": 2}


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_image_that_another_rung_prewarms_is_due_unless_it_is_refused(*, is_closed: bool) -> None:
    world = PrewarmedWorld(ladder=["gpu-node", "prewarm-api"])
    world.cluster.nodes.clear()
    world.push("app")
    if is_closed:
        world.api.refusals["list_artifacts"] = PrewarmRefusedError("permission", "no")

    assert coverage_of(world) == {"failed" if is_closed else "due": 1}


def test_image_beyond_the_limit_of_its_registry_has_failed() -> None:
    world = SweptWorld()
    world.use(TRAINER)
    world.registry.error = RegistryRefusalError(429, "TOOMANYREQUESTS", "pull rate limit")

    assert coverage_of(world) == {"failed": 1}


def test_image_that_is_too_small_is_not_eligible() -> None:
    world = SweptWorld({"min_image_bytes": 2 * BIG})
    world.use(TRAINER)

    assert coverage_of(world) == {"not_eligible": 1}


def test_image_without_the_platform_is_not_eligible() -> None:
    world = SweptWorld()
    world.registry.add("docker.io/team/pair", "1", big("pair", "linux/amd64", "linux/arm64"))
    pod = pod_spec("team/pair:1", L4 | {"kubernetes.io/arch": "s390x"})
    world.cluster.place(make_deployment("pair", "", template={"spec": pod}))

    assert coverage_of(world) == {"not_eligible": 1}
