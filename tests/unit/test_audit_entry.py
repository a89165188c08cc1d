"""What an entry of GKE's audit log asks for, or why it asks for nothing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.image_selection import Scope
from shared.domain.placement import Placement
from shared.domain.request import Cause
from shared.domain.workload import find_pod_specs
from shared.errors import InvalidEventError
from shared.messages.audit_entry import LogEntry
from shared.messages.audit_method import Operation
from shared.messages.pubsub_message import PubsubMessage

SCOPE = Scope("prestream", frozenset({"kube-system", "gke-gmp-system"}))
DEPLOYMENT = "apps/v1/namespaces/ml/deployments/trainer"
CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"

Change = Callable[[dict[str, Any]], object]


def workload(image: str = "a/b", **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "trainer", **metadata},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}},
    }


def log_entry(
    method: str = "io.k8s.apps.v1.deployments.create",
    resource: str = DEPLOYMENT,
    **payload: Any,
) -> dict[str, Any]:
    bodies = {"request": workload(), "response": workload()}
    return {
        "insertId": "i-1",
        "logName": "projects/demo/logs/cloudaudit.googleapis.com%2Factivity",
        "resource": {
            "type": "k8s_cluster",
            "labels": {"project_id": "demo", "location": "us-central1", "cluster_name": "gpu"},
        },
        "labels": {"authorization.k8s.io/decision": "allow"},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "k8s.io",
            "methodName": method,
            "resourceName": resource,
            "authenticationInfo": {"principalEmail": "ada@example.com"},
            "status": {},
            **bodies,
            **payload,
        },
    }


def read(entry: Any) -> LogEntry:
    raw = entry if isinstance(entry, bytes) else json.dumps(entry).encode()
    return LogEntry.from_message(PubsubMessage("m-1", datetime(2026, 3, 2, tzinfo=UTC), raw))


def reason(entry: Any, scope: Scope = SCOPE) -> str | None:
    return read(entry).reason_to_ignore(scope)


def images_of(entry: LogEntry) -> list[str]:
    return [image.text for pod in find_pod_specs(entry.body) for image in pod.images]


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
    assert reason(log_entry(method, resource)) is None


def owner(api_version: Any, kind: str, *, controller: Any = True) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": "o", "controller": controller}


def owned(*owners: Any) -> dict[str, Any]:
    return {"response": workload(ownerReferences=list(owners)), "request": workload()}


OWNED = "the object belongs to a built-in controller, whose own was seen"


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
def test_the_payload_may_give_a_reason(payload: dict[str, Any], expected: str | None) -> None:
    assert reason(log_entry(**payload)) == expected


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
def test_the_entry_may_give_a_reason(change: Change, expected: str | None) -> None:
    entry = log_entry()
    change(entry)

    assert reason(entry) == expected


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
def test_the_operation_may_give_a_reason(method: str, resource: str, expected: str) -> None:
    assert reason(log_entry(method, resource)) == expected


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
    assert reason(log_entry(), Scope("prestream", frozenset(), clusters)) == expected


def test_an_added_container_counts_though_the_pod_has_an_owner() -> None:
    entry = log_entry(
        "io.k8s.core.v1.pods.ephemeralcontainers.patch",
        "core/v1/namespaces/ml/pods/a/ephemeralcontainers",
        **owned(owner("apps/v1", "ReplicaSet")),
    )

    assert reason(entry) is None


STATUS = {"@type": "core.k8s.io/v1.Status", "kind": "Status", "status": "Success"}
DELTA = {"@type": "k8s.io/Patch", **workload("from/patch")}


@pytest.mark.parametrize(
    ("verb", "payload", "expected"),
    [
        pytest.param(
            "create",
            {"request": workload("from/request"), "response": workload("from/response")},
            ["from/response"],
            id="response-first",
        ),
        pytest.param(
            "create",
            {"request": workload("from/request"), "response": None},
            ["from/request"],
            id="no-response",
        ),
        pytest.param(
            "update",
            {"request": workload("from/request"), "response": STATUS},
            ["from/request"],
            id="another-answer",
        ),
        pytest.param(
            "create",
            {"request": workload("from/request"), "response": {"kind": "Table", "rows": []}},
            ["from/request"],
            id="table",
        ),
        pytest.param(
            "create",
            {"request": workload("from/request"), "response": {"spec": workload("x/y")["spec"]}},
            ["x/y"],
            id="response-without-kind",
        ),
        pytest.param(
            "patch",
            {"request": DELTA, "response": workload("from/response")},
            ["from/response"],
            id="patch",
        ),
        pytest.param("patch", {"request": DELTA, "response": None}, [], id="delta-alone"),
        pytest.param("patch", {"request": DELTA, "response": STATUS}, [], id="delta-and-status"),
        pytest.param(
            "patch", {"request": [{"op": "replace"}], "response": None}, [], id="JSON-patch"
        ),
    ],
)
def test_the_object_is_the_response_or_else_the_request(
    verb: str, payload: dict[str, Any], expected: list[str]
) -> None:
    entry = read(log_entry(f"io.k8s.apps.v1.deployments.{verb}", **payload))

    assert images_of(entry) == expected


def test_a_patch_without_the_object_is_ignored() -> None:
    entry = log_entry("io.k8s.apps.v1.deployments.patch", request=DELTA, response=None)

    assert reason(entry) == "the entry holds no object"


def test_a_request_carries_what_the_workload_said_reduced_to_the_keys() -> None:
    body = workload("anyscale/ray-ml:2.7.0")
    body["spec"]["template"]["spec"] |= {
        "nodeSelector": {"accelerator": "l4", "team": "vision", "kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "team", "operator": "Exists"}, {"operator": "Exists"}],
    }
    entry = read(log_entry(response=body))

    (request,) = entry.requests(find_pod_specs(entry.body), frozenset({"accelerator"}))

    assert request.image == "anyscale/ray-ml:2.7.0"
    assert request.cluster == CLUSTER
    assert request.placement == Placement.of({"accelerator": "l4"})
    assert request.platform == "linux/amd64"
    assert request.cause == Cause("audit_log", "i-1", DEPLOYMENT)
    assert not request.force


def test_who_made_the_request_is_not_kept() -> None:
    assert "ada@example.com" not in repr(read(log_entry()))


def test_an_entry_without_insert_id_is_known_by_its_message() -> None:
    entry = log_entry()
    del entry["insertId"]

    assert read(entry).cause.id == "m-1"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "not a LogEntry", id="empty"),
        pytest.param(b"text", "not a LogEntry", id="text"),
        pytest.param(b"\xff", "not a LogEntry", id="binary"),
        pytest.param(b'{"insertId": "\xff"}', "not a LogEntry", id="not-utf-8"),
        pytest.param(b'{"insertId": "\\ud800"}', "not a LogEntry", id="half-a-surrogate"),
        pytest.param([], "object", id="list"),
        pytest.param(None, "object", id="null"),
        pytest.param({}, "resource", id="no-fields"),
        pytest.param({"insertId": "i"}, "resource", id="no-resource"),
        pytest.param({"resource": {"type": "k8s_cluster"}}, "it has no payload", id="no-payload"),
        pytest.param(
            b'{"resource": {"type": "k8s_cluster"}, "protoPayload": {"request": ' + b"[" * 100_000,
            "not a LogEntry",
            id="nested-without-end",
        ),
    ],
)
def test_what_is_no_log_entry_is_poison(data: Any, problem: str) -> None:
    with pytest.raises(InvalidEventError, match=problem):
        read(data)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda e: e.update(insertId=5), r"\$\.insertId", id="insertId"),
        pytest.param(lambda e: e.update(labels=[]), r"\$\.labels", id="labels"),
        pytest.param(lambda e: e.update(split="1/2"), r"\$\.split", id="split"),
        pytest.param(lambda e: e.update(resource="x"), r"\$\.resource", id="resource"),
        pytest.param(lambda e: e["resource"].pop("type"), "type", id="no-type"),
        pytest.param(lambda e: e["resource"].update(type=1), r"resource\.type", id="type"),
        pytest.param(lambda e: e["resource"].update(labels=1), "labels", id="resource-labels"),
        pytest.param(lambda e: e.update(protoPayload=[]), r"\$\.protoPayload", id="payload"),
        pytest.param(lambda e: e["protoPayload"].update(status="x"), "status", id="status"),
        pytest.param(lambda e: e["protoPayload"].update(methodName=1), "methodName", id="method"),
        pytest.param(lambda e: e["protoPayload"].pop("methodName"), "lacks", id="no-method"),
        pytest.param(lambda e: e["protoPayload"].pop("resourceName"), "lacks", id="no-name"),
        pytest.param(
            lambda e: e["protoPayload"].update(resourceName="x"), "does not fit", id="odd-name"
        ),
        pytest.param(
            lambda e: e["protoPayload"].update(resourceName="apps/v1/namespaces/a/daemonsets/b"),
            "does not fit",
            id="name-of-another",
        ),
        pytest.param(
            lambda e: e["protoPayload"].update(resourceName="apps/v2/namespaces/a/deployments/b"),
            "does not fit",
            id="name-of-another-version",
        ),
    ],
)
def test_an_entry_with_impossible_fields_is_poison(change: Change, problem: str) -> None:
    entry = log_entry()
    change(entry)

    with pytest.raises(InvalidEventError, match=problem):
        read(entry)


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
def test_an_entry_to_look_at_without_a_cluster_is_poison(
    labels: dict[str, str] | None, problem: str
) -> None:
    entry = log_entry()
    entry["resource"]["labels"] = labels

    with pytest.raises(InvalidEventError, match=problem):
        reason(entry)


def test_an_entry_that_asks_for_nothing_may_lack_the_cluster() -> None:
    entry = log_entry("io.k8s.apps.v1.deployments.delete")
    entry["resource"]["labels"] = {"project_id": "demo"}

    assert reason(entry) == "the verb is delete"


@pytest.mark.parametrize(
    ("method", "resource", "expected"),
    [
        pytest.param(
            "io.k8s.core.v1.namespaces.create",
            "core/v1/namespaces/ml",
            Operation("create", "core", "v1", "namespaces", None, "ml", None),
            id="a-namespace",
        ),
        pytest.param(
            "io.k8s.core.v1.namespaces.finalize.update",
            "core/v1/namespaces/ml/finalize",
            Operation("update", "core", "v1", "namespaces", None, "ml", "finalize"),
            id="a-namespace's-sub-resource",
        ),
        pytest.param(
            "io.k8s.core.v1.nodes.patch",
            "core/v1/nodes/n-1",
            Operation("patch", "core", "v1", "nodes", None, "n-1", None),
            id="no-namespace",
        ),
        pytest.param(
            "com.coreos.database.etcd.v1beta2.etcdbackups.create",
            "etcd.database.coreos.com/v1beta2/namespaces/db/etcdbackups/b",
            Operation(
                "create", "etcd.database.coreos.com", "v1beta2", "etcdbackups", "db", "b", None
            ),
            id="custom-group",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.proxy.create",
            "core/v1/namespaces/ml/pods/a/proxy/healthz",
            Operation("create", "core", "v1", "pods", "ml", "a", "proxy"),
            id="sub-resource-with-a-path",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.create",
            "core/v1/namespaces/ml/pods/",
            Operation("create", "core", "v1", "pods", "ml", None, None),
            id="name-left-to-the-server",
        ),
        pytest.param("create", "core/v1/pods", None, id="no-method"),
        pytest.param("v1.pods.create", "core/v1/pods", None, id="no-group"),
        pytest.param("io.k8s.core.pods.create", "core/v1/pods", None, id="no-version"),
    ],
)
def test_method_and_resource_name_an_operation(
    method: str, resource: str, expected: Operation | None
) -> None:
    assert Operation.parse(method, resource) == expected
