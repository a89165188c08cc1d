"""Requests to registries during a sweep, within their rate limits."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.rate_limit import Allowance
from shared.errors import ConfigurationError, ManifestUnavailableError, TransientError
from tests.fakes.sweeps import NOW, SERVER, TRAINER, SweptWorld, big

GPU = {"limits": {"nvidia.com/gpu": "1"}}
PERIOD = timedelta(hours=48)
PAUSE = PERIOD / 8
LIMITED = RegistryRefusalError(429, "TOOMANYREQUESTS", "pull rate limit")


@pytest.fixture
def world() -> SweptWorld:
    return SweptWorld()


def test_missing_image_is_skipped(world: SweptWorld) -> None:
    world.use("team/absent:1", TRAINER)

    outcome = world.sweep()

    assert world.take_images() == [TRAINER]
    assert outcome.details["skipped"] == {"pull_failed": 1}


def test_limited_upstream_is_not_asked_again_in_the_sweep(world: SweptWorld) -> None:
    apps = world.add_apps(5)
    world.use(SERVER)
    world.registry.refusals["docker.io"] = RegistryRefusalError(
        429, "TOOMANYREQUESTS", "too many", retry_at=NOW + timedelta(minutes=10)
    )

    outcome = world.sweep()

    # The image that was refused is requested, so that image_reference records its time.
    refused, other = world.take_images()
    assert (refused in apps, other) == (True, SERVER)
    assert len([each for each in world.registry.asked if "dockerhub" in str(each)]) == 1
    postponed = outcome.details["postponed"]
    assert set(postponed) == {"docker.io"}
    assert postponed["docker.io"]["images"] == 5
    assert postponed["docker.io"]["not_before"] == "2026-11-24T08:10:00Z"
    assert "docker.io limits pulls" in postponed["docker.io"]["reason"]


def test_postponed_image_is_due_in_a_later_sweep(world: SweptWorld) -> None:
    world.use(TRAINER)
    world.registry.refusals["docker.io"] = LIMITED
    world.sweep()
    world.take()
    world.registry.refusals.clear()

    world.sweep(NOW + timedelta(hours=1))

    assert world.take_images() == [TRAINER]


@pytest.mark.parametrize(
    ("share", "due"), [pytest.param(0.5, 5, id="half"), pytest.param(1, 8, id="all")]
)
def test_sweep_uses_its_share_of_a_rate_limit(world: SweptWorld, share: float, due: int) -> None:
    world.values = {"sweep_share": share}
    world.add_apps(8)
    world.registry.allowances["docker.io"] = Allowance(10, 10)

    outcome = world.sweep()

    assert outcome.details["due"] == due
    assert world.registry.allowances["docker.io"].remaining == 10 - due
    left = {} if due == 8 else {"images": 3, "reason": "5 pulls are left to workloads"}
    assert outcome.details["postponed"].get("docker.io", {}).items() >= left.items()


def test_pulls_of_workloads_count_against_the_share(world: SweptWorld) -> None:
    world.add_apps(8)
    world.registry.allowances["docker.io"] = Allowance(10, 4)

    assert world.sweep().details["due"] == 1


def test_new_images_are_asked_for_first(world: SweptWorld) -> None:
    warmed = world.add_apps(8)
    world.sweep()
    world.deliver()
    fresh = world.add_apps(3, "docker.io/fresh")
    world.registry.asked.clear()
    world.registry.allowances["docker.io"] = Allowance(10, 8)

    world.sweep()

    assert world.take_images() == fresh
    assert len(warmed) == 8


def test_every_image_is_asked_for_in_time(world: SweptWorld) -> None:
    world.add_apps(8)
    warmed: set[str] = set()
    for number in range(20):
        world.registry.allowances["docker.io"] = Allowance(10, 8)
        world.sweep(message_id=f"tick-{number}")
        warmed.update(world.take_images())

    assert len(warmed) == 8


LOGIN = {
    "username": "me",
    "password_secret_version": "projects/p/secrets/s/versions/1",
    "paths": ["*"],
}


@pytest.mark.parametrize(
    ("upstreams", "host", "due"),
    [
        pytest.param({"docker.io": None}, "docker.io", 8, id="docker-hub"),
        pytest.param({"ghcr.io": None}, "ghcr.io", 12, id="other-registry"),
        pytest.param({"docker.io": {"anonymous_pulls": 3}}, "docker.io", 3, id="configured"),
        pytest.param({"ghcr.io": {"anonymous_pulls": 3}}, "ghcr.io", 3, id="configured-other"),
        pytest.param({"docker.io": {"anonymous_pulls": 0}}, "docker.io", 12, id="no-limit"),
        pytest.param({"docker.io": LOGIN}, "docker.io", 12, id="credentials"),
    ],
)
def test_sweep_asks_an_upstream_without_credentials_for_few_tags(
    world: SweptWorld, upstreams: Mapping[str, Any], host: str, due: int
) -> None:
    world.values = {"upstreams": upstreams}
    world.add_apps(12, host)

    outcome = world.sweep()

    assert outcome.details["due"] == len(world.registry.asked) == due
    reason = f"its {due} pulls without credentials are used up for this sweep"
    left = {host: {"images": 12 - due, "reason": reason, "not_before": None}}
    assert outcome.details["postponed"] == (left if due < 12 else {})


def test_sweep_bounds_the_pulls_of_a_mirror_that_is_missing(world: SweptWorld) -> None:
    world.registry.repositories.states.clear()
    world.add_apps(12)

    assert world.sweep().details["due"] == 8


def test_digest_and_manifest_of_a_platform_are_not_counted(world: SweptWorld) -> None:
    world.values = {"upstreams": {"docker.io": {"anonymous_pulls": 2}}}
    for number in range(4):
        name = f"docker.io/team/multi-{number}"
        digest = world.registry.add(name, "1", big(name, "linux/amd64", "linux/arm64"))
        world.use(f"{name}@{digest}" if number < 2 else f"{name}:1")

    assert world.sweep().details["due"] == 4


def test_spent_pulls_do_not_affect_another_registry(world: SweptWorld) -> None:
    world.values = {
        "upstreams": {"docker.io": {"anonymous_pulls": 1}, "ghcr.io": {"anonymous_pulls": 1}}
    }
    world.use(SERVER, TRAINER)

    assert world.sweep().details["due"] == 2


def test_every_image_has_its_turn_with_few_pulls(world: SweptWorld) -> None:
    world.values = {"upstreams": {"docker.io": {"anonymous_pulls": 2}}}
    expected = world.add_apps(8)
    warmed: set[str] = set()
    for number in range(30):
        world.sweep(message_id=f"tick-{number}")
        warmed.update(world.take_images())

    assert warmed == set(expected)


def test_images_that_are_never_warmed_leave_room_for_one_that_is_due(world: SweptWorld) -> None:
    world.values = {"upstreams": {"docker.io": {"anonymous_pulls": 2}}}
    world.warm(TRAINER)
    for number in range(3):
        world.registry.add(f"docker.io/team/small-{number}", "1", Image((800,), build=f"{number}"))
        world.use(f"docker.io/team/small-{number}:1")
    warmed: set[str] = set()
    for number in range(30):
        world.sweep(NOW + PERIOD, message_id=f"tick-{number}")
        warmed.update(world.take_images())

    assert warmed == {TRAINER}


def test_silent_upstream_does_not_affect_another(world: SweptWorld) -> None:
    world.add_apps(9)
    world.use(SERVER)
    world.registry.errors["docker.io"] = TransientError("no answer")

    outcome = world.sweep()

    assert world.take_images() == [SERVER]
    assert len([each for each in world.registry.asked if "dockerhub" in str(each)]) == 3
    assert outcome.details["postponed"] == {
        "docker.io": {"images": 9, "reason": "no answer", "not_before": None}
    }


def test_one_failure_does_not_close_an_upstream(world: SweptWorld) -> None:
    world.use("broken.example/team/app:1", TRAINER)
    world.values = {"upstreams": {"docker.io": None, "broken.example": None}}
    world.make_mirror("broken.example", "broken-example-mirror")
    world.registry.errors["broken.example"] = TransientError("no answer")

    outcome = world.sweep()

    assert world.take_images() == [TRAINER]
    assert outcome.details["postponed"]["broken.example"]["images"] == 1


@pytest.mark.parametrize(
    "body",
    [b'{"a": ' + b"9" * 5_000 + b"}", b'{"annotations": {"a": "\xff"}}'],
    ids=["number", "byte"],
)
def test_unreadable_manifests_do_not_close_a_registry(world: SweptWorld, body: bytes) -> None:
    broken = world.add_apps(5)
    world.use(TRAINER)
    world.registry.bodies = {image.removesuffix(":1"): body for image in broken}

    outcome = world.sweep()

    assert world.take_images() == [TRAINER]
    assert outcome.details["skipped"] == {"pull_failed": 5}
    assert outcome.details["postponed"] == {}


def test_unavailable_manifests_do_not_close_a_registry(world: SweptWorld) -> None:
    broken = world.add_apps(30, "ghcr.io")
    world.use(SERVER)
    error = ManifestUnavailableError("502 bad gateway")
    world.registry.errors = {image.removesuffix(":1"): error for image in broken}

    outcome = world.sweep()

    assert world.take_images() == [SERVER]
    assert outcome.details["postponed"]["ghcr.io"]["images"] == 30


def test_registry_that_serves_no_manifest_is_closed(world: SweptWorld) -> None:
    world.add_apps(120, "ghcr.io")
    world.use(TRAINER)
    world.registry.errors["ghcr.io"] = ManifestUnavailableError("503")

    outcome = world.sweep()

    assert world.take_images() == [TRAINER]
    assert len([each for each in world.registry.asked if "ghcr-io" in str(each)]) == 100
    assert outcome.details["postponed"]["ghcr.io"]["images"] == 120


@pytest.mark.parametrize("error", [LIMITED, TransientError("no answer")], ids=["limit", "silence"])
def test_foreign_project_does_not_close_the_registry_for_ours(
    world: SweptWorld, error: Exception
) -> None:
    ours = "us-docker.pkg.dev/demo/apps/server"
    world.registry.add(ours, "1", big("ours"))
    foreign = [f"us-docker.pkg.dev/other/apps/app-{number}" for number in range(5)]
    world.registry.errors = dict.fromkeys(foreign, error)
    for project in ("demo", "other"):
        name = RepositoryName(project, "us", "apps")
        world.registry.repositories.states[name] = RepositoryState(is_docker_remote=False)
    world.use(*(f"{name}:1" for name in foreign), f"{ours}:1")

    outcome = world.sweep()

    (requested, *limited) = world.take_images()
    assert requested == f"{ours}:1"
    # The first image that the project limits is requested, so that the limit is recorded.
    assert len(limited) == (error is LIMITED)
    assert set(outcome.details["postponed"]) == {"us-docker.pkg.dev/other"}


def test_sweep_without_any_answer_is_deferred(world: SweptWorld) -> None:
    world.use(TRAINER, SERVER)
    world.registry.error = TransientError("no answer")

    with pytest.raises(TransientError, match="no answer"):
        world.sweep()


def test_refused_identity_blocks_the_sweep(world: SweptWorld) -> None:
    world.use(TRAINER)
    world.registry.error = RegistryRefusalError(401, "UNAUTHORIZED", "who are you")

    with pytest.raises(ConfigurationError):
        world.sweep()
