"""Lists as tables, which ``kubectl get`` requests; ages follow the sandbox's clock."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.resources import Resource

Cell = Callable[[Body, datetime], Any]
Column = tuple[str, Cell]

TABLE = "as=Table"
"""The parameter of an Accept header that requests a table."""

_STEPS = (
    (120, 1, "s", 0, ""),
    (600, 60, "m", 1, "s"),
    (10_800, 60, "m", 0, ""),
    (28_800, 3600, "h", 60, "m"),
    (172_800, 3600, "h", 0, ""),
    (691_200, 86_400, "d", 3600, "h"),
)
"""Limit in seconds, the unit and its size, and the smaller unit for the rest."""
_DAY = 86_400


def format_duration(seconds: float) -> str:
    """
    Format a duration in at most two units.

    >>> format_duration(95), format_duration(185), format_duration(7200), format_duration(190_000)
    ('95s', '3m5s', '120m', '2d4h')
    """
    whole = int(seconds)
    if whole < 0:
        return "<invalid>"
    for limit, size, unit, rest, rest_unit in _STEPS:
        if whole < limit:
            text = f"{whole // size}{unit}"
            left = whole % size // rest if rest else 0
            return f"{text}{left}{rest_unit}" if left else text
    return f"{whole // _DAY}d"


def _age(body: Body, now: datetime) -> str:
    return _since(dig(body, "metadata", "creationTimestamp"), now)


def _since(stamp: str | None, now: datetime) -> str:
    if not stamp:
        return "<unknown>"
    return format_duration((now - datetime.fromisoformat(stamp)).total_seconds())


def _at(*path: str, default: Any = "") -> Cell:
    return lambda body, _now: _or(dig(body, *path), default)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _ready(body: Body, _now: datetime) -> str:
    statuses = items(body, "status", "containerStatuses")
    ready = sum(bool(one.get("ready")) for one in statuses)
    return f"{ready}/{len(items(body, 'spec', 'containers'))}"


def _pod_status(body: Body, _now: datetime) -> str:
    if dig(body, "metadata", "deletionTimestamp"):
        return "Terminating"
    for one in items(body, "status", "containerStatuses"):
        for state in ("waiting", "terminated"):
            reason = dig(one, "state", state, "reason")
            if reason:
                return str(reason)
    return str(dig(body, "status", "reason") or dig(body, "status", "phase") or "Unknown")


def _restarts(body: Body, _now: datetime) -> int:
    statuses = items(body, "status", "containerStatuses")
    return sum(one.get("restartCount", 0) for one in statuses)


def _job_status(body: Body, _now: datetime) -> str:
    true = {one["type"] for one in items(body, "status", "conditions") if one["status"] == "True"}
    for name in ("Complete", "Failed", "Suspended"):
        if name in true:
            return name
    return "Suspended" if dig(body, "spec", "suspend") else "Running"


def _completions(body: Body, _now: datetime) -> str:
    wanted = dig(body, "spec", "completions")
    return f"{dig(body, 'status', 'succeeded') or 0}/{1 if wanted is None else wanted}"


def _job_duration(body: Body, now: datetime) -> str:
    start, end = dig(body, "status", "startTime"), dig(body, "status", "completionTime")
    if not start:
        return ""
    return _since(start, datetime.fromisoformat(end) if end else now)


def _node_status(body: Body, _now: datetime) -> str:
    conditions = {one["type"]: one["status"] for one in items(body, "status", "conditions")}
    words = ["Ready" if conditions.get("Ready") == "True" else "NotReady"]
    if dig(body, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _replicas(body: Body, _now: datetime) -> str:
    return f"{dig(body, 'status', 'readyReplicas') or 0}/{dig(body, 'spec', 'replicas') or 0}"


def _last_seen(body: Body, now: datetime) -> str:
    return _since(body.get("lastTimestamp") or body.get("eventTime"), now)


def _about(body: Body, _now: datetime) -> str:
    about = mapping(body, "involvedObject")
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


_NAME: Column = ("Name", _at("metadata", "name"))
_AGE: Column = ("Age", _age)
_COLUMNS: dict[str, tuple[Column, ...]] = {
    "pods": (
        _NAME,
        ("Ready", _ready),
        ("Status", _pod_status),
        ("Restarts", _restarts),
        _AGE,
        ("Node", _at("spec", "nodeName", default="<none>")),
    ),
    "nodes": (
        _NAME,
        ("Status", _node_status),
        _AGE,
        ("Version", _at("status", "nodeInfo", "kubeletVersion")),
    ),
    "namespaces": (_NAME, ("Status", _at("status", "phase")), _AGE),
    "events": (
        ("Last Seen", _last_seen),
        ("Type", _at("type")),
        ("Reason", _at("reason")),
        ("Object", _about),
        ("Message", _at("message")),
    ),
    "jobs.batch": (
        _NAME,
        ("Status", _job_status),
        ("Completions", _completions),
        ("Duration", _job_duration),
        _AGE,
    ),
    "deployments.apps": (
        _NAME,
        ("Ready", _replicas),
        ("Up-to-date", _at("status", "updatedReplicas", default=0)),
        ("Available", _at("status", "availableReplicas", default=0)),
        _AGE,
    ),
}
_WIDE = ("Node",)
"""Columns of ``-o wide`` only."""


def table_of(resource: Resource, bodies: Iterable[Body], metadata: Body, now: datetime) -> Body:
    """Return objects as a table."""
    columns = _COLUMNS.get(resource.key, (_NAME, _AGE))
    described = [
        {
            "name": name,
            "type": "string",
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": 1 if name in _WIDE else 0,
        }
        for name, _ in columns
    ]
    rows = [
        {"cells": [cell(body, now) for _, cell in columns], "object": _partial(body)}
        for body in bodies
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": described,
        "rows": rows,
    }


def _partial(body: Body) -> Body:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": body["metadata"],
    }
