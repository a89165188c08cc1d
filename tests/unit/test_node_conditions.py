"""Checks of nodes: their labels and their conditions."""

from typing import Any

import pytest

from cli.doctor.checks.node_conditions import STREAMING_LABEL, check_nodes, platforms_of
from cli.doctor.response import Unavailable
from shared.domain.cluster import ClusterName

NAME = ClusterName("demo", "us-central1", "gpu")


def node(
    name: str, pool: str = "l4", *, streams: bool = True, condition: str | None = None
) -> dict[str, Any]:
    labels = {"cloud.google.com/gke-nodepool": pool, "topology.kubernetes.io/zone": "us-central1-b"}
    if streams:
        labels[STREAMING_LABEL] = "true"
    conditions = [{"type": "Ready", "status": "True"}]
    if condition:
        conditions.append({"type": condition, "status": "True", "message": "restarted 5 times"})
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "conditions": conditions,
            "nodeInfo": {"operatingSystem": "linux", "architecture": "arm64"},
        },
    }


def test_nodes_with_the_label_stream() -> None:
    (found,) = check_nodes(NAME, [node("a"), node("b")])

    assert (found.verdict, found.fix) == ("ok", None)


def test_node_that_is_older_than_the_setting_has_to_be_made_anew() -> None:
    (found,) = check_nodes(NAME, [node("a"), node("b", streams=False)])

    assert found.verdict == "failed"
    assert found.finding.startswith("b of 2 nodes do not stream")
    assert found.fix == (
        "kubectl --context=gke_demo_us-central1_gpu drain b --ignore-daemonsets"
        " --delete-emptydir-data"
        " && gcloud compute instances delete b --zone=us-central1-b --project=demo"
    )


def test_pool_without_streaming_is_reported_once() -> None:
    nodes = [node("a"), node("b", "cpu", streams=False)]

    assert [each.subject for each in check_nodes(NAME, nodes, ["cpu"])] == [
        "nodes of pool l4 in cluster gpu"
    ]


@pytest.mark.parametrize(
    "condition",
    [
        "FrequentGcfsSnapshotterRestart",
        "FrequentGcfsdRestart",
        "GcfsSnapshotterMissingLayer",
        "SecondaryBootDiskMissingLayer",
    ],
)
def test_node_with_a_streaming_problem_fails(condition: str) -> None:
    _, found = check_nodes(NAME, [node("a", condition=condition)])

    assert (found.name, found.verdict) == ("node-condition", "failed")
    assert "restarted 5 times" in found.finding


def test_other_conditions_are_ignored() -> None:
    assert len(list(check_nodes(NAME, [node("a", condition="DiskPressure")]))) == 1


def test_nodes_that_are_not_there_or_not_seen_are_unknown() -> None:
    (absent,) = check_nodes(NAME, [])
    (unseen,) = check_nodes(NAME, Unavailable("nodes", "403"))

    assert (absent.verdict, unseen.verdict) == ("unknown", "unknown")


def test_platforms_are_those_of_the_nodes() -> None:
    assert platforms_of([node("a"), {"status": {}}]) == {"linux/arm64"}
