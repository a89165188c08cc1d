"""The embedded API server serves kubectl."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.server import KubernetesServer

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: warm, labels: {app: prestream}}
spec:
  suspend: true
  backoffLimit: 1
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: nginx}]
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


@pytest.fixture
def kubectl(tmp_path: Path) -> Iterator[Run]:
    server = KubernetesServer(Clock(), Faults()).start()
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(json.dumps(server.kubeconfig("embedded")))
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    def run(*arguments: str, sent: str = JOB) -> "subprocess.CompletedProcess[str]":
        command = ["kubectl", "--kubeconfig", str(kubeconfig), *arguments]
        return subprocess.run(  # noqa: S603 - the program is kubectl
            command, input=sent, text=True, capture_output=True, check=False, env=environment
        )

    run("apply", "-f", "-")
    yield run
    server.stop()


def test_apply_changes_an_applied_job(kubectl: Run) -> None:
    changed = kubectl("apply", "-f", "-", sent=JOB.replace("backoffLimit: 1", "backoffLimit: 2"))

    limit = kubectl("get", "job", "warm", "-o", "jsonpath={.spec.backoffLimit}")
    assert (changed.stdout, limit.stdout) == ("job.batch/warm configured\n", "2")


def test_apply_removes_a_label_and_refuses_an_unknown_field(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", sent=JOB.replace(", labels: {app: prestream}", ""))
    refused = kubectl("apply", "-f", "-", sent=JOB.replace("suspend", "suspended"))

    assert kubectl("get", "jobs", "-l", "app=prestream", "-o", "name").stdout == ""
    assert refused.returncode == 1
    assert 'unknown field "spec.suspended"' in refused.stderr


def test_diff_changes_nothing(kubectl: Run) -> None:
    differing = kubectl("diff", "-f", "-", sent=JOB.replace("backoffLimit: 1", "backoffLimit: 2"))

    assert differing.returncode == 1
    assert "+  backoffLimit: 2" in differing.stdout
    assert kubectl("diff", "-f", "-").returncode == 0


@pytest.mark.parametrize(
    ("command", "text"),
    [
        pytest.param("get jobs", "NAME   STATUS      COMPLETIONS   DURATION   AGE", id="get"),
        pytest.param("get jobs --watch --request-timeout=1s", "warm   Suspended", id="watch"),
        pytest.param("describe job warm", "Suspend:          true", id="describe"),
        pytest.param("explain job.spec.suspend", "FIELD: suspend <boolean>", id="explain"),
        pytest.param("api-resources", "configmaps", id="api-resources"),
        pytest.param("label job warm team=ml", "job.batch/warm labeled", id="label"),
        pytest.param("delete job warm", 'job.batch "warm" deleted', id="delete"),
    ],
)
def test_command_succeeds(kubectl: Run, command: str, text: str) -> None:
    answer = kubectl(*command.split())

    assert answer.returncode == 0, answer.stderr
    assert text in answer.stdout
