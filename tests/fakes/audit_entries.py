"""Builders of entries of GKE's audit log."""

import json
from datetime import UTC, datetime
from typing import Any

from shared.domain.image_selection import Scope
from shared.messages.audit_entry import AuditEntry
from shared.messages.pubsub_message import PubsubMessage

SCOPE = Scope("prestream", frozenset({"kube-system", "gke-gmp-system"}))
DEPLOYMENT = "apps/v1/namespaces/ml/deployments/trainer"


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


def read_entry(entry: Any) -> AuditEntry:
    raw = entry if isinstance(entry, bytes) else json.dumps(entry).encode()
    return AuditEntry.from_message(PubsubMessage("m-1", datetime(2026, 3, 2, tzinfo=UTC), raw))


def reason_to_ignore(entry: Any, scope: Scope = SCOPE) -> str | None:
    return read_entry(entry).reason_to_ignore(scope)


def owner(api_version: Any, kind: str, *, controller: Any = True) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": "o", "controller": controller}


def owned(*owners: Any) -> dict[str, Any]:
    return {"response": workload(ownerReferences=list(owners)), "request": workload()}


OWNED = "the object belongs to a built-in controller, whose own was seen"
