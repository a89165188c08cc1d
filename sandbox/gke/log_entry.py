"""LogEntries as GKE writes them: audit records, Events and lines of a node's journal."""

import http
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.clock import Clock, format_time
from sandbox.kubernetes.audit import AuditRecord
from sandbox.kubernetes.bodies import Body, dig

_ABSENT = ("count", "firstTimestamp")
"""Fields that GKE's event exporter leaves out."""


@dataclass(frozen=True, slots=True)
class LogSource:
    """The cluster that entries come from."""

    project: str
    location: str
    name: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels that all monitored resources of a cluster have."""
        return {
            "cluster_name": self.name,
            "location": self.location,
            "project_id": self.project,
        }


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a system service of a node wrote to its journal."""

    log: str
    node: str
    payload: Mapping[str, Any]
    time: datetime


def make_event_entry(event: Body, cluster: LogSource, now: datetime) -> dict[str, Any]:
    """Return the LogEntry of an Event that was added or updated."""
    payload = {
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
        **{key: value for key, value in event.items() if key not in _ABSENT},
    }
    payload["metadata"] = {
        key: value for key, value in event["metadata"].items() if key != "managedFields"
    }
    return {
        "insertId": _insert_id(),
        "jsonPayload": payload,
        "logName": f"projects/{cluster.project}/logs/events",
        "receiveTimestamp": format_time(now),
        "resource": _resource_of(event["involvedObject"], cluster),
        "severity": "WARNING" if event.get("type") == "Warning" else "INFO",
        "timestamp": _time_of(event) or format_time(now),
    }


def make_line_entry(line: LogLine, cluster: LogSource, now: datetime) -> dict[str, Any]:
    """Return the LogEntry of a line of a node's journal."""
    return {
        "insertId": _insert_id(),
        "jsonPayload": dict(line.payload),
        "labels": {"gke.googleapis.com/log_type": "system"},
        "logName": f"projects/{cluster.project}/logs/{line.log}",
        "receiveTimestamp": format_time(now),
        "resource": {"type": "k8s_node", "labels": {**cluster.labels, "node_name": line.node}},
        "timestamp": format_time(line.time),
    }


def _resource_of(about: Body, cluster: LogSource) -> dict[str, Any]:
    if about["kind"] == "Pod":
        labels = {"namespace_name": about["namespace"], "pod_name": about["name"]}
        return {"type": "k8s_pod", "labels": {**cluster.labels, **labels}}
    if about["kind"] == "Node":
        return {"type": "k8s_node", "labels": {**cluster.labels, "node_name": about["name"]}}
    return {"type": "k8s_cluster", "labels": cluster.labels}


def _time_of(event: Body) -> str | None:
    """Return the last time of an Event; Events of the scheduler have other fields for it."""
    return (
        event.get("lastTimestamp")
        or dig(event, "series", "lastObservedTime")
        or event.get("eventTime")
    )


def _insert_id() -> str:
    return secrets.token_hex(8)


_WITH_BODIES = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "extensions",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    }
)
"""Groups whose bodies are logged; those of other groups, such as custom resources, are not."""
_WITHOUT_BODIES = frozenset({"configmaps", "secrets", "serviceaccounts/token"})
_UNLOGGED_GROUPS = frozenset({"authentication.k8s.io", "authorization.k8s.io", "events.k8s.io"})
_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 410: 11, 422: 3, 429: 8, 503: 14, 504: 4}
_CONFLICTS = {"AlreadyExists": 6, "Conflict": 10}
_UNKNOWN_CODE = 13


def make_audit_entry(
    record: AuditRecord, cluster: LogSource, clock: Clock
) -> dict[str, Any] | None:
    """Return the LogEntry of a write; None if it is of a kind that is not logged."""
    if _is_unlogged(record):
        return None
    entry_id = record.audit_id
    return {
        "insertId": entry_id,
        "labels": {"command.gke.io/dryRun": "All"} if record.dry_run else {},
        "logName": f"projects/{cluster.project}/logs/cloudaudit.googleapis.com%2Factivity",
        "operation": {"first": True, "id": entry_id, "last": True, "producer": "k8s.io"},
        "protoPayload": _payload(record),
        "receiveTimestamp": format_time(clock.now()),
        "resource": {"type": "k8s_cluster", "labels": cluster.labels},
        "timestamp": format_time(record.received_at),
    }


def _is_unlogged(record: AuditRecord) -> bool:
    is_event = (record.group, record.resource) == ("", "events")
    return is_event or record.subresource == "status" or record.group in _UNLOGGED_GROUPS


def _payload(record: AuditRecord) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "authenticationInfo": {"principalEmail": record.user},
        "methodName": _method(record),
        "requestMetadata": {"callerSuppliedUserAgent": record.user_agent},
        "resourceName": _resource_name(record),
        "serviceName": "k8s.io",
        "status": _status(record),
    }
    if _has_bodies(record):
        if record.request is not None:
            payload["request"] = _request(record)
        payload["response"] = {"@type": _type_of(record.response), **record.response}
    return payload


def _method(record: AuditRecord) -> str:
    """
    Return the method's name: the reversed group, the version, the resource and the verb.

    Groups of Kubernetes itself without a domain are written below ``io.k8s``.
    """
    group = record.group or "core"
    reversed_group = ".".join(reversed(group.split("."))) if "." in group else f"io.k8s.{group}"
    parts = [reversed_group, record.version, record.resource, record.subresource, record.verb]
    return ".".join(part for part in parts if part)


def _resource_name(record: AuditRecord) -> str:
    parts = [record.group or "core", record.version]
    if record.namespace:
        parts += ["namespaces", record.namespace]
    parts += [record.resource, record.name, record.subresource]
    return "/".join(part for part in parts if part)


def _has_bodies(record: AuditRecord) -> bool:
    path = f"{record.resource}/{record.subresource}" if record.subresource else record.resource
    return record.group in _WITH_BODIES and path not in _WITHOUT_BODIES


def _request(record: AuditRecord) -> Mapping[str, Any]:
    request = record.request
    if record.verb == "patch":
        # A JSON patch is an array, which a message cannot be.
        fields = {"patch": request} if isinstance(request, list) else request or {}
        return {"@type": "k8s.io/Patch", **fields}
    if not isinstance(request, dict):
        return {}
    if record.verb.startswith("delete"):
        return {"@type": "meta.k8s.io/__internal.DeleteOptions", **request}
    return {"@type": _type_of(request), **request}


def _type_of(body: Mapping[str, Any]) -> str:
    group, _, version = str(body.get("apiVersion", "v1")).rpartition("/")
    if "." not in group:
        group = f"{group or 'core'}.k8s.io"
    return f"{group}/{version}.{body.get('kind', 'Status')}"


def _status(record: AuditRecord) -> dict[str, Any]:
    if record.code < http.HTTPStatus.BAD_REQUEST:
        return {}
    reason = str(record.response.get("reason", ""))
    code = _CONFLICTS.get(reason) or _RPC_CODES.get(record.code, _UNKNOWN_CODE)
    return {"code": code, "message": str(record.response.get("message", ""))}
