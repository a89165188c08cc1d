"""Clusters that are reached through a kubeconfig."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.kubernetes.server import KubernetesServer
from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.domain.cluster import ClusterName
from shared.errors import ConfigurationError
from tests.fakes.clusters import GPU_CLUSTER

SOMEBODY = "a-token-of-nobody"


pytestmark = pytest.mark.integration

OTHER = ClusterName("demo", "europe-west4-b", "batch")


def merge(*configs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kubeconfig with the contexts of several."""
    parts = ("clusters", "users", "contexts")
    return {
        **configs[0],
        **{part: [each for one in configs for each in one[part]] for part in parts},
    }


def read_nodes(path: Path | str, name: ClusterName = GPU_CLUSTER) -> list[Any]:
    directory = ClusterDirectory(Endpoints(kubeconfig=str(path)), namespace="prestream")
    return list(directory.connect(name).list_nodes())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


def test_context_is_the_one_that_gcloud_names_after_the_cluster(
    kubernetes: KubernetesServer, path: Path
) -> None:
    right = kubernetes.kubeconfig("gke_demo_us-central1_gpu")
    wrong = kubernetes.kubeconfig("gke_demo_europe-west4-b_batch", SOMEBODY)
    path.write_text(yaml.safe_dump(merge(wrong, right)))

    assert read_nodes(path, GPU_CLUSTER) == []
    with pytest.raises(ConfigurationError, match="401"):
        read_nodes(path, OTHER)


@pytest.mark.parametrize("name", ["kind-test", "gke_demo_europe-west4-b_batch"])
def test_single_context_serves_under_any_name(
    kubernetes: KubernetesServer, path: Path, name: str
) -> None:
    path.write_text(yaml.safe_dump(kubernetes.kubeconfig(name)))

    assert read_nodes(path) == []


@pytest.mark.parametrize("current", ["kind-a", "", None])
def test_several_contexts_of_other_names_are_no_way_to_a_cluster(
    kubernetes: KubernetesServer, path: Path, current: str | None
) -> None:
    config = merge(kubernetes.kubeconfig("kind-b"), kubernetes.kubeconfig("kind-a"))
    path.write_text(yaml.safe_dump({**config, "current-context": current}))

    with pytest.raises(ConfigurationError) as caught:
        read_nodes(path)

    assert "gke_demo_us-central1_gpu" in str(caught.value)
    assert "kind-a, kind-b" in str(caught.value)


def test_no_current_context_is_needed(kubernetes: KubernetesServer, path: Path) -> None:
    config = merge(kubernetes.kubeconfig(GPU_CLUSTER.context), kubernetes.kubeconfig("kind-a"))
    del config["current-context"]
    path.write_text(yaml.safe_dump(config))

    assert read_nodes(path) == []


def test_several_files_are_read_as_kubectl_reads_them(
    kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text(yaml.safe_dump(kubernetes.kubeconfig("kind-a", SOMEBODY)))
    second.write_text(yaml.safe_dump(kubernetes.kubeconfig(GPU_CLUSTER.context)))

    assert read_nodes(f"{first}:{second}") == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"contexts: [", id="no-yaml"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"text", id="text"),
        pytest.param(b"apiVersion: v1\nkind: Config\n", id="no-context"),
        pytest.param(b"contexts:\n- nameless: x\n", id="nameless"),
        pytest.param(b"contexts:\n- name: x\n", id="context-of-nothing"),
        pytest.param(
            b"contexts:\n- name: x\n  context: {cluster: y, user: z}\nclusters: []\nusers: []\n",
            id="cluster-missing",
        ),
        pytest.param(b"\xff\xfe\x00", id="binary"),
    ],
)
def test_file_that_is_no_kubeconfig_is_a_fault_of_the_deployment(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="KUBECONFIG"):
        read_nodes(path)


def test_path_without_a_file_is_a_fault_of_the_deployment(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_nodes(path)
    with pytest.raises(ConfigurationError, match="cannot use KUBECONFIG"):
        read_nodes(path.parent)


def test_kubeconfig_replaces_the_container_api(kubernetes: KubernetesServer, path: Path) -> None:
    path.write_text(yaml.safe_dump(kubernetes.kubeconfig("kind-a")))
    endpoints = Endpoints(kubeconfig=str(path), gke="127.0.0.1:1")

    cluster = ClusterDirectory(endpoints, namespace="prestream").connect(GPU_CLUSTER)

    assert list(cluster.list_nodes()) == []


def test_connection_of_a_context_is_kept(kubernetes: KubernetesServer, path: Path) -> None:
    path.write_text(yaml.safe_dump(kubernetes.kubeconfig("kind-a")))
    directory = ClusterDirectory(Endpoints(kubeconfig=str(path)), namespace="prestream")

    assert directory.connect(GPU_CLUSTER) is directory.connect(ClusterName.parse(str(GPU_CLUSTER)))
    assert directory.connect(OTHER).name == OTHER


def test_accounts_are_unknown(kubernetes: KubernetesServer, path: Path) -> None:
    path.write_text(yaml.safe_dump(kubernetes.kubeconfig("kind-test")))
    directory = ClusterDirectory(Endpoints(kubeconfig=str(path)), namespace="prestream")

    assert directory.connect(GPU_CLUSTER).accounts is None
