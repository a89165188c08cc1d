"""Facts that a sweep writes about what runs in a cluster."""

from datetime import timedelta
from typing import Any

import pytest

from shared.domain.manifest import RegistryRefusalError
from shared.errors import ClusterRefusedError
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.sweeps import SERVER, TRAINER, SweptWorld, big

GPU = {"limits": {"nvidia.com/gpu": "1"}}
PERIOD = timedelta(hours=48)
PAUSE = PERIOD / 8
LIMITED = RegistryRefusalError(429, "TOOMANYREQUESTS", "pull rate limit")


@pytest.fixture
def world() -> SweptWorld:
    return SweptWorld()


def test_moved_tag_has_the_workloads_of_the_old_digest(world: SweptWorld) -> None:
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


def test_digest_of_the_platform_is_not_a_move(world: SweptWorld) -> None:
    pair = big("pair", "linux/amd64", "linux/arm64")
    index = world.registry.add("docker.io/team/pair", "1", pair)
    world.use("team/pair:1")
    # Runtimes name the index, or the platform's manifest in it.
    for digest in (index, pair.manifests[1].digest):
        world.run("team/pair:1", digest)

    assert world.sweep().details["moved"] == 0


def test_rewritten_pod_runs_the_image_as_written(
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


def test_bypass_has_the_workloads(world: SweptWorld) -> None:
    prove(world)
    digest = world.registry.add("docker.io/team/trainer", "1", big("trainer"))
    world.use(TRAINER, SERVER)
    world.run(TRAINER, digest)
    world.run(SERVER, digest, of="server")

    outcome = world.sweep(message_id="tick-1")

    assert outcome.details["bypassed"] == 1
    (fact,) = world.events("mirror.bypassed")
    assert {key: value for key, value in fact.items() if key != "hint"} == {
        "event": "mirror.bypassed",
        "image": TRAINER,
        "mirror": "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1",
        "digest": None,
        "cluster": str(GPU_CLUSTER),
        "cause": {"kind": "schedule", "id": "tick-1", "resource": None},
        "workloads": ["apps/v1/namespaces/ml/deployments/trainer"],
        "reason": "not_labelled",
    }


LABEL = "kubectl label namespace ml prestream.dev/rewrite=enabled"
RESTART = "kubectl --namespace=ml rollout restart deployments/trainer"


@pytest.mark.parametrize(
    ("labels", "reason", "commands"),
    [
        pytest.param({}, "not_labelled", [LABEL, RESTART], id="no label"),
        pytest.param(
            {"prestream.dev/rewrite": "disabled"}, "not_labelled", [LABEL, RESTART], id="disabled"
        ),
        pytest.param({"prestream.dev/rewrite": "enabled"}, "old_pods", [RESTART], id="old pods"),
        pytest.param(None, None, [LABEL, RESTART], id="no right to list namespaces"),
    ],
)
def test_hint_of_a_bypass_follows_from_the_labels_of_the_namespace(
    world: SweptWorld, labels: dict[str, str] | None, reason: str | None, commands: list[str]
) -> None:
    prove(world)
    world.use(TRAINER)
    world.run(TRAINER, world.registry.add("docker.io/team/trainer", "1", big("trainer")))
    namespace = {"metadata": {"name": "ml", "labels": labels}}
    world.cluster.objects["v1", "namespaces"] = [namespace]
    if labels is None:
        world.cluster.fail("list_objects v1/namespaces", ClusterRefusedError("403"))

    world.sweep()

    (fact,) = world.events("mirror.bypassed")
    assert fact["reason"] == reason
    assert [part for part in fact["hint"].split("`") if part.startswith("kubectl")] == commands


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"metadata": {"labels": {"prestream.dev/rewrite": "disabled"}}}, id="opt-out"),
        pytest.param({"spec": {"imagePullSecrets": [{"name": "s"}]}}, id="pull-secrets"),
        pytest.param({"status": {"phase": "Succeeded"}}, id="done"),
    ],
)
def test_pod_that_would_not_be_rewritten_is_not_a_bypass(
    world: SweptWorld, change: dict[str, dict[str, Any]]
) -> None:
    prove(world)
    world.use(TRAINER)
    world.run(TRAINER, world.registry.add("docker.io/team/trainer", "1", big("trainer")))
    for part, fields in change.items():
        world.cluster.pods[0][part] |= fields

    assert world.sweep().details["bypassed"] == 0


def test_unproven_mirror_is_not_bypassed(world: SweptWorld) -> None:
    prove(world, "quay.io")
    world.use(TRAINER)
    world.run(TRAINER, world.registry.add("docker.io/team/trainer", "1", big("trainer")))

    assert world.sweep().details["bypassed"] == 0
