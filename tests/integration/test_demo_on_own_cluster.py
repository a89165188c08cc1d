"""``make demo KUBECONFIG=…``: what it applies to a cluster of whichever version."""

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from sandbox.clock import Clock
from sandbox.demo.own_cluster import run_on_own_cluster
from sandbox.fault import Faults
from sandbox.kubernetes.server import KubernetesServer

POLICIES = "mutatingadmissionpolicies.admissionregistration.k8s.io"
REWRITING = "infra/kubernetes/rewriting"


@pytest.mark.parametrize(
    ("version", "policies"),
    [
        pytest.param("v1.36.0-gke.1000", ["prestream-mirrors"], id="with-policies"),
        pytest.param("v1.35.4", [], id="older"),
    ],
)
def test_policy_is_applied_where_the_api_server_knows_its_kind(
    version: str, policies: list[str], archives: Path, deployed_python: Path, tmp_path: Path
) -> None:
    server = KubernetesServer(Clock(), Faults(), version=version).start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(server.kubeconfig("own")), encoding="utf-8")
    build = tmp_path / "build"
    build.mkdir()
    (build / "functions").symlink_to(archives)
    (build / "deployed").symlink_to(deployed_python.parent.parent)
    said = io.StringIO()

    try:
        status = run_on_own_cluster(Console(file=said, width=200), build, kubeconfig)
        found = [body["metadata"]["name"] for body in server.api.list(POLICIES)]
    finally:
        server.stop()

    text = said.getvalue()
    assert (status, found) == (0, policies)
    assert (f"kubectl delete -k {REWRITING}" in text) == bool(policies)
    assert ("prestream rewrite does the same to files" in text) != bool(policies)
