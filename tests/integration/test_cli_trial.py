"""prestream trial in the local cloud: real pulls over sockets, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.catalogue.image import Image
from sandbox.fault import Fault
from sandbox.gke.gke_cluster import GkeCluster
from sandbox.local_cloud import CLUSTER, LOCATION, PROJECT, LocalCloud

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
CONTEXT = f"gke_{PROJECT}_{LOCATION}_{CLUSTER}"
BIG = 1_550_000_000
"""Bytes; 50 of the sandbox's seconds to pull cold."""


class Lab:
    """A cluster without Prestream."""

    def __init__(self, tmp_path: Path) -> None:
        self.cloud = LocalCloud(scale=60.0).start()
        self.folder = tmp_path
        self.cloud.artifact_registry.switches.operation_delay_s = 0
        kubeconfig = tmp_path / "kubeconfig"
        content = self.cloud.kubernetes.kubeconfig(CONTEXT)
        kubeconfig.write_text(yaml.safe_dump(content), encoding="utf-8")
        self.environ = {
            **self.cloud.environ("image_reference"),
            "KUBECONFIG": str(kubeconfig),
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
        }

    @property
    def gke(self) -> GkeCluster:
        return self.cloud.gke

    def add_nodes(self, count: int, pool: str = "cpu", **fields: Any) -> None:
        for number in range(count):
            self.gke.add_node(f"gke-gpu-{pool}-{number}", pool=pool, **fields)

    def add_image(self, name: str, size: int = BIG) -> str:
        image = Image((1_000_000, size - 1_000_000), build=f"docker.io/{name}")
        self.cloud.catalogue.add(f"docker.io/{name}", "1", image)
        return f"{name}:1"

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "cli", "trial", "--folder", str(self.folder), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  # our own command
            self.command(*arguments),
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def read(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((self.folder / "trial.json").read_text("utf-8"))
        return body

    def verdicts(self) -> dict[str, tuple[str | None, bool]]:
        return {each["step"]: (each["streamed"], each["counts"]) for each in self.read()["pulls"]}

    def is_pulling(self, image: str) -> bool:
        """Whether a node is pulling an image."""
        name = image.partition(":")[0]
        return any(
            event["reason"] == "Pulling" and name in event["message"]
            for event in self.cloud.kubernetes.api.list("events")
        )

    def leftovers(self) -> list[str]:
        """Return everything in the cluster and the project that a trial may have left."""
        api = self.cloud.kubernetes.api
        found = [
            f"{resource}/{body['metadata'].get('namespace', '')}/{body['metadata']['name']}"
            for resource in ("namespaces", "priorityclasses.scheduling.k8s.io", "jobs.batch")
            for body in api.list(resource)
        ]
        mirrors = list(self.cloud.artifact_registry.repositories)
        return [name for name in found if "trial" in name] + mirrors


def reword(text: str) -> str:
    """Undo the line breaks of a terminal."""
    return " ".join(text.split())


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.cloud.stop()


def test_second_pull_through_the_mirror_is_streamed_and_nothing_is_left(lab: Lab) -> None:
    lab.add_nodes(3)
    image = lab.add_image("team/big")

    ended = lab.run(image, "--yes")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert lab.verdicts() == {
        "a": ("not_streamed", True),
        "b": ("not_streamed", True),
        "c": ("streamed", True),
    }
    body = lab.read()
    assert len({each["node"] for each in body["pulls"]}) == 3
    assert body["mirror_created"]
    assert "is backed by image streaming" in reword(ended.stdout)
    assert lab.leftovers() == []


def test_output_of_the_sandbox_never_calls_itself_a_measurement(lab: Lab) -> None:
    lab.add_nodes(3)
    image = lab.add_image("team/marked", 310_000_000)

    ended = lab.run(image, "--yes")

    assert ended.stdout.startswith("SIMULATED")
    assert ended.stdout.count("SIMULATED") == 2
    assert lab.read()["simulated"] is True
    assert "measure" not in (ended.stdout + ended.stderr).lower()


def test_plain_containerd_streams_nothing(lab: Lab) -> None:
    lab.add_nodes(3, streaming=False)
    image = lab.add_image("team/plain")

    ended = lab.run(image, "--yes")

    assert ended.returncode == 1, ended.stderr
    assert "Nothing was streamed" in ended.stdout
    assert "No suitable node has image streaming on" in reword(ended.stdout)
    assert lab.verdicts() == dict.fromkeys("abc", ("not_streamed", True))


def test_node_that_holds_the_image_is_not_used(lab: Lab) -> None:
    image = lab.add_image("team/held")
    lab.gke.add_node("gke-gpu-holder", pool="cpu", images=[f"docker.io/{image}"])
    lab.add_nodes(2)

    ended = lab.run(image, "--yes")

    assert ended.returncode == 0, ended.stderr
    body = lab.read()
    assert [each["step"] for each in body["pulls"]] == ["b", "c"]
    assert body["plan"]["nodes_unsuitable"] == {"gke-gpu-holder": "holds the image"}
    assert "To add 1 node, raise N" in ended.stdout


def test_node_that_turns_out_to_hold_the_image_is_not_used(lab: Lab) -> None:
    lab.cloud.catalogue.add("ghcr.io/team/held", "1", Image((BIG,), build="held"))
    lab.gke.add_node("gke-gpu-holder", pool="cpu", images=["ghcr.io/team/held:1"])
    lab.add_nodes(2)

    ended = lab.run("ghcr.io/team/held:1", "--yes")

    assert ended.returncode == 0, ended.stderr
    assert "The digest is not known yet" in ended.stdout
    assert "a  left out: needs one more node" in ended.stderr
    assert [each["step"] for each in lab.read()["pulls"]] == ["b", "c"]
    assert lab.leftovers() == []


def test_repeated_second_pull_has_a_median_and_an_interval(lab: Lab) -> None:
    lab.add_nodes(5)
    image = lab.add_image("team/repeated")

    ended = lab.run(image, "--yes", "--repeat", "3", "--json")

    assert ended.returncode == 0, ended.stderr
    body = json.loads(ended.stdout)
    assert body == lab.read()
    assert [each["step"] for each in body["pulls"]] == ["a", "b", "c", "c2", "c3"]
    assert (body["summary"]["second_pull"]["n"], body["simulated"]) == (3, True)


def test_image_that_cannot_be_pulled_ends_early_with_the_reason(lab: Lab) -> None:
    lab.add_nodes(3)
    image = lab.add_image("team/gone")
    fault = lab.cloud.faults.add(Fault("registry", "HEAD .*team/gone/", 404))

    ended = lab.run(image, "--yes")

    lab.cloud.faults.remove(fault)
    assert ended.returncode == 6, ended.stdout
    outcomes = {each["step"]: each["outcome"] for each in lab.read()["pulls"]}
    assert outcomes == {"a": "pulled", "b": "pull_failed", "c": "pull_failed"}
    assert lab.leftovers() == []


def test_kept_objects_are_listed_with_the_commands_that_remove_them(lab: Lab) -> None:
    lab.add_nodes(2)
    image = lab.add_image("team/kept", 310_000_000)

    ended = lab.run(image, "--yes", "--keep")

    assert len(lab.leftovers()) == 5, lab.leftovers()
    assert "gcloud artifacts repositories delete dockerhub-mirror" in ended.stderr
    assert f"kubectl --context={CONTEXT} delete namespace prestream-trial-" in ended.stderr


def test_mirror_that_existed_before_stays(lab: Lab) -> None:
    lab.add_nodes(2)
    first, second = (lab.add_image(f"team/{name}", 310_000_000) for name in ("one", "two"))
    lab.run(first, "--yes", "--keep")
    lab.gke.add_node("gke-gpu-fresh", pool="cpu")

    lab.run(second, "--yes")

    assert not lab.read()["mirror_created"]
    assert len(lab.cloud.artifact_registry.repositories) == 1


def test_cluster_without_a_node_ends_before_anything_is_created(lab: Lab) -> None:
    image = lab.add_image("team/nowhere")

    ended = lab.run(image, "--yes")

    assert ended.returncode == 6
    assert not (lab.folder / "trial.json").exists()
    assert lab.leftovers() == []


def test_timeout_ends_the_pulls_and_removes_the_objects(lab: Lab) -> None:
    lab.add_nodes(3)
    image = lab.add_image("team/endless", 60_000_000_000)

    ended = lab.run(image, "--yes", "--timeout", "3s")

    assert ended.returncode == 6, ended.stdout + ended.stderr
    assert lab.read()["pulls"][0]["outcome"] == "timed_out"
    assert lab.verdicts().get("c", (None, False)) == (None, False)
    assert lab.leftovers() == []


def test_service_that_refuses_ends_the_trial_and_leaves_nothing(lab: Lab) -> None:
    lab.add_nodes(3)
    image = lab.add_image("team/refused", 310_000_000)
    fault = lab.cloud.faults.add(Fault("kubernetes", "POST .*/jobs", 403))

    ended = lab.run(image, "--yes")

    lab.cloud.faults.remove(fault)
    assert ended.returncode == 5, ended.stdout + ended.stderr
    assert "403" in lab.read()["problem"]
    assert lab.leftovers() == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(["a:1"], "add --yes", id="nobody-to-ask"),
        pytest.param(["A:1", "--yes"], "invalid", id="no-image"),
        pytest.param(["a:1", "--timeout", "soon"], "--timeout", id="no-duration"),
        pytest.param(["a:1", "--folder", "/absent"], "--folder", id="no-folder"),
    ],
)
def test_misuse_changes_nothing(lab: Lab, arguments: list[str], problem: str) -> None:
    lab.add_nodes(2)
    lab.add_image("library/a")

    ended = lab.run(*arguments)

    assert (ended.returncode, lab.leftovers()) == (2, [])
    assert problem in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_interrupted_trial_removes_its_objects_and_keeps_its_results(
    lab: Lab, number: signal.Signals
) -> None:
    lab.add_nodes(3)
    image = lab.add_image("team/interrupted", 60_000_000_000)
    process = subprocess.Popen(  # noqa: S603  # our own command
        lab.command(image, "--yes"),
        cwd=ROOT,
        env=lab.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    assert lab.gke.wait_for(lambda: lab.is_pulling(image), PATIENCE_S)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130, stdout + stderr
    assert lab.leftovers() == []
    assert lab.read()["interrupted"] is True


def test_open_questions_are_answered_with_evidence(lab: Lab) -> None:
    lab.add_nodes(5)
    lab.add_nodes(1, pool="l4", accelerator="nvidia-l4")
    image, second = lab.add_image("team/asked"), lab.add_image("team/prewarmed")

    ended = lab.run(image, "--yes", "--open-questions", "--second-image", second)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    answers = {each["question"]: each["answer"] for each in lab.read()["answers"]}
    # The sandbox streams no image of Docker Hub itself.
    assert answers == {
        "Do Docker Hub images stream without a mirror?": "not in this pull",
        "Does a pull on a CPU node warm the cache for accelerator pools?": "yes",
        "Does the prewarm API take remote repositories and multi-platform images?": "yes",
    }
    assert (lab.folder / "trial.html").read_text("utf-8").count("Open questions") == 1
    assert lab.leftovers() == []
