"""Node pools that grow from zero, and the cluster autoscaler."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.clock import Clock
from sandbox.gke.controller import Controller, is_deleting, key_of
from sandbox.gke.node import NodeSpec, make_node
from sandbox.gke.placement import NodeView, choose, refuse, view_nodes
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body, dig, items

CUTOFF = -10
"""Pods of a lower priority never make the cluster grow (``expendable-pods-priority-cutoff``)."""


@dataclass(slots=True)
class NodePool:
    """A pool and its growth."""

    template: NodeSpec
    least: int
    most: int
    nodes: list[str] = field(default_factory=list)
    additions: int = 0
    """How many nodes the autoscaler added."""
    _made: int = 0

    @property
    def name(self) -> str:
        """The pool's name."""
        return self.template.pool

    def next_spec(self, cluster: str) -> NodeSpec:
        """Return the specification of the next node."""
        self._made += 1
        name = f"gke-{cluster}-{self.name}-{self._made:04x}"
        self.nodes.append(name)
        return replace(self.template, name=name)


class Autoscaler(Controller):
    """
    Adds a node for a pod that no node takes, if one of a pool would.

    It serves pods that the scheduler refused, after the time in which a real one notices them
    and starts a machine. It removes no nodes.
    """

    component = "cluster-autoscaler"
    kind = "Pod"
    resource = "pods"
    delay_s = 60.0
    """From the refusal to the node."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        project: str,
        cluster: str,
        grow: Callable[[NodeSpec], None],
    ) -> None:
        super().__init__(api, clock)
        self.user = "system:cluster-autoscaler"
        self.pools: dict[str, NodePool] = {}
        self._project, self._cluster = project, cluster
        self._grow = grow
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def observe(self, event: str, body: Body) -> None:
        """Plan a pod that was just found unschedulable."""
        if body["kind"] == "Pod" and event != "DELETED" and self.pools and _is_refused(body):
            uid = body["metadata"]["uid"]
            with self._lock:
                if uid in self._seen:
                    return
                self._seen.add(uid)
            self.queue.add(key_of(body), self.delay_s)

    def sync(self, body: Body) -> None:
        """Grow a pool for a pod, if it still waits and is not expendable."""
        if not _is_refused(body) or (body["spec"].get("priority") or 0) < CUTOFF:
            return
        views = view_nodes(self.api.list("nodes"), self.api.list("pods"))
        if choose(body, views) is not None:
            # A node added for another pod may serve this one too, if it is not taken by then.
            self.queue.add(key_of(body), self.delay_s)
            return
        for pool in self.pools.values():
            view = self._imagine(pool)
            if refuse(body, view, [view]) is None and len(pool.nodes) < pool.most:
                pool.additions += 1
                self._grow(pool.next_spec(self._cluster))
                return

    def _imagine(self, pool: NodePool) -> NodeView:
        """Return an empty node of a pool."""
        body: dict[str, Any] = make_node(
            replace(pool.template, name=f"template-{pool.name}"),
            self.clock.now(),
            project=self._project,
            address="10.128.0.0",
        )
        return NodeView(body)


def _is_refused(pod: Body) -> bool:
    """Whether the scheduler found no node for a pod, and it still waits."""
    if dig(pod, "spec", "nodeName") or is_deleting(pod):
        return False
    return any(
        (condition["type"], condition.get("reason")) == ("PodScheduled", "Unschedulable")
        for condition in items(pod, "status", "conditions")
    )
