"""The scheduler: it binds pods to nodes and records Events of the newer form."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Clock, format_time
from sandbox.gke.controller import (
    Controller,
    Key,
    has_condition,
    is_deleting,
    is_finished,
    key_of,
    make_condition,
    patch_condition,
)
from sandbox.gke.event_recorder import make_reference
from sandbox.gke.placement import choose, explain, view_nodes
from sandbox.kubernetes.api import Api, ApiError
from sandbox.kubernetes.bodies import Body, dig

_REPORTER = "default-scheduler"
_USER = "system:kube-scheduler"
_SERIES = timedelta(minutes=6)
"""The end of a series without repeats, and the interval at which one with repeats is written."""


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    last: datetime
    written: datetime


class SchedulerEvents:
    """
    Records in the way of ``events.k8s.io``: eventTime, no counts, no source.

    client-go's ``tools/events`` writes the first repeat as a series of two, and later ones only
    every six minutes.
    """

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._series: dict[tuple[str, str], _Series] = {}

    def scheduled(self, pod: Body, node: str) -> None:
        """Record the node of a pod."""
        metadata = pod["metadata"]
        text = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
        self.record(pod, "Normal", "Scheduled", "Binding", text)

    def failed(self, pod: Body, message: str) -> None:
        """Record why no node serves a pod."""
        self.record(pod, "Warning", "FailedScheduling", "Scheduling", message)

    def record(self, pod: Body, kind: str, reason: str, action: str, message: str) -> None:
        """Record an Event about a pod; lose it if the API server refuses it."""
        now = self._clock.now()
        key = (pod["metadata"]["uid"], reason)
        series = self._series.get(key)
        try:
            if series is not None and now - series.last < _SERIES:
                self._repeat(pod, series, now)
                return
            name = f"{pod['metadata']['name']}.{int(now.timestamp() * 1e6) * 1000:x}"
            self._series[key] = _Series(name, 1, now, now)
            body = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": pod["metadata"]["namespace"]},
                "involvedObject": make_reference(pod),
                "type": kind,
                "reason": reason,
                "action": action,
                "message": message,
                "eventTime": format_time(now),
                "reportingComponent": _REPORTER,
                "reportingInstance": f"{_REPORTER}-0",
            }
            self._api.create("events", body, pod["metadata"]["namespace"], user=_USER)
        except ApiError:
            self._series.pop(key, None)

    def _repeat(self, pod: Body, series: _Series, now: datetime) -> None:
        series.count += 1
        series.last = now
        if series.count > 2 and now - series.written < _SERIES:  # noqa: PLR2004
            return
        series.written = now
        counted = {"count": series.count, "lastObservedTime": format_time(now)}
        self._api.patch(
            "events",
            series.name,
            {"series": counted},
            pod["metadata"]["namespace"],
            user=_USER,
        )


_NAME = "default-scheduler"


class Scheduler(Controller):
    """
    Binds pods, and tries pending pods again after each change.

    It never preempts a pod.
    """

    component = "kube-scheduler"
    kind = "Pod"
    resource = "pods"

    def __init__(self, api: Api, clock: Clock) -> None:
        super().__init__(api, clock)
        self.user = _USER
        self._recorder = SchedulerEvents(api, clock)
        self._waiting: dict[Key, Any] = {}
        self._nodes: dict[str, Any] = {}
        self._changes = 0
        self._lock = threading.Lock()

    def observe(self, event: str, body: Body) -> None:
        """Plan a new pod; or all that wait, when a place may have become free."""
        if body["kind"] == "Node":
            self._observe_node(event, body)
        elif body["kind"] == "Pod":
            self._observe_pod(event, body)

    def sync(self, body: Body) -> None:
        """Bind a pod, or record the reason against each node."""
        if not _is_pending(body):
            return
        with self._lock:
            changes = self._changes
            self._waiting[key_of(body)] = _demands(body)
        views = view_nodes(self.api.list("nodes"), self.api.list("pods"))
        chosen = choose(body, views)
        if chosen is not None:
            self._bind(body, chosen.name)
            return
        self._refuse(body, explain(body, views))
        with self._lock:
            if changes != self._changes:
                self.queue.add(key_of(body))

    def _bind(self, body: Body, node: str) -> None:
        namespace, name = key_of(body)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        self.api.create(
            "pods", binding, namespace, user=self.user, subresource="binding", name=name
        )
        self._recorder.scheduled(body, node)

    def _refuse(self, body: Body, message: str) -> None:
        self._recorder.failed(body, message)
        now = self.clock.now()
        condition = make_condition("PodScheduled", now, "Unschedulable", message, is_true=False)
        patch_condition(self.api, body, condition, user=self.user)

    def _observe_node(self, event: str, node: Body) -> None:
        name = node["metadata"]["name"]
        offers = None if event == "DELETED" else _offers(node)
        with self._lock:
            if self._nodes.get(name) != offers:
                self._nodes[name] = offers
                self._retry()

    def _observe_pod(self, event: str, pod: Body) -> None:
        key = key_of(pod)
        with self._lock:
            if event == "DELETED" or is_finished(pod) or dig(pod, "spec", "nodeName"):
                self._waiting.pop(key, None)
                if event == "DELETED" or is_finished(pod):
                    self._retry()
            elif _is_pending(pod) and self._waiting.get(key) != _demands(pod):
                self.queue.add(key)

    def _retry(self) -> None:
        self._changes += 1
        for key in self._waiting:
            self.queue.add(key)


def _is_pending(pod: Body) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not is_finished(pod)
        and not is_deleting(pod)
        and not spec.get("schedulingGates")
        and spec.get("schedulerName", _NAME) == _NAME
    )


def _demands(pod: Body) -> Any:
    """Return the parts of a pod that decide its placement."""
    return pod["spec"], pod["metadata"].get("labels")


def _offers(node: Body) -> Any:
    """Return the parts of a node that decide which pods it takes; its images do not."""
    return (
        node["metadata"].get("labels"),
        node["spec"],
        dig(node, "status", "allocatable"),
        has_condition(node, "Ready"),
    )
