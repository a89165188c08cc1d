"""What a sweep keeps prewarmed, what it lets lapse, and what it has no room for."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.disposition import Outcome
from shared.domain.image_reference import Digest
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.prewarm import PrewarmedArtifact, PrewarmRefusedError, PrewarmState
from shared.errors import ConfigurationError, TransientError
from tests.fakes.sweeps import NOW, TRAINER, SweptWorld, big, make_deployment

APPS = RepositoryName("demo", "us-central1", "apps")
HUB = RepositoryName("demo", "us-central1", "dockerhub-mirror")
HOST = "us-central1-docker.pkg.dev/demo/apps"
GB = 1_000_000_000
DAY = timedelta(days=1)


class World(SweptWorld):
    """A cluster whose ladder begins with the prewarm API, and a standard repository."""

    def __init__(self, **values: Any) -> None:
        super().__init__({"ladder": ["prewarm-api", "gpu-node"], **values})
        self.registry.repositories.states[APPS] = RepositoryState(is_docker_remote=False)

    def push(self, name: str, size: int = GB, *platforms: str) -> str:
        """Push an image, let a Deployment use it, and return its reference."""
        image = Image((size,), platforms or ("linux/amd64",), build=name)
        self.registry.add(f"{HOST}/{name}", "1", image)
        for manifest in image.manifests:
            self.api.sizes[Digest(manifest.digest)] = manifest.image_bytes
        self.use(f"{HOST}/{name}:1")
        return image.digest

    def forget(self) -> None:
        """Let no workload use anything any more."""
        self.cluster.objects.clear()

    def at(self, after: timedelta) -> Outcome:
        """Sweep at a time after the first."""
        self.api.now = NOW + after
        return self.sweep(NOW + after)

    def expires(self, digest: str) -> timedelta:
        """Return how long after the first sweep an image is prewarmed."""
        return self.api.held[APPS, Digest(digest), "us-central1"].expires - NOW

    def hold(self, digest: str, size: int, state: PrewarmState = "ACTIVE") -> None:
        """Let something be prewarmed, for three days."""
        artifact = PrewarmedArtifact(
            Digest(digest), "us-central1", state, expires=NOW + 3 * DAY, image_bytes=size
        )
        self.api.put(APPS, artifact)

    @property
    def due(self) -> list[str]:
        """The images of what was published, and not taken before."""
        return [request.image for request in self.take()]

    @property
    def prewarmed(self) -> list[Mapping[str, Any]]:
        """The facts of what was prewarmed."""
        return [each for each in self.events("warmup.finished") if each["outcome"] == "prewarmed"]


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_in_use_is_prewarmed_and_needs_no_reference(world: World) -> None:
    digest = world.push("app")

    outcome = world.at(timedelta())

    assert outcome.details["prewarming"] == [f"app@{digest} in us-central1"]
    assert (outcome.details["due"], world.due) == (0, [])
    assert world.expires(digest) == 3 * DAY


def test_the_next_sweep_writes_the_fact_and_asks_for_nothing(world: World) -> None:
    world.push("app")
    world.at(timedelta())
    world.api.calls.clear()

    outcome = world.at(timedelta(hours=1))

    assert world.api.calls == ["list_artifacts"]
    assert (outcome.details["prewarming"], outcome.details["renewed"], world.due) == ([], [], [])
    (fact,) = world.prewarmed
    assert (fact["image"], fact["strategy"]) == (f"{HOST}/app:1", "prewarm-api")
    assert fact["cause"]["kind"] == "schedule"


def test_a_sweep_while_it_is_caching_says_nothing(world: World) -> None:
    world.push("app")
    world.at(timedelta())

    world.at(timedelta(seconds=10))

    assert (world.due, world.prewarmed) == ([], [])


def test_what_is_still_in_use_is_renewed_before_a_third_of_its_time_is_left(world: World) -> None:
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


def test_what_is_no_longer_used_lapses(world: World) -> None:
    world.push("app")
    world.at(timedelta())
    world.forget()

    outcome = world.at(timedelta(hours=60))

    assert outcome.details["renewed"] == []
    assert "remove" not in world.api.calls
    assert list(world.api.list_artifacts(APPS)) != []
    world.api.now = NOW + 3 * DAY
    assert list(world.api.list_artifacts(APPS)) == []


def test_two_sweeps_at_once_are_as_one(world: World) -> None:
    digest = world.push("app")

    world.at(timedelta())
    world.at(timedelta())

    assert len(world.api.held) == 1
    assert world.expires(digest) == 3 * DAY
    assert world.due == []


def test_two_tags_and_two_targets_of_one_image_are_asked_for_once(world: World) -> None:
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


def test_an_index_that_is_pinned_is_prewarmed_by_its_platform(world: World) -> None:
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


def test_a_small_image_is_left_alone(world: World) -> None:
    world.push("app", 1000)

    outcome = world.at(timedelta())

    assert outcome.details["skipped"] == {"too_small": 1}
    assert world.api.held == {}


# Mirrored images.


def test_a_mirrored_image_gets_a_job_first_and_is_renewed_by_the_api(world: World) -> None:
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


def test_a_mirrored_image_whose_version_is_unknown_gets_a_job_again(world: World) -> None:
    world.use(TRAINER)
    world.at(timedelta())
    world.deliver(NOW)
    world.end("Complete", NOW + timedelta(minutes=5))

    world.at(2 * DAY)

    assert world.due == [TRAINER]


# Where the rung has another place, or none.


def test_where_another_rung_comes_first_a_sweep_begins_nothing_and_renews_what_there_is() -> None:
    world = World(ladder=["gpu-node", "prewarm-api"])
    digest = world.push("app")
    world.push("other")
    world.hold(digest, GB)

    outcome = world.at(timedelta(hours=50))

    assert outcome.details["renewed"] == [f"app@{digest} in us-central1"]
    assert world.due == [f"{HOST}/other:1"]


def test_without_the_rung_the_api_is_not_asked() -> None:
    world = World(ladder=["gpu-node"])
    world.push("app")

    outcome = world.at(timedelta())

    assert world.api.calls == []
    assert "renewed" not in outcome.details
    assert world.due == [f"{HOST}/app:1"]


def test_a_dry_run_asks_for_nothing() -> None:
    world = World(dry_run=True)
    world.push("app")

    world.at(timedelta())

    assert world.api.calls == ["list_artifacts"]
    assert world.due == [f"{HOST}/app:1"]


# Not enough room.


def test_what_there_is_no_room_for_is_said_and_gets_a_reference(world: World) -> None:
    world.push("small", 40 * GB)
    large = world.push("large", 70 * GB)

    outcome = world.at(timedelta())

    assert outcome.details["left_out"] == [f"large@{large} in us-central1"]
    assert "no room to prewarm" in outcome.story
    assert world.due == [f"{HOST}/large:1"]
    world.api.limit_bytes = 500 * GB
    world.at(timedelta(hours=1))
    assert world.due == [f"{HOST}/large:1"]


def test_what_more_workloads_use_comes_first(world: World) -> None:
    small = world.push("small", 40 * GB)
    large = world.push("large", 70 * GB)
    world.use(f"{HOST}/large:1")

    outcome = world.at(timedelta())

    assert outcome.details["prewarming"] == [f"large@{large} in us-central1"]
    assert outcome.details["left_out"] == [f"small@{small} in us-central1"]


def test_what_starts_sooner_comes_first(world: World) -> None:
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


def test_what_is_in_use_is_not_forced_out_by_what_is_used_more(world: World) -> None:
    held = world.push("held", 60 * GB)
    world.at(timedelta())
    wanted = world.push("wanted", 60 * GB)
    for _ in range(3):
        world.use(f"{HOST}/wanted:1")

    outcome = world.at(timedelta(hours=50))

    assert outcome.details["renewed"] == [f"held@{held} in us-central1"]
    assert outcome.details["left_out"] == [f"wanted@{wanted} in us-central1"]


def test_what_others_have_prewarmed_takes_room(world: World) -> None:
    world.hold(f"sha256:{1:064}", 90 * GB)
    app = world.push("app", 20 * GB)

    outcome = world.at(timedelta())

    assert outcome.details["left_out"] == [f"app@{app} in us-central1"]
    assert "remove" not in world.api.calls


def test_what_failed_is_left_to_the_next_rung_and_forgotten_where_room_is_short(
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


def test_many_that_are_left_out_are_counted(world: World) -> None:
    for number in range(25):
        world.push(f"app-{number}", 90 * GB)

    outcome = world.at(timedelta())

    assert len(outcome.details["left_out"]) == 21
    assert outcome.details["left_out"][-1] == "and 4 more"
    assert outcome.details["due"] == 24


# Refusals.


@pytest.mark.parametrize("method", ["list_artifacts", "prewarm"])
def test_what_is_refused_gets_references_and_is_said_once(world: World, method: str) -> None:
    world.push("app")
    world.push("other")
    refusal = PrewarmRefusedError("permission", "403 denied")
    world.api.refusals = {method: refusal, "prewarm": refusal}

    outcome = world.at(timedelta())

    assert outcome.details["passed"] == ["403 denied"]
    assert sorted(world.due) == [f"{HOST}/app:1", f"{HOST}/other:1"]
    assert world.api.calls.count("prewarm") <= 1


def test_an_image_that_cannot_be_prewarmed_hinders_no_other(world: World) -> None:
    world.push("app")
    odd = world.push("odd")
    del world.api.sizes[Digest(odd)]

    outcome = world.at(timedelta())

    assert len(outcome.details["prewarming"]) == 1
    assert world.due == [f"{HOST}/odd:1"]


@pytest.mark.parametrize("error", [TransientError, ConfigurationError])
@pytest.mark.parametrize("method", ["list_artifacts", "prewarm"])
def test_a_failure_of_the_api_is_the_sweep_s(
    world: World, method: str, error: type[Exception]
) -> None:
    world.push("app")
    world.api.refusals[method] = error("503")

    with pytest.raises(error):
        world.at(timedelta())

    world.api.refusals.clear()
    assert world.at(timedelta()).details["prewarming"] != []
