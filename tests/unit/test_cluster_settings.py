"""Checks of clusters as the Container API describes them."""

from typing import Any

import pytest

from cli.doctor import google_requests
from cli.doctor.checks.cluster_settings import (
    check_default,
    check_logging,
    check_private_access,
    check_public_nodes,
    private_subnetworks,
)
from cli.doctor.response import Response, Unavailable
from shared.domain.cluster import ClusterName

NAME = ClusterName("demo", "us-central1", "gpu")
ON = {"nodePoolDefaults": {"nodeConfigDefaults": {"gcfsConfig": {"enabled": True}}}}
PROVISIONS = {"autoscaling": {"enableNodeAutoprovisioning": True}}
LOOK = google_requests.subnetwork("net", "us-central1", "nodes")


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        pytest.param(ON, "ok", id="on"),
        pytest.param({"autopilot": {"enabled": True}}, "ok", id="autopilot"),
        pytest.param({}, "warning", id="off"),
        pytest.param(PROVISIONS, "failed", id="off-and-pools-are-made-by-themselves"),
        pytest.param(ON | PROVISIONS, "ok", id="on-and-pools-are-made-by-themselves"),
    ],
)
def test_streaming_is_on_by_default_for_new_pools(body: dict[str, Any], verdict: str) -> None:
    found = check_default(NAME, body)

    assert found.verdict == verdict
    assert found.fix == (
        None
        if verdict == "ok"
        else "gcloud container clusters update gpu --location=us-central1 --project=demo"
        " --enable-image-streaming"
    )


def components(*names: str) -> dict[str, Any]:
    return {"loggingConfig": {"componentConfig": {"enableComponents": list(names)}}}


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        pytest.param(components("SYSTEM_COMPONENTS", "WORKLOADS"), "ok", id="on"),
        pytest.param({"loggingService": "logging.googleapis.com/kubernetes"}, "ok", id="older"),
        pytest.param(components("APISERVER"), "failed", id="without-the-system"),
        pytest.param(components() | {"loggingService": "none"}, "failed", id="off"),
        pytest.param({"loggingService": "none"}, "failed", id="older-and-off"),
        pytest.param({}, "unknown", id="not-set"),
    ],
)
def test_logging_of_system_components(body: dict[str, Any], verdict: str) -> None:
    assert check_logging(NAME, body).verdict == verdict


def test_command_keeps_what_is_logged_already() -> None:
    fix = check_logging(NAME, components("APISERVER", "WORKLOADS")).fix

    assert fix is not None
    assert fix.endswith("--logging=SYSTEM,API_SERVER,WORKLOAD")


@pytest.mark.parametrize(
    ("reading", "verdict", "words"),
    [
        pytest.param({"privateIpGoogleAccess": True}, "ok", "", id="on"),
        pytest.param(
            {"privateIpGoogleAccess": False},
            "failed",
            "gcloud compute networks subnets update nodes --region=us-central1 --project=net"
            " --enable-private-ip-google-access",
            id="off",
        ),
        pytest.param(
            Unavailable("x", "403", "compute.subnetworks.get"),
            "unknown",
            "compute.subnetworks.get",
            id="unseen",
        ),
    ],
)
def test_private_nodes_need_private_google_access(
    reading: Response, verdict: str, words: str
) -> None:
    found = check_private_access(LOOK, reading)

    assert found.verdict == verdict
    assert words in f"{found.finding} {found.fix}"


def test_check_reads_only_subnetworks_of_private_nodes() -> None:
    shared = "projects/net/regions/us-central1/subnetworks/nodes"
    body = {
        "networkConfig": {"subnetwork": shared},
        "nodePools": [
            {"networkConfig": {"enablePrivateNodes": True}},
            {"networkConfig": {"enablePrivateNodes": True, "subnetwork": f"x/{shared}-2"}},
            {"networkConfig": {"enablePrivateNodes": False, "subnetwork": "public"}},
        ],
    }

    assert private_subnetworks(NAME, body) == [
        LOOK,
        google_requests.subnetwork("net", "us-central1", "nodes-2"),
    ]


def test_pools_of_a_private_cluster_are_private() -> None:
    body = {
        "privateClusterConfig": {"enablePrivateNodes": True},
        "subnetwork": "default",
        "nodePools": [{"name": "a"}],
    }

    assert private_subnetworks(NAME, body) == [
        google_requests.subnetwork("demo", "us-central1", "default")
    ]


def test_nodes_that_are_not_private_need_nothing() -> None:
    assert private_subnetworks(NAME, {"subnetwork": "default", "nodePools": [{}]}) == []
    assert check_public_nodes(NAME).verdict == "ok"
