"""The commands warm, wait and status against the pipeline: they end well only on what was seen."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.local_cloud import CLUSTER, LOCATION, PROJECT, LocalCloud, resource_name
from tests.integration.conftest import ENDLESS_PERIOD
from tests.integration.pipelines import ADMIN, Pipeline

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
HOUR = timedelta(hours=1, minutes=1)
"""A mirror asks upstream for a tag no more often."""

CONFIG = "deadline_minutes: 600\n" + ENDLESS_PERIOD


VIEWER = "viewer@example.com"


def _bind(kind: str, rules: Sequence[Mapping[str, Any]], **place: str) -> list[dict[str, Any]]:
    group = "rbac.authorization.k8s.io"
    metadata = {"name": "prestream-viewer", **place}
    head = {"apiVersion": f"{group}/v1", "metadata": metadata}
    return [
        {**head, "kind": kind, "rules": rules},
        {
            **head,
            "kind": f"{kind}Binding",
            "roleRef": {"apiGroup": group, "kind": kind, "name": "prestream-viewer"},
            "subjects": [{"kind": "User", "apiGroup": group, "name": VIEWER}],
        },
    ]


LOOK = {"verbs": ["get", "list"]}
RIGHTS = [
    *_bind(
        "Role",
        [
            {"apiGroups": ["batch"], "resources": ["jobs"], **LOOK},
            {"apiGroups": [""], "resources": ["pods", "events"], **LOOK},
        ],
        namespace="prestream",
    ),
    *_bind("ClusterRole", [{"apiGroups": [""], "resources": ["nodes"], **LOOK}]),
]
"""The rights that docs/commands.md lists for reading."""


@pytest.fixture(scope="module")
def world(archives: Path, deployed_python: Path) -> Iterator[Pipeline]:
    cloud = LocalCloud(scale=400, config=CONFIG)
    started = Pipeline(cloud, archives, deployed_python).start("image_reference", "pull_event")
    started.add_gpu_node("gke-gpu-l4-a", "l4-spot", accelerator="nvidia-l4")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def environ(world: Pipeline) -> Mapping[str, str]:
    """The environment of a person who may read warmups, and no more."""
    world.cloud.kubernetes.add_user("token-of-viewer", VIEWER)
    for body in RIGHTS:
        namespace = body["metadata"].get("namespace")
        world.api.create(resource_name(body), body, namespace, user=ADMIN)
    context = f"gke_{PROJECT}_{LOCATION}_{CLUSTER}"
    kubeconfig = world.cloud.folder / "viewer.kubeconfig"
    content = world.cloud.kubernetes.kubeconfig(context, "token-of-viewer")
    kubeconfig.write_text(yaml.safe_dump(content), encoding="utf-8")
    path = {"PATH": os.environ["PATH"], "HOME": str(world.cloud.folder), "PYTHONPATH": str(ROOT)}
    return {**world.cloud.environ("image_reference"), **path, "KUBECONFIG": str(kubeconfig)}


def run(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_warm_waits_until_the_image_was_seen_warm_and_shows_how_far_it_is(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = world.add_image("team/followed")

    ended = run(environ, "warm", image, "--wait", "--timeout", "50s")

    assert ended.returncode == 0, ended.stderr
    message = world.reference_messages(image)[0]
    assert ended.returncode == 0, ended.stderr
    assert f"asked for {image} in the watched clusters (message {message.message_id})" in (
        ended.stdout
    )
    assert ended.stdout.splitlines()[-1].startswith(f"warm  {image} in us-central1 on nvidia-l4")
    assert "nothing seen" in ended.stderr.splitlines()[0]
    assert f"warm  {image}" in ended.stderr.splitlines()[-1]
    (job,) = world.jobs(image)
    assert job["status"]["succeeded"] == 1


def test_warm_image_passes_at_once_and_force_waits_for_another_pull(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = world.add_image("team/again")
    assert run(environ, "warm", image, "--wait", "--timeout", "50s").returncode == 0

    gate = run(environ, "wait", image, "--timeout", "0s", "--json")
    # The first node holds the image by now.
    world.add_gpu_node("gke-gpu-l4-b", "l4-spot", accelerator="nvidia-l4")
    forced = run(environ, "warm", image, "--force", "--wait", "--timeout", "50s", "--json")
    world.cloud.gke.remove_node("gke-gpu-l4-b")

    (answer,) = json.loads(gate.stdout)
    assert (gate.returncode, answer["verdict"], answer["state"]) == (0, "warm", "warm")
    assert forced.returncode == 0, forced.stderr
    body = json.loads(forced.stdout)
    assert body["published"][0]["force"]
    assert len(world.jobs(image)) == 2
    assert {each["last_outcome"] for each in body["answers"][0]["standings"]} <= {
        "pulled",
        "already_present",
    }


def test_target_is_found_among_the_nodes_by_its_name_and_no_other_is_warmed(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = world.add_image("team/targeted")
    world.add_gpu_node("gke-gpu-a100-a", "a100", accelerator="nvidia-tesla-a100")
    unknown = run(environ, "warm", image, "--target", "h100")
    name = next(each for each in unknown.stderr.replace(",", " ").split() if "a100-spot" in each)

    ended = run(environ, "warm", image, "--target", name, "--wait", "--timeout", "50s")
    world.cloud.gke.remove_node("gke-gpu-a100-a")

    assert unknown.returncode == 2
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"in {world.cloud.cluster}, target {name} (message " in ended.stdout
    (job,) = world.jobs(image)
    assert job["metadata"]["labels"]["prestream.dev/target"] == name
    assert run(environ, "wait", image, "--target", name, "--timeout", "0s").returncode == 0


def test_failing_image_ends_with_the_reason_and_the_hint_of_its_fact(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = world.add_image("team/unpullable")

    # It was there when it was resolved, and is gone when the node asks.
    with world.fault("registry", "HEAD .*team/unpullable/", 404):
        ended = run(environ, "warm", image, "--wait", "--timeout", "50s")
    gate = run(environ, "wait", image, "--timeout", "40s")

    fact = world.warmup(image)
    assert ended.returncode == 6, ended.stderr
    assert f"(pull_failed): {fact['reason']}" in ended.stdout
    assert fact["hint"] in ended.stdout
    assert gate.returncode == 6
    assert fact["reason"] in gate.stdout


def test_image_of_a_registry_that_is_not_allowed_fails_without_any_job(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = "strange.example/team/app:1"

    ended = run(environ, "warm", image, "--wait", "--timeout", "50s")

    assert ended.returncode == 6, ended.stderr
    assert "(not_allowed): registry 'strange.example' is not on the list" in ended.stdout
    assert "upstreams" in ended.stdout
    assert world.jobs(image) == []


def test_earlier_failure_does_not_answer_for_a_new_request(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = world.add_image("team/second-chance")
    with world.fault("registry", "HEAD .*team/second-chance/", 404):
        assert run(environ, "warm", image, "--wait", "--timeout", "50s").returncode == 6

    ended = run(environ, "warm", image, "--wait", "--timeout", "50s")

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_gate_stays_shut_for_what_nobody_warmed(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = world.add_image("team/nobody-asked")

    ended = run(environ, "wait", image, "--timeout", "0s")

    assert ended.returncode == 1
    assert ended.stdout.startswith(f"nothing seen  {image} in us-central1")


def test_gate_opens_for_a_warmup_that_somebody_else_asked_for(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = world.add_image("team/watched")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            run, environ, "wait", image, "--cluster", world.cloud.cluster, "--timeout", "50s"
        )
        world.ask(image)

        ended = waiting.result()

    assert ended.returncode == 0, ended.stderr


def test_gate_stays_shut_for_a_tag_that_has_moved_since_it_was_warmed(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    image = world.add_image("team/moving")
    assert run(environ, "warm", image, "--wait", "--timeout", "50s").returncode == 0
    by_digest = f"{image}@{world.warmup(image)['digest']}"
    world.add_image("team/moving", 320_000_000)
    world.cloud.clock.advance(HOUR)

    moved = run(environ, "wait", image, "--timeout", "0s")

    assert moved.returncode == 1, moved.stdout
    assert run(environ, "wait", by_digest, "--timeout", "0s").returncode == 0


def test_status_tells_the_states_apart_in_a_table_and_as_json(
    world: Pipeline, environ: Mapping[str, str]
) -> None:
    warm, held = world.add_image("team/listed-warm"), world.add_image("team/listed-held")
    failed = world.add_image("team/listed-failed")
    assert run(environ, "warm", warm, "--wait", "--timeout", "50s").returncode == 0
    with world.fault("registry", "HEAD .*team/listed-failed/", 404):
        assert run(environ, "warm", failed, "--wait", "--timeout", "50s").returncode == 6

    with world.running_on("team/listed-held"):
        world.ask(held)
        world.job(held, lambda job: bool(job.get("status", {}).get("ready")))
        table = run(environ, "status")
        listed = run(environ, "status", "--json")
        detail = run(environ, "status", warm)
        world.end(held)

    states = {each["image"]: each["state"] for each in json.loads(listed.stdout)["standings"]}
    assert (states[warm], states[held], states[failed]) == ("warm", "warming", "failed")
    assert table.returncode == 0
    assert world.cloud.cluster in table.stdout
    assert all(image in table.stdout for image in (warm, held, failed))
    fact = world.warmup(warm)
    assert fact["digest"] in detail.stdout
    assert "pulled by Job warm-listed-warm" in detail.stdout
    assert held not in detail.stdout


def test_status_says_what_it_could_not_read(world: Pipeline, environ: Mapping[str, str]) -> None:
    image = world.add_image("team/without-facts")
    assert run(environ, "warm", image, "--wait", "--timeout", "50s").returncode == 0

    with world.fault("logging", "", 403):
        ended = run(environ, "status", image)

    assert ended.returncode == 0
    assert "the facts cannot be read" in ended.stderr
    assert "  warm, " in ended.stdout
