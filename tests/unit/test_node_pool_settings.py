"""Checks of node pools as the Container API describes them."""

from typing import Any

import pytest

from cli.doctor.check import Check
from cli.doctor.checks.node_pool_settings import check_pool
from shared.domain.cluster import ClusterName
from shared.domain.node_pool import (
    accounts_of,
    has_accelerators,
    is_default_account,
    platform_of,
)

NAME = ClusterName("demo", "us-central1-a", "gpu")
SCOPE = "https://www.googleapis.com/auth/"
GPU = {
    "imageType": "COS_CONTAINERD",
    "machineType": "g2-standard-12",
    "accelerators": [{"acceleratorType": "nvidia-l4", "acceleratorCount": "1"}],
    "oauthScopes": [f"{SCOPE}cloud-platform"],
    "gcfsConfig": {"enabled": True},
}
WITHIN = "--cluster=gpu --location=us-central1-a --project=demo"


def check(config: dict[str, Any], cluster: dict[str, Any] | None = None) -> dict[str, Check]:
    pool = {"name": "l4", "config": config}
    return {each.name: each for each in check_pool(NAME, pool, cluster or {})}


def test_pool_that_can_stream_is_ok() -> None:
    found = check(GPU)

    assert {name: each.verdict for name, each in found.items()} == {
        "streaming-on": "ok",
        "node-image": "ok",
        "node-scopes": "ok",
    }
    assert all(each.fix is None for each in found.values())


STREAMING_BY_DEFAULT = {
    "nodePoolDefaults": {"nodeConfigDefaults": {"gcfsConfig": {"enabled": True}}}
}


@pytest.mark.parametrize(
    ("config", "cluster", "verdict"),
    [
        pytest.param({"gcfsConfig": {"enabled": False}}, {}, "failed", id="off"),
        pytest.param({"gcfsConfig": {}, "accelerators": []}, {}, "warning", id="no-accelerator"),
        pytest.param({"gcfsConfig": None}, {}, "failed", id="off-by-default"),
        pytest.param({"gcfsConfig": None}, STREAMING_BY_DEFAULT, "ok", id="on-by-default"),
    ],
)
def test_pool_with_accelerators_must_stream(
    config: dict[str, Any], cluster: dict[str, Any], verdict: str
) -> None:
    changed = {key: value for key, value in (GPU | config).items() if value is not None}
    found = check(changed, cluster)["streaming-on"]

    assert found.verdict == verdict
    if verdict != "ok":
        assert found.fix == (
            f"gcloud container node-pools update l4 {WITHIN} --enable-image-streaming"
        )


@pytest.mark.parametrize(
    ("image", "verdict"),
    [
        pytest.param("COS_CONTAINERD", "ok", id="cos"),
        pytest.param("cos_containerd", "ok", id="as-older-pools-write-it"),
        pytest.param("UBUNTU_CONTAINERD", "warning", id="ubuntu"),
        pytest.param("COS", "failed", id="docker"),
        pytest.param("WINDOWS_LTSC_CONTAINERD", "failed", id="windows"),
        pytest.param("", "unknown", id="not-set"),
    ],
)
def test_only_the_container_optimized_image_streams(image: str, verdict: str) -> None:
    found = check(GPU | {"imageType": image})["node-image"]

    assert found.verdict == verdict
    if verdict in {"failed", "warning"}:
        assert found.fix == (
            "gcloud container clusters upgrade gpu --node-pool=l4 --location=us-central1-a"
            " --project=demo --image-type=COS_CONTAINERD"
        )


def test_scopes_must_include_reading_images() -> None:
    default = [f"{SCOPE}devstorage.read_only", f"{SCOPE}logging.write"]
    assert check(GPU | {"oauthScopes": default})["node-scopes"].verdict == "ok"

    found = check(GPU | {"oauthScopes": [f"{SCOPE}logging.write"]})["node-scopes"]

    assert found.verdict == "failed"
    assert found.fix is not None
    assert found.fix.startswith("gcloud container node-pools create l4-streaming")
    assert (
        "--machine-type=g2-standard-12 --accelerator=type=nvidia-l4,count=1"
        " --scopes=cloud-platform --enable-image-streaming"
    ) in found.fix


def test_machine_type_of_a_pool_determines_accelerators_and_platform() -> None:
    assert has_accelerators({"config": {"machineType": "ct5lp-hightpu-4t"}})
    assert not has_accelerators({"config": {"machineType": "e2-standard-4"}})
    assert platform_of({"config": {"machineType": "t2a-standard-4"}}) == "linux/arm64"
    assert platform_of({"config": {"machineType": "a3-highgpu-8g"}}) == "linux/amd64"


def test_default_account_has_two_names() -> None:
    assert is_default_account("default")
    assert is_default_account("1234-compute@developer.gserviceaccount.com")
    assert not is_default_account("nodes@demo.iam.gserviceaccount.com")


def test_accounts_include_those_of_auto_provisioning() -> None:
    pools = [{"config": {"serviceAccount": "a@x"}}, {"config": {"serviceAccount": "a@x"}}]
    made = {"serviceAccount": "b@x"}

    assert accounts_of({"nodePools": pools}) == ["a@x"]
    assert accounts_of(
        {
            "nodePools": pools,
            "autoscaling": {
                "enableNodeAutoprovisioning": True,
                "autoprovisioningNodePoolDefaults": made,
            },
        }
    ) == ["a@x", "b@x"]
    assert accounts_of({"autopilot": {"enabled": True}}) == ["default"]
