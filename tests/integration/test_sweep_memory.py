"""A sweep of objects that are as large as etcd takes them: its memory, and its pages."""

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.function_process import FunctionProcess
from sandbox.local_cloud import Services
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.large_cluster import (
    DEPLOYMENTS,
    OBJECT_BYTES,
    PODS,
    LargeCluster,
    make_large_object,
    make_large_spec,
    serve_large_cluster,
)
from tests.integration.test_soak import write
from tests.strategies.envelopes import envelope
from tools.bench.measuring import peak_bytes, post

pytestmark = pytest.mark.integration

SWEEP = "scheduled_sweep"
ANSWER_S = 500.0
LIMIT_BYTES = 256_000_000
SMALL_LIMIT_BYTES = 150_000_000


def sweep(
    server: LargeCluster, folder: Path, archives: Path, python: Path
) -> tuple[Mapping[str, Any], int]:
    """Sweep a cluster in a new instance, and return the log line and the most memory it held."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(server.kubeconfig(GPU_CLUSTER.context)))
    with contextlib.ExitStack() as stack:
        cloud = Services(kubeconfig=kubeconfig).start()
        stack.callback(cloud.stop)
        process = FunctionProcess(
            archives / f"{SWEEP}.zip", folder / SWEEP, python=python, environ=cloud.environ(SWEEP)
        ).start()
        stack.callback(process.stop)
        tick = json.dumps({"cluster": cloud.cluster}).encode()
        # Not through Pub/Sub, which would deliver a tick that takes long again.
        post(process, json.dumps(envelope(tick)).encode(), ANSWER_S)
        line = process.wait_for_line(lambda line: "disposition" in line, 10.0)
        assert line is not None
        assert line["disposition"] == "handled", line
        return line, peak_bytes(process.pid)


def make_lists(workloads: int, spec: Mapping[str, Any]) -> dict[str, tuple[bytes, int]]:
    """Return as many Deployments, and a quarter as many pods."""
    deployment = make_large_object({"replicas": 0, "template": {"spec": spec}})
    pod = make_large_object(spec, status={"phase": "Running"})
    return {DEPLOYMENTS: (deployment, workloads), PODS: (pod, workloads // 4)}


def test_memory_of_a_sweep_is_bounded_by_bytes(
    tmp_path: Path, archives: Path, deployed_python: Path
) -> None:
    spec = make_large_spec(images=1, variables=1_000)
    with serve_large_cluster(make_lists(100, spec)) as server:
        line, peak = sweep(server, tmp_path, archives, deployed_python)

    assert line["workloads"] == 125
    assert peak < SMALL_LIMIT_BYTES


@pytest.mark.soak
def test_memory_of_a_sweep_of_a_thousand_large_workloads_is_bounded(
    tmp_path: Path, archives: Path, deployed_python: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    spec = make_large_spec(images=2, variables=500)
    with serve_large_cluster(make_lists(1_000, spec)) as server:
        line, peak = sweep(server, tmp_path, archives, deployed_python)

    figures = {
        "workloads": line["workloads"],
        "bytes_of_a_workload": OBJECT_BYTES,
        "pages": len(server.pages),
        "images": line["images"],
        "peak_bytes": peak,
        "seconds": round(time.monotonic() - started),
    }
    write("large_workloads", figures, capsys)
    assert line["workloads"] == 1_250
    assert peak < LIMIT_BYTES
