"""Kubernetes Events and node logs as LogEntries, as GKE's agents write them."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.clock import format_time
from sandbox.kubernetes.bodies import Body, dig

_ABSENT = ("count", "firstTimestamp")
"""What GKE's event exporter leaves out."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where entries come from."""

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


def make_event_entry(event: Body, cluster: Cluster, now: datetime) -> dict[str, Any]:
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


def make_line_entry(line: LogLine, cluster: Cluster, now: datetime) -> dict[str, Any]:
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


def _resource_of(about: Body, cluster: Cluster) -> dict[str, Any]:
    if about["kind"] == "Pod":
        labels = {"namespace_name": about["namespace"], "pod_name": about["name"]}
        return {"type": "k8s_pod", "labels": {**cluster.labels, **labels}}
    if about["kind"] == "Node":
        return {"type": "k8s_node", "labels": {**cluster.labels, "node_name": about["name"]}}
    return {"type": "k8s_cluster", "labels": cluster.labels}


def _time_of(event: Body) -> str | None:
    """Return when an Event happened last; the scheduler's kind has other fields for it."""
    return (
        event.get("lastTimestamp")
        or dig(event, "series", "lastObservedTime")
        or event.get("eventTime")
    )


def _insert_id() -> str:
    return secrets.token_hex(8)
