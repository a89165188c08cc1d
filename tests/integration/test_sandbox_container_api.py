"""The sandbox's Container API: clusters as GKE describes them."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from cryptography import x509

from sandbox.clock import Clock
from sandbox.container_api import ContainerApi
from sandbox.fault import Fault, Faults

PARENT = "/v1/projects/demo/locations"
GPU = {
    "name": "gpu",
    "location": "us-central1",
    "controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"allowExternalTraffic": True}},
    "nodePools": [
        {
            "name": "l4",
            "autoscaling": {"enabled": True, "maxNodeCount": 4},
            "config": {
                "accelerators": [{"acceleratorCount": "1", "acceleratorType": "nvidia-l4"}],
                "gcfsConfig": {"enabled": True},
                "labels": {"team": "ml"},
                "taints": [{"key": "team", "value": "ml", "effect": "NO_SCHEDULE"}],
            },
        },
        {"name": "default-pool", "initialNodeCount": 2},
    ],
}


@dataclass(frozen=True)
class Sandbox:
    faults: Faults
    api: ContainerApi
    http: requests.Session

    def get(self, path: str) -> requests.Response:
        return self.http.get(f"http://{self.api.address}{PARENT}/{path}", timeout=10)

    def names(self, location: str) -> list[str]:
        answer: dict[str, Any] = self.get(f"{location}/clusters").json()
        return [cluster["name"] for cluster in answer.get("clusters", [])]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    faults = Faults()
    api = ContainerApi(Clock(), faults).start()
    api.add_cluster(GPU)
    with requests.Session() as http:
        yield Sandbox(faults, api, http)
    api.stop()


def error_of(answer: requests.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["message"]
    return answer.status_code, error["status"]


def test_a_cluster_has_what_is_given_and_what_every_running_cluster_has(
    sandbox: Sandbox,
) -> None:
    cluster = sandbox.get("us-central1/clusters/gpu").json()

    dns = cluster["controlPlaneEndpointsConfig"]["dnsEndpointConfig"]
    assert dns["allowExternalTraffic"]
    assert dns["endpoint"].endswith(".us-central1.gke.goog")
    assert cluster["status"] == "RUNNING"
    assert cluster["locations"] == ["us-central1-a", "us-central1-b", "us-central1-c"]
    assert cluster["currentNodeCount"] == 9
    authority = base64.b64decode(cluster["masterAuth"]["clusterCaCertificate"])
    constraints = x509.load_pem_x509_certificate(authority).extensions[0].value
    assert constraints == x509.BasicConstraints(ca=True, path_length=None)


def test_what_is_given_wins_over_what_would_be_filled_in(sandbox: Sandbox) -> None:
    name = sandbox.api.add_cluster(
        {
            "name": "auto",
            "location": "us-central1",
            "endpoint": "127.0.0.1:6443",
            "autopilot": {"enabled": True},
            "masterAuth": {"clusterCaCertificate": "QQ=="},
        }
    )

    cluster = sandbox.get("us-central1/clusters/auto").json()

    assert name == "projects/demo/locations/us-central1/clusters/auto"
    assert cluster["endpoint"] == "127.0.0.1:6443"
    assert cluster["autopilot"] == {"enabled": True}
    assert cluster["masterAuth"] == {"clusterCaCertificate": "QQ=="}
    assert cluster["nodePools"] == []


def test_clusters_are_listed_by_location_or_all_together(sandbox: Sandbox) -> None:
    sandbox.api.add_cluster({"name": "zonal", "location": "europe-west4-a"})
    sandbox.api.add_cluster({"name": "foreign", "location": "us-central1"}, project="other")

    assert sandbox.names("-") == ["zonal", "gpu"]
    assert sandbox.names("us-central1") == ["gpu"]
    assert sandbox.names("us-east1") == []
    zonal = sandbox.get("europe-west4-a/clusters/zonal").json()
    assert zonal["locations"] == ["europe-west4-a"]
    assert "/zones/europe-west4-a/" in zonal["selfLink"]


def test_node_pools_can_be_read_on_their_own(sandbox: Sandbox) -> None:
    pools = sandbox.get("us-central1/clusters/gpu/nodePools").json()["nodePools"]
    pool = sandbox.get("us-central1/clusters/gpu/nodePools/l4").json()

    assert [p["name"] for p in pools] == ["l4", "default-pool"]
    assert pool["config"]["accelerators"][0]["acceleratorType"] == "nvidia-l4"
    assert pool["config"]["gcfsConfig"] == {"enabled": True}
    assert pool["config"]["imageType"] == "COS_CONTAINERD"
    assert pool["autoscaling"]["maxNodeCount"] == 4


@pytest.mark.parametrize("path", ["us-east1/clusters/gpu", "us-central1/clusters/gpu/nodePools/t4"])
def test_what_does_not_exist_is_not_found(sandbox: Sandbox, path: str) -> None:
    assert error_of(sandbox.get(path)) == (404, "NOT_FOUND")


def test_a_removed_cluster_is_gone(sandbox: Sandbox) -> None:
    sandbox.api.remove_cluster("projects/demo/locations/us-central1/clusters/gpu")

    assert sandbox.names("-") == []


def test_faults_hit_the_calls_they_name(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("container", call="clusters$", status=403))

    assert error_of(sandbox.get("-/clusters")) == (403, "PERMISSION_DENIED")
    assert sandbox.get("us-central1/clusters/gpu").status_code == 200
