"""``make playground``: commands and kubectl reach the local cloud from another process."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.archives import ROOT

pytestmark = pytest.mark.integration

IMAGE = "registry.k8s.io/dra-example-driver/dra-example-driver:v0.1.0"
TIMEOUT_S = 120.0


@dataclass
class Playground:
    process: "subprocess.Popen[str]"
    file: Path
    exports: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        environ = {
            "HOME": str(self.file.parent),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **self.exports,
        }
        return subprocess.run(  # noqa: S603  # our own command, or kubectl
            command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    def prestream(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.run(sys.executable, "-P", "-m", "cli", *arguments)


@pytest.fixture(scope="module")
def playground(
    archives: Path, deployed_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playground]:
    assert archives.exists()
    assert deployed_python.exists()
    file = tmp_path_factory.mktemp("playground") / "env"
    process = subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", "sandbox.playground", str(file)],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    started = Playground(process, file)
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                started.exports[name] = value
            if "Ctrl-C" in line:
                break
        yield started
        if process.poll() is None:
            process.kill()


def test_image_in_use_becomes_warm(playground: Playground) -> None:
    ended = playground.prestream("wait", IMAGE, "--timeout", "100s", "--json")

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("status", 0),
        ("warm alpine:3.20 --wait --timeout 100s", 0),
        ("doctor", 0),
        ("report", 0),
        ("plan", 0),
        ("policy --status", 0),
    ],
)
def test_command_works_from_another_process(
    playground: Playground, command: str, code: int
) -> None:
    ended = playground.prestream(*command.split(), "--json")

    assert ended.returncode == code, ended.stderr
    assert json.loads(ended.stdout)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubectl_reads_the_cluster_and_scales_a_workload(playground: Playground) -> None:
    jobs = playground.run("kubectl", "get", "jobs", "-n", "prestream")
    patch = '{"spec": {"replicas": 2}}'
    patched = playground.run("kubectl", "patch", "deployment", "test", "-n", "ml", "-p", patch)

    assert "warm-dra-example-driver" in jobs.stdout, jobs.stderr
    assert patched.returncode == 0, patched.stderr


def test_file_for_the_shell_holds_the_printed_exports(playground: Playground) -> None:
    read = playground.run("sh", "-c", f". {playground.file} && echo $KUBECONFIG")

    assert read.stdout.strip() == playground.exports["KUBECONFIG"]


def test_signal_ends_it_and_removes_everything(playground: Playground) -> None:
    playground.process.send_signal(signal.SIGINT)

    assert playground.process.wait(TIMEOUT_S) == 0
    assert not playground.file.exists()
    assert not Path(playground.exports["KUBECONFIG"]).parent.exists()
