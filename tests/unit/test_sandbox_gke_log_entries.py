"""API writes, Events and node logs as GKE's LogEntries."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.gke.log_entry import (
    LogLine,
    LogSource,
    make_audit_entry,
    make_event_entry,
    make_line_entry,
)
from sandbox.kubernetes.audit import AuditRecord

NOW = datetime(2024, 10, 3, 1, 2, 3, tzinfo=UTC)
CLUSTER = LogSource("demo", "us-central1", "gpu")
JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train", "namespace": "ml"}}


def record(**changes: Any) -> AuditRecord:
    values: dict[str, Any] = {
        "verb": "create",
        "user": "dev@example.com",
        "group": "batch",
        "version": "v1",
        "resource": "jobs",
        "subresource": "",
        "namespace": "ml",
        "name": "train",
        "request": JOB,
        "content_type": "",
        "response": JOB | {"status": {}},
        "code": 201,
        "dry_run": False,
        "user_agent": "kubectl/v1.36.0",
        "source_ip": "203.0.113.7",
        "received_at": NOW,
        "audit_id": "7f-1",
    }
    return AuditRecord(**(values | changes))


def entry_of(**changes: Any) -> dict[str, Any]:
    entry = make_audit_entry(record(**changes), CLUSTER, Clock())
    assert entry is not None
    return entry


def test_write_becomes_an_entry_of_the_activity_log() -> None:
    entry = entry_of()

    entry.pop("receiveTimestamp")
    assert entry == {
        "insertId": "7f-1",
        "labels": {},
        "logName": "projects/demo/logs/cloudaudit.googleapis.com%2Factivity",
        "operation": {"first": True, "id": "7f-1", "last": True, "producer": "k8s.io"},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": {"principalEmail": "dev@example.com"},
            "methodName": "io.k8s.batch.v1.jobs.create",
            "request": {"@type": "batch.k8s.io/v1.Job", **JOB},
            "requestMetadata": {"callerSuppliedUserAgent": "kubectl/v1.36.0"},
            "resourceName": "batch/v1/namespaces/ml/jobs/train",
            "response": {"@type": "batch.k8s.io/v1.Job", **JOB, "status": {}},
            "serviceName": "k8s.io",
            "status": {},
        },
        "resource": {
            "type": "k8s_cluster",
            "labels": {"cluster_name": "gpu", "location": "us-central1", "project_id": "demo"},
        },
        "timestamp": "2024-10-03T01:02:03.000000Z",
    }


@pytest.mark.parametrize(
    ("changes", "method", "resource"),
    [
        pytest.param(
            {
                "group": "",
                "resource": "pods",
                "subresource": "ephemeralcontainers",
                "verb": "patch",
            },
            "io.k8s.core.v1.pods.ephemeralcontainers.patch",
            "core/v1/namespaces/ml/pods/train/ephemeralcontainers",
            id="subresource",
        ),
        pytest.param(
            {"group": "ray.io", "resource": "rayclusters"},
            "io.ray.v1.rayclusters.create",
            "ray.io/v1/namespaces/ml/rayclusters/train",
            id="custom",
        ),
        pytest.param(
            {"group": "rbac.authorization.k8s.io", "resource": "clusterroles", "namespace": ""},
            "io.k8s.authorization.rbac.v1.clusterroles.create",
            "rbac.authorization.k8s.io/v1/clusterroles/train",
            id="cluster-scoped",
        ),
        pytest.param(
            {"resource": "jobs", "verb": "deletecollection", "name": ""},
            "io.k8s.batch.v1.jobs.deletecollection",
            "batch/v1/namespaces/ml/jobs",
            id="collection",
        ),
    ],
)
def test_methods_and_resources_are_named_by_group(
    changes: dict[str, Any], method: str, resource: str
) -> None:
    payload = entry_of(**changes)["protoPayload"]

    assert (payload["methodName"], payload["resourceName"]) == (method, resource)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"group": "ray.io", "resource": "rayclusters"}, id="custom-resource"),
        pytest.param({"group": "", "resource": "secrets"}, id="secret"),
        pytest.param({"group": "", "resource": "configmaps"}, id="configmap"),
        pytest.param({"group": "coordination.k8s.io", "resource": "leases"}, id="lease"),
    ],
)
def test_some_kinds_are_logged_without_bodies(changes: dict[str, Any]) -> None:
    payload = entry_of(**changes)["protoPayload"]

    assert "request" not in payload
    assert "response" not in payload


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"group": "", "resource": "events"}, id="events"),
        pytest.param({"subresource": "status"}, id="status"),
        pytest.param(
            {"group": "authorization.k8s.io", "resource": "subjectaccessreviews"}, id="review"
        ),
    ],
)
def test_some_writes_are_not_in_the_activity_log(changes: dict[str, Any]) -> None:
    assert make_audit_entry(record(**changes), CLUSTER, Clock()) is None


def test_refusal_has_a_status_and_the_status_as_response() -> None:
    message = 'jobs.batch "train" is forbidden: exceeded quota'
    status = {"apiVersion": "v1", "kind": "Status", "reason": "Forbidden", "message": message}

    entry = entry_of(code=403, response=status)

    assert entry["protoPayload"]["status"] == {"code": 7, "message": message}
    assert entry["protoPayload"]["response"]["@type"] == "core.k8s.io/v1.Status"


def test_dry_run_is_labelled() -> None:
    assert entry_of(dry_run=True)["labels"]["command.gke.io/dryRun"] == "All"


def test_patches_and_deletions_have_types_of_their_own() -> None:
    merge = entry_of(verb="patch", request={"spec": {"suspend": False}})
    listed = entry_of(verb="patch", request=[{"op": "remove", "path": "/spec"}])
    deletion = entry_of(verb="delete", request={"propagationPolicy": "Background"})
    bare = entry_of(verb="delete", request=None)

    assert merge["protoPayload"]["request"] == {"@type": "k8s.io/Patch", "spec": {"suspend": False}}
    assert listed["protoPayload"]["request"]["@type"] == "k8s.io/Patch"
    assert deletion["protoPayload"]["request"]["@type"] == "meta.k8s.io/__internal.DeleteOptions"
    assert "request" not in bare["protoPayload"]


def event(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "ml", "managedFields": []},
        "involvedObject": {"kind": kind, "name": "x", "namespace": "ml"},
        "reason": "Pulled",
        "message": "m",
        "source": {"component": "kubelet", "host": "n1"},
        "firstTimestamp": "2024-10-03T01:00:00Z",
        "lastTimestamp": "2024-10-03T01:00:09Z",
        "count": 2,
        "type": "Normal",
        **changes,
    }


def test_event_of_a_pod_is_an_entry_of_its_pod() -> None:
    entry = make_event_entry(event("Pod"), CLUSTER, NOW)

    assert entry["logName"] == "projects/demo/logs/events"
    assert entry["resource"] == {
        "type": "k8s_pod",
        "labels": CLUSTER.labels | {"namespace_name": "ml", "pod_name": "x"},
    }
    assert entry["severity"] == "INFO"
    assert entry["timestamp"] == "2024-10-03T01:00:09Z"
    assert not {"count", "firstTimestamp"} & entry["jsonPayload"].keys()
    assert entry["jsonPayload"]["metadata"] == {"name": "e", "namespace": "ml"}


def test_other_events_belong_to_the_node_or_the_cluster() -> None:
    node = make_event_entry(event("Node"), CLUSTER, NOW)
    job = make_event_entry(event("Job", type="Warning"), CLUSTER, NOW)

    assert node["resource"]["labels"]["node_name"] == "x"
    assert job["resource"] == {"type": "k8s_cluster", "labels": CLUSTER.labels}
    assert job["severity"] == "WARNING"


def test_event_of_the_newer_form_is_dated_by_its_own_fields() -> None:
    newer = {"lastTimestamp": None, "eventTime": "2024-10-03T01:00:01.000000Z"}
    series = {"count": 2, "lastObservedTime": "2024-10-03T01:00:05.000000Z"}

    single = make_event_entry(event("Pod", **newer), CLUSTER, NOW)
    repeated = make_event_entry(event("Pod", **newer, series=series), CLUSTER, NOW)

    assert single["timestamp"] == "2024-10-03T01:00:01.000000Z"
    assert repeated["timestamp"] == "2024-10-03T01:00:05.000000Z"


def test_line_of_a_node_keeps_its_message() -> None:
    line = LogLine("gcfs-snapshotter", "n1", {"MESSAGE": "streams"}, NOW)

    entry = make_line_entry(line, CLUSTER, NOW)

    assert entry["logName"] == "projects/demo/logs/gcfs-snapshotter"
    assert entry["resource"]["labels"]["node_name"] == "n1"
    assert entry["jsonPayload"] == {"MESSAGE": "streams"}
