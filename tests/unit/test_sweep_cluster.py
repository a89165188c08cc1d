"""Sweeps of a cluster in memory: what is published, what it costs, and what repetition does."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.image_reference import parse_reference
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.timestamp import format_time
from shared.errors import ClusterRefusedError, TransientError
from shared.pipeline.sweep import sweep_cluster
from shared.settings.keys import Settings
from tests.fakes.clusters import GPU_CLUSTER, START
from tests.fakes.sweeps import BIG, NOW, SERVER, TRAINER, Publisher, SweptWorld, big
from tests.fakes.warmups import make_warmup

GPU = {"limits": {"nvidia.com/gpu": "1"}}
PERIOD = timedelta(hours=48)
PAUSE = PERIOD / 8
LIMITED = RegistryRefusalError(429, "TOOMANYREQUESTS", "pull rate limit")


@pytest.fixture
def world() -> SweptWorld:
    return SweptWorld()


def asked_tags(world: SweptWorld) -> list[str]:
    return sorted(str(each) for each in world.registry.asked if each.digest is None)


def test_new_image_is_due(world: SweptWorld) -> None:
    world.use(TRAINER, SERVER)

    outcome = world.sweep()

    assert outcome.disposition == "handled"
    assert (outcome.details["workloads"], outcome.details["images"]) == (2, 2)
    assert outcome.details["due"] == 2
    assert world.take_images() == [SERVER, TRAINER]


def test_cluster_that_refuses_us_is_a_fact_of_the_day(world: SweptWorld) -> None:
    sweeper = world.make_sweeper(
        Settings(project="mirrors", deployment_project="demo"), world.facts, Publisher
    )
    error = ClusterRefusedError("cannot list jobs: 403 forbidden")

    outcomes = [
        sweeper.report_refusal(GPU_CLUSTER, "tick-1", START + timedelta(hours=hours), error)
        for hours in (0, 1, 24)
    ]

    first, second, third = world.facts.facts
    assert {each.disposition for each in outcomes} == {"ignored"}
    assert first == second
    assert third.timestamp == first.timestamp + timedelta(days=1)
    assert third.insert_id != first.insert_id
    assert first.severity == "WARNING"
    assert first.payload == {
        "event": "cluster.not_onboarded",
        "image": None,
        "mirror": None,
        "digest": None,
        "cluster": str(GPU_CLUSTER),
        "cause": {"kind": "schedule", "id": "tick-1", "resource": None},
        "reason": str(error),
        "hint": "Apply Prestream's manifests to the cluster: `kubectl kustomize infra/kubernetes"
        ' | sed "s/PROJECT_ID/demo/" | kubectl --context=gke_demo_us-central1_gpu apply -f -`.'
        " If it need not be watched, leave it out of `clusters` in prestream.yaml.",
    }


def test_warm_image_is_not_due(world: SweptWorld) -> None:
    world.warm(TRAINER)

    assert world.sweep().details["due"] == 0
    assert world.take_images() == []


def test_waiting_warmup_is_not_due(world: SweptWorld) -> None:
    world.use(TRAINER, SERVER)
    world.sweep()
    world.deliver()

    assert world.sweep().details["due"] == 0


def test_image_in_use_is_due_again_in_the_next_period(world: SweptWorld) -> None:
    world.warm(TRAINER, SERVER)

    outcome = world.sweep(NOW + PERIOD)

    assert outcome.details["due"] == 2


def test_unused_image_is_not_due(world: SweptWorld) -> None:
    world.warm(TRAINER, SERVER)
    del world.cluster.objects["apps/v1", "deployments"][0]

    world.sweep(NOW + PERIOD)

    assert world.take_images() == [SERVER]


def test_failed_warmup_is_due_again_later(world: SweptWorld) -> None:
    world.warm(TRAINER)
    world.end("Failed", NOW)

    assert world.sweep(NOW + PAUSE - timedelta(seconds=1)).details["due"] == 0
    assert world.sweep(NOW + PAUSE).details["due"] == 1


def test_size_of_the_platform_counts(world: SweptWorld) -> None:
    world.registry.add("docker.io/team/pair", "1", big("pair", "linux/amd64", "linux/arm64"))
    world.registry.add("docker.io/team/arm", "1", big("arm", "linux/arm64", "linux/arm/v7"))
    world.use("team/pair:1", "team/arm:1")
    world.values = {"min_image_bytes": BIG}

    world.sweep()

    # Without a platform that is asked for, the node decides on the second: who warms sees it.
    assert world.take_images() == ["team/arm:1", "team/pair:1"]


def test_two_tags_of_one_digest_are_one_warmup(world: SweptWorld) -> None:
    world.registry.add("docker.io/team/trainer", "stable", big("trainer"))
    world.use(TRAINER, "team/trainer:stable")

    assert world.sweep().details["due"] == 1


def test_missing_mirror_is_left_to_the_reference(world: SweptWorld) -> None:
    world.registry.repositories.states.clear()
    world.use(TRAINER, "docker.io/team/trainer:1")

    assert world.sweep().details["due"] == 1
    assert world.registry.repositories.created == []

    world.deliver()
    assert [each.upstream for each in world.registry.repositories.created] == ["docker.io"]
    assert len(world.cluster.jobs) == 1


def test_digest_without_a_mirror_is_requested(world: SweptWorld) -> None:
    digest = world.registry.add("docker.io/team/trainer", "1", big("trainer"))
    world.registry.repositories.states.clear()
    world.use(f"team/trainer@{digest}")

    assert world.sweep().details["due"] == 1


def test_image_in_artifact_registry_needs_no_mirror(world: SweptWorld) -> None:
    own = "us-central1-docker.pkg.dev/demo/apps/trainer:1"
    world.registry.add(str(parse_reference(own)).rpartition(":")[0], "1", big("own"))
    name = RepositoryName("demo", "us-central1", "apps")
    world.registry.repositories.states[name] = RepositoryState(is_docker_remote=False)
    world.use(own)

    world.sweep()

    assert world.take_images() == [own]


def test_spellings_of_one_image_cost_one_request(world: SweptWorld) -> None:
    mirrored = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1"
    world.use(TRAINER, "docker.io/team/trainer:1", "index.docker.io/team/trainer:1", mirrored)

    outcome = world.sweep()

    assert (outcome.details["images"], outcome.details["due"]) == (1, 1)
    assert len(world.registry.asked) == 1


def test_tag_costs_one_request_and_a_known_digest_none(world: SweptWorld) -> None:
    pinned = world.registry.add("docker.io/team/pinned", "1", big("pinned"))
    world.warm(TRAINER, SERVER, f"team/pinned@{pinned}")
    world.use(TRAINER, "docker.io/team/trainer:1")

    world.sweep()

    assert len(world.registry.asked) == 2
    assert asked_tags(world) == [
        "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1",
        "us-central1-docker.pkg.dev/demo/ghcr-io-mirror/team/server:1",
    ]


def test_due_index_costs_a_second_request(world: SweptWorld) -> None:
    world.registry.add("docker.io/team/pair", "1", big("pair", "linux/amd64", "linux/arm64"))
    world.use("team/pair:1")

    world.sweep()

    assert len(world.registry.asked) == 2


def test_each_kind_is_listed_once_and_no_job_is_fetched(
    world: SweptWorld,
) -> None:
    world.use(*(f"team/app-{number}:1" for number in range(50)))

    world.sweep()

    calls = world.cluster.calls
    assert calls.count("list_objects apps/v1/deployments") == 1
    assert calls.count("list_jobs") == 2
    assert len(calls) == len(set(calls)) + 1
    assert not {"fetch_job", "create_job", "list_nodes"} & set(calls)


def test_references_are_published_in_batches(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_cluster, "_BATCH", 2)
    world.add_apps(5)

    outcome = world.sweep()

    assert [len(batch) for batch in world.publisher.batches] == [2, 2, 1]
    assert outcome.details["due"] == 5


def test_waiting_warmup_is_resumed_although_no_registry_answers(world: SweptWorld) -> None:
    world.use(TRAINER)
    world.cluster.create_job(make_warmup("warm-a").body())
    world.registry.error = TransientError("no answer")

    with pytest.raises(TransientError):
        world.sweep()

    assert world.cluster.jobs["warm-a"]["spec"]["suspend"] is False


def test_warmups_are_resumed_up_to_the_limit(world: SweptWorld) -> None:
    world.values = {"max_running": 2}
    for name in "abcd":
        world.cluster.create_job(make_warmup(f"warm-{name}").body())

    assert world.sweep().details["resumed"] == ["warm-a", "warm-b"]
    assert world.sweep().details["resumed"] == []


def run_to_the_end(world: SweptWorld, now: datetime) -> dict[str, Any]:
    world.deliver(now)
    return {name: job["metadata"]["annotations"] for name, job in world.cluster.jobs.items()}


def without_causes(jobs: dict[str, Any]) -> dict[str, Any]:
    """Leave out who asked, and when: that is another one each time."""
    asked = {"prestream.dev/cause", "prestream.dev/queued"}
    return {
        name: {key: value for key, value in notes.items() if key not in asked}
        for name, notes in jobs.items()
    }


def test_two_sweeps_have_the_effect_of_one() -> None:
    once, twice = SweptWorld(), SweptWorld()
    for world in (once, twice):
        old = world.registry.add("docker.io/team/trainer", "1", big("trainer"))
        world.use(TRAINER, SERVER)
        world.run(TRAINER, old)
        world.registry.add("docker.io/team/trainer", "1", big("newer"))
    once.sweep(message_id="tick-1")
    twice.sweep(message_id="tick-1")
    twice.sweep(NOW + timedelta(seconds=3), message_id="tick-2")

    jobs = [without_causes(run_to_the_end(world, NOW)) for world in (once, twice)]

    assert len(jobs[0]) == 2
    assert jobs[0] == jobs[1]
    assert len(once.events("tag.moved")) == len(twice.events("tag.moved")) == 1


def test_interrupted_and_repeated_sweep_has_the_effect_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep_cluster, "_BATCH", 2)
    once, twice = SweptWorld(), SweptWorld()
    for world in (once, twice):
        world.add_apps(7)
    once.sweep(message_id="tick-1")
    twice.publisher.failure = (2, TransientError("it dies here"))
    with pytest.raises(TransientError, match="it dies here"):
        twice.sweep(message_id="tick-1")
    twice.publisher.failure = None
    twice.deliver()
    assert 0 < len(twice.cluster.jobs) < 7

    twice.sweep(message_id="tick-1")

    jobs = [without_causes(run_to_the_end(world, NOW)) for world in (once, twice)]
    assert len(jobs[0]) == 7
    assert jobs[0] == jobs[1]


def test_dry_run_reports_what_is_due_and_changes_nothing() -> None:
    world = SweptWorld({"dry_run": True})
    world.use(TRAINER)
    for name in "ab":
        world.cluster.create_job(make_warmup(f"warm-{name}").body())
    world.cluster.end_job("warm-b", "Complete")
    world.registry.repositories.states.clear()
    before = copy.deepcopy(world.cluster.jobs)

    outcome = world.sweep(START + 2 * PERIOD)

    assert outcome.details["dry_run"] is True
    assert (outcome.details["due"], outcome.details["removed"]) == (1, 1)
    assert world.cluster.jobs == before
    assert world.registry.repositories.created == []
    changes = {"patch_job", "delete_job", "create_job"}
    world.cluster.calls.clear()
    world.deliver(START + 2 * PERIOD)
    assert not changes & set(world.cluster.calls)


def test_image_that_cannot_be_warmed_has_one_fact_per_day(
    world: SweptWorld,
) -> None:
    world.cluster.nodes.clear()
    world.use(TRAINER)
    for minutes in (0, 60, 120, 24 * 60):
        now = NOW + timedelta(minutes=minutes)
        assert world.sweep(now).details["due"] == 1
        world.deliver(now)

    facts = world.events("warmup.finished")
    assert [fact["outcome"] for fact in facts] == ["no_node", "no_node"]
    stamps = {fact.timestamp for fact in world.facts.facts}
    assert stamps == {datetime(2026, 11, day, tzinfo=UTC) for day in (24, 25)}
    assert world.facts.facts[0].payload["started_at"] == format_time(NOW)
