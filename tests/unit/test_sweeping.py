"""What a sweep finds due, and what it leaves behind."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.image_reference import parse_reference
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.rate_limit import Allowance
from shared.errors import ConfigurationError, TransientError
from shared.pipeline.sweep import sweep_cluster
from tests.fakes.clusters import GPU_CLUSTER, START
from tests.fakes.sweeps import BIG, NOW, SERVER, TRAINER, SweptWorld, big
from tests.fakes.warmups import make_warmup

GPU = {"limits": {"nvidia.com/gpu": "1"}}
PERIOD = timedelta(hours=48)
PAUSE = PERIOD / 8
LIMITED = RegistryRefusalError(429, "TOOMANYREQUESTS", "pull rate limit")


@pytest.fixture
def world() -> SweptWorld:
    return SweptWorld()


def images(world: SweptWorld) -> list[str]:
    return sorted(request.image for request in world.take())


def asked_tags(world: SweptWorld) -> list[str]:
    return sorted(str(each) for each in world.registry.asked if each.digest is None)


# What is due


def test_an_image_that_was_never_warmed_is_due(world: SweptWorld) -> None:
    world.use(TRAINER, SERVER)

    outcome = world.sweep()

    assert outcome.disposition == "handled"
    assert (outcome.details["workloads"], outcome.details["images"]) == (2, 2)
    assert outcome.details["due"] == 2
    assert images(world) == [SERVER, TRAINER]


def test_a_reference_says_where_and_why(world: SweptWorld) -> None:
    world.use(TRAINER)

    world.sweep(message_id="tick-1")

    (request,) = world.take()
    assert request.as_json() == {
        "image": TRAINER,
        "cluster": str(GPU_CLUSTER),
        "placement": {
            "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "tolerations": [],
        },
        "cause": {
            "kind": "schedule",
            "id": "tick-1",
            "resource": "apps/v1/namespaces/ml/deployments/app-0",
        },
        "force": False,
    }


def test_what_was_warmed_in_this_period_is_not_due(world: SweptWorld) -> None:
    world.warm(TRAINER)

    assert world.sweep().details["due"] == 0
    assert images(world) == []


def test_what_is_being_warmed_or_waits_its_turn_is_not_due(world: SweptWorld) -> None:
    world.use(TRAINER, SERVER)
    world.sweep()
    world.deliver()

    assert world.sweep().details["due"] == 0


def test_what_is_in_use_is_due_again_in_the_next_period(world: SweptWorld) -> None:
    world.warm(TRAINER, SERVER)

    outcome = world.sweep(NOW + PERIOD)

    assert outcome.details["due"] == 2


def test_what_is_no_longer_used_lapses(world: SweptWorld) -> None:
    world.warm(TRAINER, SERVER)
    del world.cluster.objects["apps/v1", "deployments"][0]

    world.sweep(NOW + PERIOD)

    assert images(world) == [SERVER]


def test_a_tag_that_was_moved_is_due_at_its_new_digest(world: SweptWorld) -> None:
    world.warm(TRAINER)
    world.registry.add("docker.io/team/trainer", "1", big("newer"))

    assert world.sweep().details["due"] == 1


def test_a_warmup_that_failed_is_due_again_after_a_while(world: SweptWorld) -> None:
    world.warm(TRAINER)
    world.end("Failed", NOW)

    assert world.sweep(NOW + PAUSE - timedelta(seconds=1)).details["due"] == 0
    assert world.sweep(NOW + PAUSE).details["due"] == 1


def test_a_warmup_that_was_postponed_is_due_when_trying_again_can_help(world: SweptWorld) -> None:
    world.warm(TRAINER)
    world.end("Failed", NOW)
    (job,) = world.cluster.jobs.values()
    until = NOW + timedelta(minutes=30)
    job["metadata"]["annotations"]["prestream.dev/reported"] = "fact"
    job["metadata"]["annotations"]["prestream.dev/not-before"] = until.isoformat()

    assert world.sweep(until - timedelta(seconds=1)).details["due"] == 0
    assert world.sweep(until).details["due"] == 1


def test_an_image_that_starts_fast_anyway_is_left_alone(world: SweptWorld) -> None:
    world.registry.add("docker.io/team/tool", "1", Image((1_000,), build="tool"))
    world.use("team/tool:1")

    outcome = world.sweep()

    assert outcome.details["due"] == 0
    assert outcome.details["skipped"] == {"too_small": 1}


def test_the_size_that_counts_is_that_of_the_platform(world: SweptWorld) -> None:
    world.registry.add("docker.io/team/pair", "1", big("pair", "linux/amd64", "linux/arm64"))
    world.registry.add("docker.io/team/arm", "1", big("arm", "linux/arm64", "linux/arm/v7"))
    world.use("team/pair:1", "team/arm:1")
    world.values = {"min_image_bytes": BIG}

    world.sweep()

    # Without a platform that is asked for, the node decides on the second: who warms sees it.
    assert images(world) == ["team/arm:1", "team/pair:1"]


def test_an_image_that_is_excluded_by_its_own_name_is_left_alone_by_its_mirrors_as_well(
    world: SweptWorld,
) -> None:
    world.values = {"exclude": ["docker.io/team/*"]}
    world.use(TRAINER, "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1")

    outcome = world.sweep()

    assert outcome.details["due"] == 0
    assert outcome.details["skipped"] == {"excluded": 1}


def test_an_image_whose_host_is_not_allowed_is_left_alone(world: SweptWorld) -> None:
    world.use("evil.example/app:1", TRAINER)

    outcome = world.sweep()

    assert images(world) == [TRAINER]
    assert outcome.details["skipped"] == {"not_allowed": 1}


def test_an_image_that_is_absent_keeps_no_other_from_being_warmed(world: SweptWorld) -> None:
    world.use("team/absent:1", TRAINER)

    outcome = world.sweep()

    assert images(world) == [TRAINER]
    assert outcome.details["skipped"] == {"pull_failed": 1}


def test_spellings_of_one_image_are_one_warmup(world: SweptWorld) -> None:
    mirrored = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1"
    world.use(TRAINER, "docker.io/team/trainer:1", "index.docker.io/team/trainer:1", mirrored)

    outcome = world.sweep()

    assert (outcome.details["images"], outcome.details["due"]) == (1, 1)
    assert len(world.registry.asked) == 1


def test_two_tags_of_one_digest_are_one_warmup(world: SweptWorld) -> None:
    world.registry.add("docker.io/team/trainer", "stable", big("trainer"))
    world.use(TRAINER, "team/trainer:stable")

    assert world.sweep().details["due"] == 1


def test_each_target_of_an_image_is_a_warmup(world: SweptWorld) -> None:
    world.use(TRAINER)
    for pool in ("a", "b"):
        selector = {"cloud.google.com/gke-nodepool": pool, "nvidia.com/gpu": "present"}
        spec = {"nodeSelector": selector, "containers": [{"image": TRAINER, "resources": GPU}]}
        deployment = copy.deepcopy(world.cluster.objects["apps/v1", "deployments"][0])
        deployment["spec"]["template"]["spec"] = spec
        world.cluster.place(deployment)

    outcome = world.sweep()

    assert (outcome.details["images"], outcome.details["due"]) == (1, 3)


# Mirrors


def test_a_sweep_makes_no_mirror_but_asks_for_what_lacks_one(world: SweptWorld) -> None:
    world.registry.repositories.states.clear()
    world.use(TRAINER, "docker.io/team/trainer:1")

    assert world.sweep().details["due"] == 1
    assert world.registry.repositories.created == []

    world.deliver()
    assert [each.upstream for each in world.registry.repositories.created] == ["docker.io"]
    assert len(world.cluster.jobs) == 1


def test_an_image_named_by_digest_whose_mirror_is_gone_is_asked_for(world: SweptWorld) -> None:
    digest = world.registry.add("docker.io/team/trainer", "1", big("trainer"))
    world.registry.repositories.states.clear()
    world.use(f"team/trainer@{digest}")

    assert world.sweep().details["due"] == 1


# What it costs


def test_a_tag_costs_one_request_and_a_digest_that_is_known_none(world: SweptWorld) -> None:
    pinned = world.registry.add("docker.io/team/pinned", "1", big("pinned"))
    world.warm(TRAINER, SERVER, f"team/pinned@{pinned}")
    world.use(TRAINER, "docker.io/team/trainer:1")

    world.sweep()

    assert len(world.registry.asked) == 2
    assert asked_tags(world) == [
        "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1",
        "us-central1-docker.pkg.dev/demo/ghcr-io-mirror/team/server:1",
    ]


def test_a_due_index_costs_one_request_more_for_its_size(world: SweptWorld) -> None:
    world.registry.add("docker.io/team/pair", "1", big("pair", "linux/amd64", "linux/arm64"))
    world.use("team/pair:1")

    world.sweep()

    assert len(world.registry.asked) == 2


def test_the_cluster_is_asked_for_each_kind_once_and_for_no_job_by_name(
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
    add_apps(world, 5)

    outcome = world.sweep()

    assert [len(batch) for batch in world.publisher.batches] == [2, 2, 1]
    assert outcome.details["due"] == 5


def add_apps(world: SweptWorld, count: int, registry: str = "docker.io") -> list[str]:
    names = [f"{registry}/team/app-{number}" for number in range(count)]
    for name in names:
        world.registry.add(name, "1", big(name))
    world.use(*(f"{name}:1" for name in names))
    return [f"{name}:1" for name in names]


# What upstreams bear


def test_after_a_429_an_upstream_is_asked_no_more_in_that_sweep(world: SweptWorld) -> None:
    add_apps(world, 5)
    world.use(SERVER)
    world.registry.refusals["docker.io"] = RegistryRefusalError(
        429, "TOOMANYREQUESTS", "too many", retry_at=NOW + timedelta(minutes=10)
    )

    outcome = world.sweep()

    assert images(world) == [SERVER]
    assert len([each for each in world.registry.asked if "dockerhub" in str(each)]) == 1
    postponed = outcome.details["postponed"]
    assert set(postponed) == {"docker.io"}
    assert postponed["docker.io"]["images"] == 5
    assert postponed["docker.io"]["not_before"] == "2026-11-24T08:10:00Z"
    assert "docker.io limits pulls" in postponed["docker.io"]["reason"]


def test_what_was_postponed_is_due_once_the_limit_has_passed(world: SweptWorld) -> None:
    world.use(TRAINER)
    world.registry.refusals["docker.io"] = LIMITED
    world.sweep()
    world.registry.refusals.clear()

    world.sweep(NOW + timedelta(hours=1))

    assert images(world) == [TRAINER]


@pytest.mark.parametrize(
    ("share", "due"), [pytest.param(0.5, 5, id="half"), pytest.param(1, 8, id="all")]
)
def test_a_sweep_spends_its_share_of_an_allowance_and_no_more(
    world: SweptWorld, share: float, due: int
) -> None:
    world.values = {"sweep_share": share}
    add_apps(world, 8)
    world.registry.allowances["docker.io"] = Allowance(10, 10)

    outcome = world.sweep()

    assert outcome.details["due"] == due
    assert world.registry.allowances["docker.io"].remaining == 10 - due
    left = {} if due == 8 else {"images": 3, "reason": "5 pulls are left to workloads"}
    assert outcome.details["postponed"].get("docker.io", {}).items() >= left.items()


def test_what_workloads_spent_counts_against_the_share(world: SweptWorld) -> None:
    add_apps(world, 8)
    world.registry.allowances["docker.io"] = Allowance(10, 4)

    assert world.sweep().details["due"] == 1


def test_what_was_never_warmed_is_asked_for_before_what_was(world: SweptWorld) -> None:
    warmed = add_apps(world, 8)
    world.sweep()
    world.deliver()
    fresh = add_apps(world, 3, "docker.io/fresh")
    world.registry.asked.clear()
    world.registry.allowances["docker.io"] = Allowance(10, 8)

    world.sweep()

    assert images(world) == fresh
    assert len(warmed) == 8


def test_what_is_postponed_is_not_always_the_same(world: SweptWorld) -> None:
    add_apps(world, 8)
    warmed: set[str] = set()
    for number in range(20):
        world.registry.allowances["docker.io"] = Allowance(10, 8)
        world.sweep(message_id=f"tick-{number}")
        warmed.update(images(world))

    assert len(warmed) == 8


def test_an_upstream_that_is_silent_keeps_no_other_from_being_asked(world: SweptWorld) -> None:
    add_apps(world, 9)
    world.use(SERVER)
    world.registry.errors["docker.io"] = TransientError("no answer")

    outcome = world.sweep()

    assert images(world) == [SERVER]
    assert len([each for each in world.registry.asked if "dockerhub" in str(each)]) == 3
    assert outcome.details["postponed"] == {
        "docker.io": {"images": 9, "reason": "no answer", "not_before": None}
    }


def test_one_image_that_gets_no_answer_keeps_its_upstream_open(world: SweptWorld) -> None:
    world.use("broken.example/team/app:1", TRAINER)
    world.values = {"upstreams": {"docker.io": None, "broken.example": None}}
    world.make_mirror("broken.example", "broken-example-mirror")
    world.registry.errors["broken.example"] = TransientError("no answer")

    outcome = world.sweep()

    assert images(world) == [TRAINER]
    assert outcome.details["postponed"]["broken.example"]["images"] == 1


def test_a_registry_that_answers_nothing_at_all_defers_the_sweep(world: SweptWorld) -> None:
    world.use(TRAINER, SERVER)
    world.registry.error = TransientError("no answer")

    with pytest.raises(TransientError, match="no answer"):
        world.sweep()


def test_an_identity_that_is_refused_blocks_the_sweep(world: SweptWorld) -> None:
    world.use(TRAINER)
    world.registry.error = RegistryRefusalError(401, "UNAUTHORIZED", "who are you")

    with pytest.raises(ConfigurationError):
        world.sweep()


# What it tells


def test_a_moved_tag_is_told_with_what_still_runs_the_old_digest(world: SweptWorld) -> None:
    old = world.registry.add("docker.io/team/trainer", "1", big("trainer"))
    world.use(TRAINER)
    for pod in range(3):
        world.run(TRAINER, old, name=f"trainer-6f9c-{pod}")
    world.run(TRAINER, old, of="other")
    new = world.registry.add("docker.io/team/trainer", "1", big("newer"))

    outcome = world.sweep(message_id="tick-1")

    assert outcome.details["moved"] == 1
    (fact,) = world.events("tag.moved")
    assert fact == {
        "event": "tag.moved",
        "image": TRAINER,
        "mirror": "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1",
        "digest": new,
        "cluster": str(GPU_CLUSTER),
        "cause": {"kind": "schedule", "id": "tick-1", "resource": None},
        "old_digest": old,
        "workloads": [
            "apps/v1/namespaces/ml/deployments/trainer",
            "apps/v1/namespaces/ml/deployments/other",
        ],
    }


def test_a_moved_tag_is_told_once_a_day(world: SweptWorld) -> None:
    old = world.registry.add("docker.io/team/trainer", "1", big("trainer"))
    world.use(TRAINER)
    world.run(TRAINER, old)
    world.registry.add("docker.io/team/trainer", "1", big("newer"))
    for hours in range(16):
        world.sweep(NOW + timedelta(hours=hours))

    assert len(world.events("tag.moved")) == 1

    world.sweep(NOW + timedelta(hours=24))
    assert len(world.events("tag.moved")) == 2


def test_a_pod_that_runs_what_its_tag_means_is_not_told_of(world: SweptWorld) -> None:
    pair = big("pair", "linux/amd64", "linux/arm64")
    index = world.registry.add("docker.io/team/pair", "1", pair)
    world.use("team/pair:1")
    # Runtimes name the index, or the platform's manifest in it.
    for digest in (index, pair.manifests[1].digest):
        world.run("team/pair:1", digest)

    assert world.sweep().details["moved"] == 0


def test_a_pod_that_was_rewritten_to_the_mirror_runs_the_image_that_was_written(
    world: SweptWorld,
) -> None:
    old = world.registry.add("docker.io/team/trainer", "1", big("trainer"))
    mirrored = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1"
    world.use(TRAINER)
    world.run(mirrored, old)
    originals = f'{{"{mirrored}": "{TRAINER}"}}'
    annotations = {"prestream.dev/original-images": originals}
    world.cluster.pods[0]["metadata"]["annotations"] = annotations
    world.registry.add("docker.io/team/trainer", "1", big("newer"))

    world.sweep()

    (fact,) = world.events("tag.moved")
    assert fact["image"] == TRAINER


def prove(world: SweptWorld, host: str = "docker.io") -> None:
    data = {host: "us-central1-docker.pkg.dev/demo/dockerhub-mirror"}
    metadata = {"name": "proven-mirrors", "namespace": "prestream"}
    world.cluster.place(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    )


def test_a_workload_that_bypasses_a_proven_mirror_is_named(world: SweptWorld) -> None:
    prove(world)
    digest = world.registry.add("docker.io/team/trainer", "1", big("trainer"))
    world.use(TRAINER, SERVER)
    world.run(TRAINER, digest)
    world.run(SERVER, digest, of="server")

    outcome = world.sweep(message_id="tick-1")

    assert outcome.details["bypassed"] == 1
    (fact,) = world.events("mirror.bypassed")
    assert "prestream.dev/rewrite=enabled" in fact["hint"]
    assert {key: value for key, value in fact.items() if key != "hint"} == {
        "event": "mirror.bypassed",
        "image": TRAINER,
        "mirror": "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1",
        "digest": None,
        "cluster": str(GPU_CLUSTER),
        "cause": {"kind": "schedule", "id": "tick-1", "resource": None},
        "workloads": ["apps/v1/namespaces/ml/deployments/trainer"],
    }


def test_a_bypass_is_told_once_a_day(world: SweptWorld) -> None:
    prove(world)
    world.use(TRAINER)
    world.run(TRAINER, world.registry.add("docker.io/team/trainer", "1", big("trainer")))
    for hours in (0, 1, 24):
        world.sweep(NOW + timedelta(hours=hours))

    assert len(world.events("mirror.bypassed")) == 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"metadata": {"labels": {"prestream.dev/rewrite": "disabled"}}}, id="opt-out"),
        pytest.param({"spec": {"imagePullSecrets": [{"name": "s"}]}}, id="pull-secrets"),
        pytest.param({"status": {"phase": "Succeeded"}}, id="done"),
    ],
)
def test_what_no_new_pod_would_pull_from_the_mirror_is_no_bypass(
    world: SweptWorld, change: dict[str, dict[str, Any]]
) -> None:
    prove(world)
    world.use(TRAINER)
    world.run(TRAINER, world.registry.add("docker.io/team/trainer", "1", big("trainer")))
    for part, fields in change.items():
        world.cluster.pods[0][part] |= fields

    assert world.sweep().details["bypassed"] == 0


def test_what_is_not_proven_is_no_bypass(world: SweptWorld) -> None:
    prove(world, "quay.io")
    world.use(TRAINER)
    world.run(TRAINER, world.registry.add("docker.io/team/trainer", "1", big("trainer")))

    assert world.sweep().details["bypassed"] == 0


# The queue


def test_warmups_whose_turn_has_come_run_though_no_registry_answers(world: SweptWorld) -> None:
    world.use(TRAINER)
    world.cluster.create_job(make_warmup("warm-a").body())
    world.registry.error = TransientError("no answer")

    with pytest.raises(TransientError):
        world.sweep()

    assert world.cluster.jobs["warm-a"]["spec"]["suspend"] is False


def test_the_limit_holds(world: SweptWorld) -> None:
    world.values = {"max_running": 2}
    for name in "abcd":
        world.cluster.create_job(make_warmup(f"warm-{name}").body())

    assert world.sweep().details["resumed"] == ["warm-a", "warm-b"]
    assert world.sweep().details["resumed"] == []


def test_no_turn_is_given_beyond_the_budget_of_a_namespace(world: SweptWorld) -> None:
    world.values = {"namespace_budget": 1}
    for name in ("warm-a", "warm-b"):
        world.cluster.create_job(make_warmup(name).body())

    assert world.sweep().details["resumed"] == ["warm-a"]


# Once, twice, half


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


def test_two_sweeps_at_once_give_the_same_world_as_one() -> None:
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


def test_a_sweep_that_dies_in_the_middle_and_comes_again_gives_the_same_world_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep_cluster, "_BATCH", 2)
    once, twice = SweptWorld(), SweptWorld()
    for world in (once, twice):
        add_apps(world, 7)
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


def test_a_dry_run_changes_nothing_and_says_what_is_due() -> None:
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


def test_what_cannot_be_warmed_is_told_once_a_day_and_tried_in_each_sweep(
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


def test_images_at_google_need_no_mirror(world: SweptWorld) -> None:
    own = "us-central1-docker.pkg.dev/demo/apps/trainer:1"
    world.registry.add(str(parse_reference(own)).rpartition(":")[0], "1", big("own"))
    name = RepositoryName("demo", "us-central1", "apps")
    world.registry.repositories.states[name] = RepositoryState(is_docker_remote=False)
    world.use(own)

    world.sweep()

    assert images(world) == [own]
