"""Workloads on the sandbox's cluster: controllers, scheduler, autoscaler and lost nodes."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.gke.gke_cluster import GkeCluster
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.server import KubernetesServer
from sandbox.streaming_cache import StreamingCache

TOOL = "ghcr.io/team/tool:1"
DEV = "dev@example.com"
TIMEOUT_S = 20.0
GPU = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


class Lab:
    """A cluster, and short ways to use it."""

    def __init__(self, cluster: GkeCluster) -> None:
        self.cluster = cluster
        self.api: Api = cluster.server.api

    def wait(self, predicate: Callable[[], Any]) -> None:
        assert self.cluster.wait_for(lambda: bool(predicate()), TIMEOUT_S)

    def create(self, resource: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        group = resource.partition(".")[2]
        body = {
            "apiVersion": f"{group}/v1" if group else "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
        return self.api.create(resource, body, user=DEV)

    def job(self, name: str, pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
        template = {"spec": pod_spec(restartPolicy="Never", **(pod or {}))}
        return self.create("jobs.batch", "Job", name, {"template": template, **spec})

    def status(self, resource: str, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.api.read(resource, name, "default").get("status") or {}
        return status

    def pods(self, owner: str = "") -> list[dict[str, Any]]:
        return [
            pod
            for pod in self.api.list("pods", "default")
            if pod["metadata"]["name"].startswith(owner)
        ]

    def running(self, owner: str) -> list[dict[str, Any]]:
        return [pod for pod in self.pods(owner) if pod["status"]["phase"] == "Running"]

    def condition(self, resource: str, name: str, kind: str) -> dict[str, Any] | None:
        conditions = self.status(resource, name).get("conditions") or []
        return next((each for each in conditions if each["type"] == kind), None)

    def events(self, about: str, reason: str) -> list[str]:
        return [
            event["message"]
            for event in self.api.list("events", "default")
            if event["involvedObject"]["name"].startswith(about) and event["reason"] == reason
        ]


def pod_spec(**changes: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": TOOL}], **changes}


def workload(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec(**changes)},
    }


@pytest.fixture
def lab() -> Iterator[Lab]:
    before = set(threading.enumerate())
    clock, faults, catalogue = Clock(500), Faults(), Catalogue()
    catalogue.add("ghcr.io/team/tool", "1", Image((3_000_000,), build="tool"))
    cache = StreamingCache(clock)
    registry = ArtifactRegistry(clock, faults, catalogue, cache).start()
    server = KubernetesServer(clock, faults).start()
    cluster = GkeCluster(
        server,
        clock,
        project="demo",
        location="us-central1",
        name="gpu",
        registry=registry.address,
        cache=cache,
        catalogue=catalogue,
    ).start()
    cluster.add_node("cpu-1", pool="default")
    yield Lab(cluster)
    cluster.stop()
    server.stop()
    registry.stop()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not left & {"pod-worker", "gke-watch"}


def test_deployment_runs_pods_through_a_replica_set(lab: Lab) -> None:
    lab.create("deployments.apps", "Deployment", "web", {"replicas": 2, **workload("web")})

    lab.wait(lambda: lab.status("deployments.apps", "web").get("availableReplicas") == 2)

    (replica_set,) = lab.api.list("replicasets.apps", "default")
    template_hash = replica_set["metadata"]["labels"]["pod-template-hash"]
    pod = lab.pods()[0]
    assert replica_set["metadata"]["name"] == f"web-{template_hash}"
    assert pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": template_hash}
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    assert pod["metadata"]["ownerReferences"][0]["controller"] is True
    assert lab.events("web", "ScalingReplicaSet") == [
        f"Scaled up replica set web-{template_hash} from 0 to 2"
    ]


def test_new_template_replaces_the_pods(lab: Lab) -> None:
    lab.create("deployments.apps", "Deployment", "web", {"replicas": 2, **workload("web")})
    lab.wait(lambda: len(lab.running("web")) == 2)
    before = {pod["metadata"]["name"] for pod in lab.pods("web")}

    changed = {"spec": {"template": {"metadata": {"annotations": {"round": "2"}}}}}
    lab.api.patch("deployments.apps", "web", changed, "default", user=DEV)

    lab.wait(
        lambda: (
            len(lab.running("web")) == 2
            and not before & {pod["metadata"]["name"] for pod in lab.pods("web")}
        )
    )
    sizes = {each["spec"]["replicas"] for each in lab.api.list("replicasets.apps", "default")}
    assert sizes == {0, 2}


def test_deleted_deployment_takes_its_pods_along(lab: Lab) -> None:
    lab.create("deployments.apps", "Deployment", "web", {"replicas": 1, **workload("web")})
    lab.wait(lambda: lab.running("web"))

    lab.api.delete("deployments.apps", "web", "default", user=DEV)

    lab.wait(lambda: not lab.pods("web"))
    assert lab.events("web", "Killing") == ["Stopping container main"]


def test_pod_over_quota_is_created_once_there_is_room(lab: Lab) -> None:
    quota = lab.create("resourcequotas", "ResourceQuota", "pods", {"hard": {"pods": "0"}})
    lab.job("queued")
    lab.wait(lambda: lab.events("queued", "FailedCreate"))

    lab.api.delete("resourcequotas", quota["metadata"]["name"], "default", user=DEV)

    lab.wait(lambda: lab.condition("jobs.batch", "queued", "Complete"))
    assert "exceeded quota: pods" in lab.events("queued", "FailedCreate")[0]


def test_finished_job_is_deleted_after_its_time_to_live(lab: Lab) -> None:
    lab.job("short", ttlSecondsAfterFinished=30)

    lab.wait(lambda: lab.events("short", "Completed"))

    lab.wait(lambda: not lab.api.list("jobs.batch", "default"))
    lab.wait(lambda: not lab.pods("short"))


def test_pool_does_not_grow_for_an_expendable_pod(lab: Lab) -> None:
    pools = {name: lab.cluster.add_node_pool(name) for name in ("unwanted", "wanted")}
    for name, value in (("expendable", -1000), ("barely", -10)):
        body = {
            "kind": "PriorityClass",
            "apiVersion": "scheduling.k8s.io/v1",
            "metadata": {"name": name},
            "value": value,
        }
        lab.api.create("priorityclasses.scheduling.k8s.io", body, user=DEV)

    for pool, priority in (("unwanted", "expendable"), ("wanted", "barely")):
        selector = {"cloud.google.com/gke-nodepool": pool}
        spec = pod_spec(priorityClassName=priority, nodeSelector=selector)
        lab.create("pods", "Pod", priority, spec)

    lab.wait(lambda: lab.running("barely"))
    assert pools["wanted"].additions == 1
    assert pools["unwanted"].additions == 0


def test_writes_are_made_under_the_principals_of_gke(lab: Lab) -> None:
    principals: set[tuple[str, str]] = set()
    lab.cluster.server.on_audit(lambda record: principals.add((record.resource, record.user)))

    lab.create("deployments.apps", "Deployment", "web", {"replicas": 1, **workload("web")})

    lab.wait(lambda: lab.running("web"))
    prefix = "system:serviceaccount:kube-system:"
    assert {
        ("replicasets", f"{prefix}deployment-controller"),
        ("pods", f"{prefix}replicaset-controller"),
        ("pods", "system:kube-scheduler"),
        ("pods", "system:node:cpu-1"),
    } <= principals
