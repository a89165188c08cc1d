"""Images that a sweep keeps prewarmed, and images that do not fit."""

from datetime import timedelta

import pytest

from shared.domain.image_reference import Digest
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.prewarm import PrewarmRefusedError, RefusalKind
from shared.errors import ConfigurationError, TransientError
from tests.fakes.prewarmed_worlds import APPS, DAY, GB, HOST, World
from tests.fakes.sweeps import NOW, TRAINER, big, make_deployment

MODELS = RepositoryName("demo", "us-central1", "models")


@pytest.fixture
def world() -> World:
    return World()


def test_image_in_use_is_prewarmed_without_a_reference(world: World) -> None:
    digest = world.push("app")

    outcome = world.at(timedelta())

    assert outcome.details["prewarming"] == [f"app@{digest} in us-central1"]
    assert (outcome.details["due"], world.due) == (0, [])
    assert world.expires(digest) == 3 * DAY


def test_next_sweep_writes_the_fact(world: World) -> None:
    world.push("app")
    world.at(timedelta())
    world.api.calls.clear()

    outcome = world.at(timedelta(hours=1))

    assert world.api.calls == ["list_artifacts"]
    assert (outcome.details["prewarming"], outcome.details["renewed"], world.due) == ([], [], [])
    (fact,) = world.prewarmed
    assert (fact["image"], fact["strategy"]) == (f"{HOST}/app:1", "prewarm-api")
    assert fact["cause"]["kind"] == "schedule"


def test_sweep_during_caching_changes_nothing(world: World) -> None:
    world.push("app")
    world.at(timedelta())

    world.at(timedelta(seconds=10))

    assert (world.due, world.prewarmed) == ([], [])


def test_image_in_use_is_renewed_in_its_last_third(world: World) -> None:
    digest = world.push("app")
    world.at(timedelta())
    world.at(timedelta(hours=1))

    early = world.at(timedelta(hours=47))
    late = world.at(timedelta(hours=49))

    assert early.details["renewed"] == []
    assert late.details["renewed"] == [f"app@{digest} in us-central1"]
    assert "prewarmed longer" in late.story
    assert world.expires(digest) == timedelta(hours=49) + 3 * DAY
    assert len(world.prewarmed) == 2


def test_unused_image_expires(world: World) -> None:
    world.push("app")
    world.at(timedelta())
    world.forget()

    outcome = world.at(timedelta(hours=60))

    assert outcome.details["renewed"] == []
    assert "remove" not in world.api.calls
    assert list(world.api.list_artifacts(APPS)) != []
    world.api.now = NOW + 3 * DAY
    assert list(world.api.list_artifacts(APPS)) == []


def test_two_sweeps_have_the_effect_of_one(world: World) -> None:
    digest = world.push("app")

    world.at(timedelta())
    world.at(timedelta())

    assert len(world.api.held) == 1
    assert world.expires(digest) == 3 * DAY
    assert world.due == []


def test_tags_and_targets_of_one_image_are_one_request(world: World) -> None:
    world.push("app")
    world.use(f"{HOST}/app@{world.registry.images[f'{HOST}/app']['1'].digest}")
    other = make_deployment("other", f"{HOST}/app:1")
    other["spec"]["template"]["spec"]["nodeSelector"] = {
        "cloud.google.com/gke-accelerator": "nvidia-h100-80gb"
    }
    world.cluster.place(other)

    world.at(timedelta())

    assert world.api.calls.count("prewarm") == 1
    assert world.due == []


def test_index_by_digest_is_prewarmed_by_its_platform(world: World) -> None:
    digest = world.push("app", GB, "linux/amd64", "linux/arm64")
    world.forget()
    world.use(f"{HOST}/app@{digest}")

    world.at(timedelta())
    world.api.calls.clear()
    world.at(timedelta(hours=1))

    image = world.registry.images[f"{HOST}/app"]["1"]
    assert [key[1] for key in world.api.held] == [image.manifest_for("linux/amd64").digest]
    assert "prewarm" not in world.api.calls
    assert world.due == []


def test_mirrored_image_has_a_job_first_and_is_renewed_afterwards(world: World) -> None:
    image = big("trainer")
    world.api.sizes[Digest(image.digest)] = image.manifests[0].image_bytes
    world.use(TRAINER)
    world.at(timedelta())
    world.deliver(NOW)
    first = list(world.cluster.jobs)
    world.end("Complete", NOW + timedelta(minutes=5))

    outcome = world.at(2 * DAY)

    assert len(first) == 1
    assert outcome.details["prewarming"] == [f"team/trainer@{image.digest} in us-central1"]
    assert world.due == []
    # By then its last Job is gone; that it is prewarmed says as much.
    world.cluster.jobs.clear()
    later = world.at(2 * DAY + timedelta(hours=49))
    assert later.details["renewed"] == [f"team/trainer@{image.digest} in us-central1"]
    assert world.due == []


def test_mirrored_image_with_an_unknown_version_is_requested(world: World) -> None:
    world.use(TRAINER)
    world.at(timedelta())
    world.deliver(NOW)
    world.end("Complete", NOW + timedelta(minutes=5))

    world.at(2 * DAY)

    assert world.due == [TRAINER]


def test_ladder_without_the_rung_does_not_use_the_api() -> None:
    world = World(ladder=["gpu-node"])
    world.push("app")

    outcome = world.at(timedelta())

    assert world.api.calls == []
    assert "renewed" not in outcome.details
    assert world.due == [f"{HOST}/app:1"]


def test_dry_run_prewarms_nothing() -> None:
    world = World(dry_run=True)
    world.push("app")

    world.at(timedelta())

    assert world.api.calls == ["list_artifacts"]
    assert world.due == [f"{HOST}/app:1"]


def test_image_without_room_is_requested(world: World) -> None:
    world.push("small", 40 * GB)
    large = world.push("large", 70 * GB)

    outcome = world.at(timedelta())

    assert outcome.details["left_out"] == [f"large@{large} in us-central1"]
    assert "no room to prewarm" in outcome.story
    assert world.due == [f"{HOST}/large:1"]
    world.api.limit_bytes = 500 * GB
    world.at(timedelta(hours=1))
    assert world.due == [f"{HOST}/large:1"]


def test_image_that_starts_sooner_comes_first(world: World) -> None:
    nightly = world.push("nightly", 70 * GB)
    weekly = world.push("weekly", 60 * GB)
    world.forget()
    for name, schedule in (("nightly", "0 2 * * *"), ("weekly", "0 2 26 11 *")):
        template = make_deployment(name, f"{HOST}/{name}:1")["spec"]["template"]
        job = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": name, "namespace": "ml"},
            "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": template}}},
        }
        world.cluster.place(job)

    outcome = world.at(timedelta())

    assert outcome.details["prewarming"] == [f"nightly@{nightly} in us-central1"]
    assert outcome.details["left_out"] == [f"weekly@{weekly} in us-central1"]


def test_artifacts_of_others_take_room(world: World) -> None:
    world.hold(f"sha256:{1:064}", 90 * GB)
    app = world.push("app", 20 * GB)

    outcome = world.at(timedelta())

    assert outcome.details["left_out"] == [f"app@{app} in us-central1"]
    assert "remove" not in world.api.calls


def test_failed_artifact_is_removed_if_room_is_short(
    world: World,
) -> None:
    failed = world.push("failed", 60 * GB)
    world.hold(failed, 60 * GB, "FAILED")
    world.at(timedelta())
    alone = (world.due, list(world.api.held))
    wanted = world.push("wanted", 60 * GB)

    first = world.at(timedelta(hours=1))
    world.take()
    second = world.at(timedelta(hours=2))

    assert alone == ([f"{HOST}/failed:1"], [(APPS, failed, "us-central1")])
    assert first.details["left_out"] == [f"wanted@{wanted} in us-central1"]
    assert "remove" in world.api.calls
    assert len(second.details["prewarming"]) == len(second.details["left_out"]) == 1
    assert len(world.api.held) == 1


def test_long_list_is_shortened(world: World) -> None:
    for number in range(25):
        world.push(f"app-{number}", 90 * GB)

    outcome = world.at(timedelta())

    assert len(outcome.details["left_out"]) == 21
    assert outcome.details["left_out"][-1] == "and 4 more"
    assert outcome.details["due"] == 24


@pytest.mark.parametrize("method", ["list_artifacts", "prewarm"])
def test_refused_images_are_requested(world: World, method: str) -> None:
    world.push("app")
    world.push("other")
    refusal = PrewarmRefusedError("permission", "403 denied")
    world.api.refusals = {method: refusal, "prewarm": refusal}

    outcome = world.at(timedelta())

    assert outcome.details["passed"] == ["403 denied"]
    assert sorted(world.due) == [f"{HOST}/app:1", f"{HOST}/other:1"]
    assert world.api.calls.count("prewarm") <= 1


@pytest.mark.parametrize(
    ("kind", "lists"),
    [
        pytest.param("unavailable", 1, id="of-the-region"),
        pytest.param("permission", 2, id="of-the-repository"),
    ],
)
def test_refusal_covers_the_other_repositories_of_its_scope(
    world: World, kind: RefusalKind, lists: int
) -> None:
    world.registry.repositories.states[MODELS] = RepositoryState(is_docker_remote=False)
    world.push("app")
    world.push("model", repository=MODELS)
    world.api.refusals["list_artifacts"] = PrewarmRefusedError(kind, f"403 {kind}")
    world.api.refusals["prewarm"] = PrewarmRefusedError(kind, f"403 {kind}")

    outcome = world.at(timedelta())

    assert world.api.calls == ["list_artifacts"] * lists
    assert outcome.details["passed"] == [f"403 {kind}"] * lists
    assert sorted(world.due) == [f"{HOST}/app:1", f"{MODELS.registry}/demo/models/model:1"]


def test_refusal_of_one_image_does_not_affect_another(world: World) -> None:
    world.push("app")
    odd = world.push("odd")
    del world.api.sizes[Digest(odd)]

    outcome = world.at(timedelta())

    assert len(outcome.details["prewarming"]) == 1
    assert world.due == [f"{HOST}/odd:1"]


@pytest.mark.parametrize("error", [TransientError, ConfigurationError])
@pytest.mark.parametrize("method", ["list_artifacts", "prewarm"])
def test_failure_of_the_api_is_raised(world: World, method: str, error: type[Exception]) -> None:
    world.push("app")
    world.api.refusals[method] = error("503")

    with pytest.raises(error):
        world.at(timedelta())

    world.api.refusals.clear()
    assert world.at(timedelta()).details["prewarming"] != []
