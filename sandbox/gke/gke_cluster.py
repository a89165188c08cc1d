"""A GKE cluster: an API server, controllers, nodes, and the switches of their behaviour."""

import threading
import time
from collections.abc import Callable
from typing import Any, Self

from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.gke.controller import Controller, key_of, make_condition, patch_condition
from sandbox.gke.image_pull import PullTimes, Sources
from sandbox.gke.job_controller import JobController
from sandbox.gke.kubelet import Kubelet
from sandbox.gke.log_entry import LogLine
from sandbox.gke.log_router import LogRouter
from sandbox.gke.node import NodeSpec, NodeSwitches
from sandbox.gke.node_pool import Autoscaler, NodePool
from sandbox.gke.object_cleanup import PodCollector, TtlController
from sandbox.gke.registry_client import RegistryClient
from sandbox.gke.replica_controller import (
    DeploymentController,
    ReplicaSetController,
)
from sandbox.gke.scheduler import Scheduler
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body, dig, items
from sandbox.kubernetes.server import KubernetesServer
from sandbox.streaming_cache import StreamingCache

_OBSERVED = (
    "nodes",
    "pods",
    "replicasets.apps",
    "deployments.apps",
    "jobs.batch",
)
_CONTROLLERS: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    JobController,
    TtlController,
    PodCollector,
)


class GkeCluster:
    """
    Runs workloads on simulated nodes; the API server shows all changes.

    ``registry`` is the ``host:port`` under which Google's registries are served; images
    on other hosts come from the registries of ``catalogue``. ``switches`` may be changed while
    it runs.
    """

    def __init__(
        self,
        server: KubernetesServer,
        clock: Clock,
        *,
        project: str,
        location: str,
        name: str,
        registry: str,
        cache: StreamingCache,
        catalogue: Catalogue,
    ) -> None:
        self.server = server
        self.project, self.location, self.name = project, location, name
        self.switches = NodeSwitches()
        self._api: Api = server.api
        self._clock = clock
        self._registry = RegistryClient(registry)
        self._sources = Sources(self._registry, catalogue, cache, self.switches, PullTimes())
        self._autoscaler = Autoscaler(self._api, clock, project, name, self._launch)
        self._controllers: list[Controller] = [
            *(kind(self._api, clock) for kind in _CONTROLLERS),
            Scheduler(self._api, clock),
            self._autoscaler,
        ]
        self._kubelets: dict[str, Kubelet] = {}
        self._numbers = 0
        self._routers: list[LogRouter] = []
        self._lock = threading.Lock()
        self._watch = self._api.watch()
        self._thread = threading.Thread(target=self._dispatch, name="gke-watch", daemon=True)

    def start(self) -> Self:
        """Start to run workloads, also those that exist already."""
        for controller in self._controllers:
            controller.start()
        for resource in _OBSERVED:
            for body in self._api.list(resource):
                self._observe("ADDED", body)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop everything, leaving the objects as they are."""
        self._watch.close()
        self._thread.join()
        for controller in self._controllers:
            controller.stop()
        with self._lock:
            kubelets = list(self._kubelets.values())
        for kubelet in kubelets:
            kubelet.stop()
        for router in self._routers:
            router.stop()
        self._registry.close()

    def attach(self, router: LogRouter) -> None:
        """Route all later writes of this cluster; the router stops with the cluster."""
        self.server.on_audit(router.on_audit)
        self._routers.append(router.start())

    def wait_for(self, predicate: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``predicate`` holds, asking again at each change; False if not in time."""
        deadline = time.monotonic() + timeout_s
        with self._api.watch() as changes:
            while not predicate():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                changes.get(left_s)
        return True

    def add_node(self, name: str, **node: Any) -> Body:
        """Add a ready node, and return it; ``node`` has the fields of ``NodeSpec``."""
        self._launch(NodeSpec(name, **node))
        return self._api.read("nodes", name)

    def add_node_pool(
        self,
        name: str,
        *,
        min: int = 0,  # noqa: A002 - gcloud's and Terraform's word
        max: int = 3,  # noqa: A002
        **node: Any,
    ) -> NodePool:
        """
        Add a pool that grows; ``node`` has the fields of ``NodeSpec``.

        Its ``additions`` count the nodes that the autoscaler added, without the first ``min``.
        """
        pool = NodePool(NodeSpec("", pool=name, **node), min, max)
        for _ in range(min):
            self._launch(pool.next_spec(self.name))
        self._autoscaler.pools[name] = pool
        for pod in self._api.list("pods"):
            self._autoscaler.observe("ADDED", pod)
        return pool

    def remove_node(self, name: str) -> None:
        """Remove a node at once, as when its machine is deleted; its pods fail."""
        with self._lock:
            kubelet = self._kubelets.pop(name)
        kubelet.stop()
        self._api.delete("nodes", name, user="system:cloud-controller-manager")

    def preempt_node(self, name: str) -> None:
        """Remove a Spot node: its kubelet fails the pods as disrupted before it ends."""
        self.cordon(name, user=f"system:node:{name}")
        with self._lock:
            kubelet = self._kubelets.pop(name)
        kubelet.preempt()
        self._api.delete("nodes", name, user="system:cloud-controller-manager")

    def cordon(self, name: str, *, user: str = "admin@example.com") -> None:
        """Make a node unschedulable."""
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        taints = items(self._api.read("nodes", name), "spec", "taints")
        spec = {"unschedulable": True, "taints": [*taints, taint]}
        self._api.patch("nodes", name, {"spec": spec}, user=user)

    def drain(self, name: str, *, user: str = "admin@example.com") -> None:
        """Cordon a node, and evict its pods."""
        self.cordon(name, user=user)
        for pod in self._api.list("pods", field_selector=f"spec.nodeName={name}"):
            self._evict(pod, user)

    def _evict(self, pod: Body, user: str) -> None:
        namespace, name = key_of(pod)
        reason, text = "EvictionByEvictionAPI", "Eviction API: evicting"
        condition = make_condition("DisruptionTarget", self._clock.now(), reason, text)
        patch_condition(self._api, pod, condition, user=user)
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        self._api.create("pods", eviction, namespace, user=user, subresource="eviction", name=name)

    def _launch(self, spec: NodeSpec) -> None:
        with self._lock:
            self._numbers += 1
            kubelet = Kubelet(
                self._api,
                self._clock,
                spec,
                self._sources,
                project=self.project,
                number=self._numbers,
                write=self._write_line,
            )
            self._kubelets[spec.name] = kubelet
        for pod in self._api.list("pods", field_selector=f"spec.nodeName={spec.name}"):
            kubelet.observe("ADDED", pod)

    def _write_line(self, line: LogLine) -> None:
        for router in self._routers:
            router.on_line(line)

    def _dispatch(self) -> None:
        for event, body in self._watch:
            self._observe(event, body)

    def _observe(self, event: str, body: Body) -> None:
        kind = body["kind"]
        if kind == "Event":
            if event != "DELETED":
                for router in self._routers:
                    router.on_event(body)
            return
        for controller in self._controllers:
            controller.observe(event, body)
        if kind == "Pod":
            with self._lock:
                kubelet = self._kubelets.get(dig(body, "spec", "nodeName") or "")
            if kubelet is not None:
                kubelet.observe(event, body)
