"""Manifests of an earlier version: a sweep logs them, and nothing fails."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.domain.manifests_version import MANIFESTS_VERSION, VERSION_LABEL, read_version
from shared.errors import ClusterRefusedError, TransientError
from shared.pipeline.sweep.sweep_cluster import find_outdated
from shared.settings.keys import Settings
from tests.fakes.clusters import FakeCluster

BASE = Path(__file__).parents[2] / "infra" / "kubernetes" / "base"
SETTINGS = Settings(project="demo", deployment_project="demo")


def make_namespace(version: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {VERSION_LABEL: version}}}


def test_manifests_carry_the_version_that_the_release_needs() -> None:
    body = yaml.safe_load((BASE / "namespace.yaml").read_text("utf-8"))

    assert read_version(body) == MANIFESTS_VERSION


@pytest.mark.parametrize(
    ("namespace", "version"),
    [
        (make_namespace("7"), 7),
        (make_namespace("x"), 1),
        (make_namespace(7), 1),
        ({"metadata": {}}, 1),
        (None, 1),
    ],
)
def test_version_is_a_label_of_the_namespace(
    namespace: dict[str, Any] | None, version: int
) -> None:
    assert read_version(namespace) == version


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param(MANIFESTS_VERSION, None, id="current"),
        pytest.param(MANIFESTS_VERSION + 1, None, id="newer"),
        pytest.param(MANIFESTS_VERSION - 1, MANIFESTS_VERSION - 1, id="older"),
    ],
)
def test_sweep_reports_older_manifests(version: int, expected: int | None) -> None:
    cluster = FakeCluster()
    cluster.namespace = make_namespace(str(version))

    found = find_outdated(cluster, SETTINGS).get("outdated_manifests")

    assert (found and found["version"]) == expected
    assert found is None or "kubectl --context=gke_demo_us-central1_gpu apply" in found["hint"]


def test_missing_right_means_the_first_version() -> None:
    cluster = FakeCluster()
    cluster.fail("fetch_namespace", ClusterRefusedError("403"))

    assert find_outdated(cluster, SETTINGS)["outdated_manifests"]["version"] == 1


def test_cluster_that_does_not_answer_is_not_outdated() -> None:
    cluster = FakeCluster()
    cluster.fail("fetch_namespace", TransientError("503"))

    with pytest.raises(TransientError):
        find_outdated(cluster, SETTINGS)
