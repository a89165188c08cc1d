"""The reasons for which an audit entry is ignored."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.image_selection import Scope
from shared.errors import InvalidEventError
from tests.fakes.audit_entries import (
    DEPLOYMENT,
    OWNED,
    log_entry,
    owned,
    owner,
    reason_to_ignore,
    workload,
)

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"

Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("method", "resource"),
    [
        pytest.param("io.k8s.core.v1.pods.create", "core/v1/namespaces/ml/pods/a", id="Pod"),
        pytest.param("io.k8s.core.v1.pods.create", "core/v1/namespaces/ml/pods", id="no-name"),
        pytest.param("io.k8s.apps.v1.deployments.create", DEPLOYMENT, id="create"),
        pytest.param("io.k8s.apps.v1.deployments.update", DEPLOYMENT, id="update"),
        pytest.param("io.k8s.apps.v1.deployments.patch", DEPLOYMENT, id="patch"),
        pytest.param(
            "io.k8s.batch.v1.cronjobs.create", "batch/v1/namespaces/ml/cronjobs/a", id="CronJob"
        ),
        pytest.param(
            "io.k8s.core.v1.replicationcontrollers.create",
            "core/v1/namespaces/ml/replicationcontrollers/a",
            id="ReplicationController",
        ),
        pytest.param(
            "io.ray.v1.rayclusters.create", "ray.io/v1/namespaces/ml/rayclusters/a", id="custom"
        ),
        pytest.param(
            "io.x-k8s.jobset.v1alpha2.jobsets.create",
            "jobset.x-k8s.io/v1alpha2/namespaces/ml/jobsets/a",
            id="alpha-version",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.ephemeralcontainers.patch",
            "core/v1/namespaces/ml/pods/a/ephemeralcontainers",
            id="ephemeral-containers",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.create",
            "core/v1/namespaces/gke-training/pods/a",
            id="namespace-like-the-system's",
        ),
    ],
)
def test_writes_of_workloads_are_looked_at(method: str, resource: str) -> None:
    assert reason_to_ignore(log_entry(method, resource)) is None


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param({"status": {"code": 7}}, "the request was refused", id="forbidden"),
        pytest.param({"status": {"code": 3}}, "the request was refused", id="invalid"),
        pytest.param(
            {"response": {"status": "Failure"}}, "the request was refused", id="refused-by-answer"
        ),
        pytest.param({"status": None}, None, id="no-status"),
        pytest.param({"status": {"code": 0}}, None, id="status-0"),
        pytest.param(owned(owner("apps/v1", "ReplicaSet")), OWNED, id="ReplicaSet"),
        pytest.param(owned(owner("apps/v1", "Deployment")), OWNED, id="Deployment"),
        pytest.param(owned(owner("batch/v1", "Job")), OWNED, id="Job"),
        pytest.param(owned(owner("v1", "ReplicationController")), OWNED, id="Controller"),
        pytest.param(
            owned(owner("x/v1", "X", controller=False), owner("apps/v1", "DaemonSet")),
            OWNED,
            id="second-owner",
        ),
        pytest.param(
            {"request": workload(ownerReferences=[owner("apps/v1", "ReplicaSet")])},
            OWNED,
            id="owner-in-the-request",
        ),
        pytest.param(owned(owner("ray.io/v1", "RayCluster")), None, id="custom-owner"),
        pytest.param(owned(owner("apps.example.com/v1", "ReplicaSet")), None, id="own-group"),
        pytest.param(owned(owner("v1", "Node")), None, id="Node"),
        pytest.param(
            owned(owner("apps/v1", "ReplicaSet", controller=False)), None, id="no-controller"
        ),
        pytest.param(
            owned(owner("apps/v1", "ReplicaSet", controller="true")), None, id="text-for-truth"
        ),
        pytest.param(owned(None, "x", owner(["apps/v1"], "Job")), None, id="odd-owners"),
        pytest.param(
            {"response": workload(ownerReferences={"apiVersion": "apps/v1"})}, None, id="no-list"
        ),
        pytest.param(
            {"response": None, "request": None}, "the entry holds no object", id="no-body"
        ),
        pytest.param({"response": {}, "request": {}}, "the entry holds no object", id="empty"),
        pytest.param({"response": "x", "request": [1]}, "the entry holds no object", id="odd-body"),
    ],
)
def test_payload_may_give_a_reason(payload: dict[str, Any], expected: str | None) -> None:
    assert reason_to_ignore(log_entry(**payload)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            lambda entry: entry["labels"].update({"command.gke.io/dryRun": "All"}),
            "the request was a dry run",
            id="dry-run",
        ),
        pytest.param(
            lambda entry: entry["labels"].update({"command.gke.io/dryRun": ""}), None, id="not-dry"
        ),
        pytest.param(
            lambda entry: entry.update(split={"uid": "u", "index": 0, "totalSplits": 3}),
            "the entry is a piece of a split one",
            id="split",
        ),
        pytest.param(lambda entry: entry.update(split=None), None, id="not-split"),
        pytest.param(
            lambda entry: entry["labels"].update({"audit.k8s.io/truncated": "true"}),
            "the bodies were truncated",
            id="truncated",
        ),
        pytest.param(
            lambda entry: entry["protoPayload"].update(serviceName="container.googleapis.com"),
            "the entry is not about a Kubernetes resource",
            id="another-service",
        ),
        pytest.param(
            lambda entry: entry["resource"].update(type="gke_nodepool"),
            "the entry is not about a Kubernetes resource",
            id="another-resource",
        ),
        pytest.param(
            lambda entry: entry.update(jsonPayload={"reason": "x"}, protoPayload=None),
            "the entry is not about a Kubernetes resource",
            id="no-audit-log",
        ),
        pytest.param(lambda entry: entry["protoPayload"].pop("serviceName"), None, id="no-service"),
        pytest.param(lambda entry: entry.pop("labels"), None, id="no-labels"),
    ],
)
def test_entry_may_give_a_reason(change: Change, expected: str | None) -> None:
    entry = log_entry()
    change(entry)

    assert reason_to_ignore(entry) == expected


@pytest.mark.parametrize(
    ("method", "resource", "expected"),
    [
        pytest.param(
            "io.k8s.apps.v1.deployments.delete", DEPLOYMENT, "the verb is delete", id="delete"
        ),
        pytest.param(
            "io.k8s.core.v1.pods.deletecollection",
            "core/v1/namespaces/ml/pods",
            "the verb is deletecollection",
            id="delete-all",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.status.patch",
            "core/v1/namespaces/ml/pods/a/status",
            "the sub-resource status brings no images",
            id="status",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.exec.create",
            "core/v1/namespaces/ml/pods/a/exec",
            "the sub-resource exec brings no images",
            id="exec",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.create",
            "core/v1/namespaces/ml/pods/a/binding",
            "the sub-resource binding brings no images",
            id="binding-in-the-resource-alone",
        ),
        pytest.param(
            "io.k8s.apps.v1.deployments.scale.update",
            f"{DEPLOYMENT}/scale",
            "the sub-resource scale brings no images",
            id="scale",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.create",
            "core/v1/namespaces/kube-system/pods/a",
            "the namespace is one of the system's",
            id="system-namespace",
        ),
        pytest.param(
            "io.k8s.batch.v1.jobs.create",
            "batch/v1/namespaces/prestream/jobs/warm-a",
            "the namespace is our own",
            id="own-namespace",
        ),
        pytest.param(
            "io.k8s.post",
            "healthz",
            "the entry is not about a Kubernetes resource",
            id="no-resource",
        ),
    ],
)
def test_operation_may_give_a_reason(method: str, resource: str, expected: str) -> None:
    assert reason_to_ignore(log_entry(method, resource)) == expected


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        pytest.param("auto", None, id="auto"),
        pytest.param(("gpu",), None, id="name"),
        pytest.param((CLUSTER,), None, id="full-name"),
        pytest.param(("cpu", CLUSTER), None, id="one-of-several"),
        pytest.param(("cpu",), "the cluster is not watched", id="another"),
        pytest.param((CLUSTER.replace("demo", "x"),), "the cluster is not watched", id="project"),
    ],
)
def test_only_watched_clusters_are_looked_at(
    clusters: str | tuple[str, ...], expected: str | None
) -> None:
    assert reason_to_ignore(log_entry(), Scope("prestream", frozenset(), clusters)) == expected


def test_added_container_counts_though_the_pod_has_an_owner() -> None:
    entry = log_entry(
        "io.k8s.core.v1.pods.ephemeralcontainers.patch",
        "core/v1/namespaces/ml/pods/a/ephemeralcontainers",
        **owned(owner("apps/v1", "ReplicaSet")),
    )

    assert reason_to_ignore(entry) is None


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        pytest.param(None, "no cluster", id="no-labels"),
        pytest.param({"project_id": "demo", "location": "l"}, "no cluster", id="one-missing"),
        pytest.param(
            {"project_id": "demo", "location": "l", "cluster_name": ""}, "no cluster", id="empty"
        ),
        pytest.param(
            {"project_id": "demo", "location": "l", "cluster_name": "a/b"}, "cluster", id="slash"
        ),
    ],
)
def test_entry_to_look_at_without_a_cluster_is_poison(
    labels: dict[str, str] | None, problem: str
) -> None:
    entry = log_entry()
    entry["resource"]["labels"] = labels

    with pytest.raises(InvalidEventError, match=problem):
        reason_to_ignore(entry)


def test_entry_that_asks_for_nothing_may_lack_the_cluster() -> None:
    entry = log_entry("io.k8s.apps.v1.deployments.delete")
    entry["resource"]["labels"] = {"project_id": "demo"}

    assert reason_to_ignore(entry) == "the verb is delete"
