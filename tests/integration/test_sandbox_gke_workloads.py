"""Workloads on the sandbox's cluster: controllers, scheduler, autoscaler and lost nodes."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.gke.gke_cluster import GkeCluster
from sandbox.gke.registry_client import upstream_fetcher
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
        fetch_upstream=upstream_fetcher(catalogue),
    ).start()
    cluster.add_node("cpu-1", pool="default")
    yield Lab(cluster)
    cluster.stop()
    server.stop()
    registry.stop()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not left & {"pod-worker", "gke-watch"}


def test_a_deployment_runs_pods_through_a_replica_set(lab: Lab) -> None:
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


def test_a_new_template_replaces_the_pods(lab: Lab) -> None:
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


def test_a_deleted_deployment_takes_its_pods_along(lab: Lab) -> None:
    lab.create("deployments.apps", "Deployment", "web", {"replicas": 1, **workload("web")})
    lab.wait(lambda: lab.running("web"))

    lab.api.delete("deployments.apps", "web", "default", user=DEV)

    lab.wait(lambda: not lab.pods("web"))
    assert lab.events("web", "Killing") == ["Stopping container main"]


def test_a_stateful_set_names_its_pods_in_order(lab: Lab) -> None:
    spec = {"replicas": 2, "serviceName": "db", **workload("db")}
    lab.create("statefulsets.apps", "StatefulSet", "db", spec)

    lab.wait(lambda: lab.status("statefulsets.apps", "db").get("readyReplicas") == 2)

    assert sorted(pod["metadata"]["name"] for pod in lab.pods()) == ["db-0", "db-1"]
    assert lab.events("db", "SuccessfulCreate") == [
        "create Pod db-0 in StatefulSet db successful",
        "create Pod db-1 in StatefulSet db successful",
    ]


def test_a_daemon_set_has_a_pod_on_each_node_that_takes_it(lab: Lab) -> None:
    lab.cluster.add_node("gpu-1", pool="l4", accelerator="nvidia-l4")
    lab.create("daemonsets.apps", "DaemonSet", "agent", workload("agent"))
    lab.wait(lambda: lab.running("agent"))

    lab.cluster.add_node("cpu-2", pool="default")

    lab.wait(lambda: len(lab.running("agent")) == 2)
    assert {pod["spec"]["nodeName"] for pod in lab.pods()} == {"cpu-1", "cpu-2"}


def test_a_replication_controller_keeps_its_pods(lab: Lab) -> None:
    template = workload("old")["template"]
    spec = {"replicas": 1, "selector": {"app": "old"}, "template": template}
    lab.create("replicationcontrollers", "ReplicationController", "old", spec)
    lab.wait(lambda: lab.running("old"))
    first = lab.pods("old")[0]["metadata"]["name"]

    lab.api.delete("pods", first, "default", user=DEV)

    lab.wait(lambda: lab.running("old") and lab.pods("old")[0]["metadata"]["name"] != first)


def test_a_job_completes(lab: Lab) -> None:
    helper = {"name": "helper", "image": TOOL, "command": ["cp", "/bin/true", "/x/true"]}
    job = lab.job("one", {"initContainers": [helper]})

    lab.wait(lambda: lab.condition("jobs.batch", "one", "Complete"))

    status = lab.status("jobs.batch", "one")
    (pod,) = lab.pods("one")
    assert status["succeeded"] == 1
    assert "active" not in status
    assert status["completionTime"] >= status["startTime"]
    assert [each["type"] for each in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "one"
    assert pod["metadata"]["labels"]["controller-uid"] == job["metadata"]["uid"]
    assert pod["status"]["phase"] == "Succeeded"
    lab.wait(lambda: lab.events("one", "Completed") == ["Job completed"])
    assert lab.events("one", "SuccessfulCreate") == [f"Created pod: {pod['metadata']['name']}"]


def test_a_suspended_job_waits_until_it_is_resumed(lab: Lab) -> None:
    lab.job("later", suspend=True)
    lab.wait(lambda: lab.condition("jobs.batch", "later", "Suspended"))
    suspended = lab.status("jobs.batch", "later")

    lab.api.patch("jobs.batch", "later", {"spec": {"suspend": False}}, "default", user=DEV)

    lab.wait(lambda: lab.condition("jobs.batch", "later", "Complete"))
    lab.wait(lambda: lab.events("later", "Completed"))
    resumed = lab.condition("jobs.batch", "later", "Suspended")
    assert "startTime" not in suspended
    assert resumed is not None
    assert (resumed["status"], resumed["reason"]) == ("False", "JobResumed")
    assert lab.events("later", "Suspended") == ["Job suspended"]
    assert lab.events("later", "Resumed") == ["Job resumed"]


def test_suspending_a_job_takes_its_pod_away(lab: Lab) -> None:
    lab.cluster.switches.runs_on.add("tool")
    lab.job("paused")
    lab.wait(lambda: lab.running("paused"))
    started = lab.status("jobs.batch", "paused")["startTime"]

    lab.api.patch("jobs.batch", "paused", {"spec": {"suspend": True}}, "default", user=DEV)
    lab.wait(lambda: lab.condition("jobs.batch", "paused", "Suspended") and not lab.pods("paused"))
    lab.api.patch("jobs.batch", "paused", {"spec": {"suspend": False}}, "default", user=DEV)

    lab.wait(lambda: lab.running("paused"))
    status = lab.status("jobs.batch", "paused")
    assert "failed" not in status
    assert datetime.fromisoformat(status["startTime"]) > datetime.fromisoformat(started)


def test_a_job_without_retries_fails_with_its_pod(lab: Lab) -> None:
    lab.cluster.switches.exit_codes["tool"] = 3
    lab.job("broken", backoffLimit=0)

    lab.wait(lambda: lab.condition("jobs.batch", "broken", "Failed"))

    failed = lab.condition("jobs.batch", "broken", "Failed")
    assert failed is not None
    assert failed["reason"] == "BackoffLimitExceeded"
    assert failed["message"] == "Job has reached the specified backoff limit"
    assert lab.status("jobs.batch", "broken")["failed"] == 1
    assert lab.condition("jobs.batch", "broken", "FailureTarget") is not None
    lab.wait(lambda: lab.events("broken", "BackoffLimitExceeded") == [failed["message"]])


def test_a_job_is_retried_up_to_its_limit(lab: Lab) -> None:
    lab.cluster.switches.exit_codes["tool"] = 1
    lab.job("stubborn", backoffLimit=2)

    lab.wait(lambda: lab.condition("jobs.batch", "stubborn", "Failed"))

    assert lab.status("jobs.batch", "stubborn")["failed"] == 3
    assert len(lab.pods("stubborn")) == 3


def test_a_rule_may_fail_a_job_at_once(lab: Lab) -> None:
    lab.cluster.switches.exit_codes["tool"] = 42
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    lab.job("ruled", backoffLimit=5, podFailurePolicy={"rules": [rule]})

    lab.wait(lambda: lab.condition("jobs.batch", "ruled", "Failed"))

    failed = lab.condition("jobs.batch", "ruled", "Failed")
    pod = lab.pods("ruled")[0]["metadata"]["name"]
    assert failed is not None
    assert failed["reason"] == "PodFailurePolicy"
    assert failed["message"] == (
        f"Container main for pod default/{pod} failed with exit code 42 matching FailJob rule "
        "at index 0"
    )


def test_a_job_that_waits_too_long_fails_at_its_deadline(lab: Lab) -> None:
    lab.job("hopeless", {"nodeSelector": GPU}, activeDeadlineSeconds=600)
    lab.wait(lambda: lab.events("hopeless", "FailedScheduling"))

    changed = {"spec": {"activeDeadlineSeconds": 60}}
    lab.api.patch("jobs.batch", "hopeless", changed, "default", user=DEV)

    lab.wait(lambda: lab.condition("jobs.batch", "hopeless", "Failed"))
    failed = lab.condition("jobs.batch", "hopeless", "Failed")
    assert failed is not None
    assert failed["reason"] == "DeadlineExceeded"
    assert not lab.pods("hopeless")
    lab.wait(
        lambda: (
            lab.events("hopeless", "DeadlineExceeded")
            == ["Job was active longer than specified deadline"]
        )
    )


def test_a_pod_over_quota_is_created_once_there_is_room(lab: Lab) -> None:
    quota = lab.create("resourcequotas", "ResourceQuota", "pods", {"hard": {"pods": "0"}})
    lab.job("queued")
    lab.wait(lambda: lab.events("queued", "FailedCreate"))

    lab.api.delete("resourcequotas", quota["metadata"]["name"], "default", user=DEV)

    lab.wait(lambda: lab.condition("jobs.batch", "queued", "Complete"))
    assert "exceeded quota: pods" in lab.events("queued", "FailedCreate")[0]


def test_a_finished_job_goes_after_its_time_to_live(lab: Lab) -> None:
    lab.job("short", ttlSecondsAfterFinished=30)

    lab.wait(lambda: lab.events("short", "Completed"))

    lab.wait(lambda: not lab.api.list("jobs.batch", "default"))
    lab.wait(lambda: not lab.pods("short"))


def test_a_disrupted_pod_is_replaced_without_counting(lab: Lab) -> None:
    lab.cluster.switches.runs_on.add("tool")
    lab.cluster.add_node("gpu-1", pool="l4", accelerator="nvidia-l4", spot=True)
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    pod = {"nodeSelector": GPU, "tolerations": [TOLERATION]}
    lab.job("warm", pod, backoffLimit=0, podFailurePolicy={"rules": [rule]})
    lab.wait(lambda: lab.running("warm"))
    first = lab.pods("warm")[0]["metadata"]["uid"]

    lab.cluster.preempt_node("gpu-1")
    lab.cluster.switches.runs_on.clear()
    lab.cluster.add_node("gpu-2", pool="l4", accelerator="nvidia-l4", spot=True)

    lab.wait(lambda: lab.condition("jobs.batch", "warm", "Complete"))
    assert "failed" not in lab.status("jobs.batch", "warm")
    assert [pod["metadata"]["uid"] == first for pod in lab.pods("warm")] == [False]


def test_a_drained_node_evicts_its_pods_as_disrupted(lab: Lab) -> None:
    lab.create("deployments.apps", "Deployment", "web", {"replicas": 1, **workload("web")})
    lab.wait(lambda: lab.running("web"))
    watch = lab.api.watch("pods")

    lab.cluster.add_node("cpu-2", pool="default")
    lab.cluster.drain("cpu-1")

    lab.wait(lambda: [pod["spec"].get("nodeName") for pod in lab.running("web")] == ["cpu-2"])
    last = next(body for event, body in watch if event == "DELETED")
    watch.close()
    (condition,) = (
        each for each in last["status"]["conditions"] if each["type"] == "DisruptionTarget"
    )
    assert condition["reason"] == "EvictionByEvictionAPI"
    assert last["status"]["phase"] == "Failed"


def test_a_removed_node_leaves_no_pods_behind(lab: Lab) -> None:
    lab.create("deployments.apps", "Deployment", "web", {"replicas": 1, **workload("web")})
    lab.wait(lambda: lab.running("web"))

    lab.cluster.remove_node("cpu-1")

    lab.wait(lambda: [pod["spec"].get("nodeName") for pod in lab.pods("web")] == [None])


def test_a_pod_waits_for_the_node_that_it_asks_for(lab: Lab) -> None:
    lab.create("pods", "Pod", "p", pod_spec(nodeSelector=GPU, tolerations=[TOLERATION]))
    lab.wait(lambda: lab.events("p", "FailedScheduling"))

    lab.cluster.add_node("gpu-1", pool="l4", accelerator="nvidia-l4")

    lab.wait(lambda: lab.running("p"))
    assert lab.events("p", "Scheduled") == ["Successfully assigned default/p to gpu-1"]
    assert lab.events("p", "FailedScheduling")[0].startswith(
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    )


def test_a_cordoned_node_takes_no_new_pods(lab: Lab) -> None:
    lab.cluster.cordon("cpu-1")

    lab.create("pods", "Pod", "p", pod_spec())

    lab.wait(lambda: lab.events("p", "FailedScheduling"))
    assert "1 node(s) were unschedulable" in lab.events("p", "FailedScheduling")[0]


def test_a_silent_node_takes_no_new_pods_until_it_speaks_again(lab: Lab) -> None:
    lab.cluster.set_ready("cpu-1", is_ready=False)
    lab.create("pods", "Pod", "p", pod_spec())
    lab.wait(lambda: lab.events("p", "FailedScheduling"))

    lab.cluster.set_ready("cpu-1", is_ready=True)

    lab.wait(lambda: lab.running("p"))


def test_a_pool_grows_from_zero_for_a_pod_that_fits(lab: Lab) -> None:
    pool = lab.cluster.add_node_pool("l4", max=2, accelerator="nvidia-l4")

    lab.create("pods", "Pod", "p", pod_spec(nodeSelector=GPU, tolerations=[TOLERATION]))

    lab.wait(lambda: lab.running("p"))
    assert pool.additions == 1
    assert lab.events("p", "TriggeredScaleUp")[0].endswith("gke-gpu-l4-grp 0->1 (max: 2)}]")


def test_no_pool_grows_for_an_expendable_pod(lab: Lab) -> None:
    pool = lab.cluster.add_node_pool("l4", accelerator="nvidia-l4")
    low = {"kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "value": -1000}
    for name, value in (("expendable", -1000), ("barely", -10)):
        body = low | {"metadata": {"name": name}, "value": value}
        lab.api.create("priorityclasses.scheduling.k8s.io", body, user=DEV)
    wanted = {"nodeSelector": GPU, "tolerations": [TOLERATION]}
    lab.create("pods", "Pod", "first", pod_spec(priorityClassName="expendable", **wanted))
    lab.wait(lambda: lab.events("first", "FailedScheduling"))

    selector = {"cloud.google.com/gke-nodepool": "nowhere"}
    lab.create("pods", "Pod", "second", pod_spec(priorityClassName="barely", nodeSelector=selector))

    lab.wait(lambda: lab.events("second", "NotTriggerScaleUp"))
    assert pool.additions == 0
    assert not lab.events("first", "NotTriggerScaleUp")


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
