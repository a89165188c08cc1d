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


def test_pool_with_accelerators_must_stream() -> None:
    found = check(GPU | {"gcfsConfig": {"enabled": False}})["streaming-on"]

    assert (found.verdict, found.fix) == (
        "failed",
        f"gcloud container node-pools update l4 {WITHIN} --enable-image-streaming",
    )


def test_pool_without_accelerators_should_stream() -> None:
    config = GPU | {"gcfsConfig": {}, "accelerators": []}

    assert check(config)["streaming-on"].verdict == "warning"


def test_pool_inherits_the_settings_of_the_cluster() -> None:
    config = {key: value for key, value in GPU.items() if key != "gcfsConfig"}
    on = {"nodePoolDefaults": {"nodeConfigDefaults": {"gcfsConfig": {"enabled": True}}}}

    assert check(config, on)["streaming-on"].verdict == "ok"
    assert check(config)["streaming-on"].verdict == "failed"


@pytest.mark.parametrize(
    ("image", "verdict"),
    [
        pytest.param("COS_CONTAINERD", "ok", id="cos"),
        pytest.param("cos_containerd", "ok", id="as-older-pools-write-it"),
        pytest.param("UBUNTU_CONTAINERD", "failed", id="ubuntu"),
        pytest.param("COS", "failed", id="docker"),
        pytest.param("", "unknown", id="not-said"),
    ],
)
def test_only_the_container_optimized_image_streams(image: str, verdict: str) -> None:
    assert check(GPU | {"imageType": image})["node-image"].verdict == verdict


def test_command_changes_the_image_of_the_nodes() -> None:
    assert check(GPU | {"imageType": "UBUNTU_CONTAINERD"})["node-image"].fix == (
        "gcloud container clusters upgrade gpu --node-pool=l4 --location=us-central1-a"
        " --project=demo --image-type=COS_CONTAINERD"
    )


def test_default_scopes_of_gke_do() -> None:
    scopes = [f"{SCOPE}devstorage.read_only", f"{SCOPE}logging.write"]

    assert check(GPU | {"oauthScopes": scopes})["node-scopes"].verdict == "ok"


def test_scopes_that_read_no_images_need_another_pool() -> None:
    found = check(GPU | {"oauthScopes": [f"{SCOPE}logging.write"]})["node-scopes"]

    assert found.verdict == "failed"
    assert found.fix is not None
    assert found.fix.startswith("gcloud container node-pools create l4-streaming")
    assert (
        "--machine-type=g2-standard-12 --accelerator=type=nvidia-l4,count=1"
        " --scopes=cloud-platform --enable-image-streaming"
    ) in found.fix


def test_pools_are_recognized_by_their_machine_types() -> None:
    assert has_accelerators({"config": {"machineType": "ct5lp-hightpu-4t"}})
    assert not has_accelerators({"config": {"machineType": "e2-standard-4"}})
    assert platform_of({"config": {"machineType": "t2a-standard-4"}}) == "linux/arm64"
    assert platform_of({"config": {"machineType": "a3-highgpu-8g"}}) == "linux/amd64"


def test_default_account_goes_by_two_names() -> None:
    assert is_default_account("default")
    assert is_default_account("1234-compute@developer.gserviceaccount.com")
    assert not is_default_account("nodes@demo.iam.gserviceaccount.com")


def test_pools_that_are_made_by_themselves_have_an_account_too() -> None:
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
