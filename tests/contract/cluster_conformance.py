"""
The behaviour that warming and reporting expect of every cluster.

It is run on the fake, and on the real client with an API server behind it.
"""

from typing import Any, Protocol

from shared.domain.warmup_job import SELECTOR
from shared.pipeline.plan_resume import NOT_PULLED
from shared.pipeline.ports import ClusterApi
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.warmups import make_node, make_warmup

Body = dict[str, Any]

NAME = "warm-ray-ml-2-7-0-0123456789"


class Cluster(ClusterApi, Protocol):
    """All that the workflows ask of a cluster."""


class World(Protocol):
    """A cluster, and the hands of those who act in it beside us."""

    @property
    def cluster(self) -> Cluster: ...
    def place(self, body: Body) -> object: ...


def make_pod(name: str, job: str) -> Body:
    container = {"name": "image", "image": "x"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "prestream",
            "labels": {"batch.kubernetes.io/job-name": job},
        },
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def make_event(name: str, kind: str, about: str, reason: str) -> Body:
    namespace = "default" if kind == "Node" else "prestream"
    involved = {"kind": kind, "name": about}
    if kind != "Node":
        involved["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "reason": reason,
        "message": "said",
        "type": "Normal",
        "source": {"component": "kubelet"},
        "firstTimestamp": "2026-11-24T08:00:00Z",
        "lastTimestamp": "2026-11-24T08:00:00Z",
    }


def make_deployment(name: str) -> Body:
    labels = {"app": name}
    container = {"name": "main", "image": "team/tool:1.0"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "prestream"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def names_of(bodies: Any) -> list[str]:
    return sorted(body["metadata"]["name"] for body in bodies)


class ClusterConformance:
    """The promises; a subclass for each kind of cluster has the fixture ``world``."""

    def test_cluster_has_its_name_and_kind(self, world: World) -> None:
        assert world.cluster.name == GPU_CLUSTER
        assert world.cluster.is_autopilot is False

    def test_missing_job_is_none(self, world: World) -> None:
        assert world.cluster.fetch_job(NAME) is None

    def test_created_job_is_read_as_requested(self, world: World) -> None:
        body = make_warmup(NAME).body()

        assert world.cluster.create_job(body) is True

        job = world.cluster.fetch_job(NAME)
        assert job is not None
        assert job["metadata"]["annotations"] == body["metadata"]["annotations"]
        assert job["metadata"]["labels"].items() >= body["metadata"]["labels"].items()
        assert job["spec"]["suspend"] is True
        assert all(job["metadata"][key] for key in ("uid", "resourceVersion", "creationTimestamp"))

    def test_second_job_of_a_name_is_not_created(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())
        first = world.cluster.fetch_job(NAME)

        assert world.cluster.create_job(make_warmup(NAME, image="other").body()) is False

        assert world.cluster.fetch_job(NAME) == first

    def test_patch_is_merged_into_a_job(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())
        before = world.cluster.fetch_job(NAME)
        assert before is not None

        marked = {"metadata": {"annotations": {"prestream.dev/reported": "fact"}}}
        assert world.cluster.patch_job(NAME, marked) is True

        after = world.cluster.fetch_job(NAME)
        assert after is not None
        annotations = before["metadata"]["annotations"] | {"prestream.dev/reported": "fact"}
        assert after["metadata"]["annotations"] == annotations
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]

    def test_resuming_a_job_twice_is_resuming_it_once(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())

        for _ in range(2):
            assert world.cluster.patch_job(NAME, {"spec": {"suspend": False}}) is True

        job = world.cluster.fetch_job(NAME)
        assert job is not None
        assert job["spec"]["suspend"] is False

    def test_patch_of_an_older_version_takes_no_effect(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())
        old = world.cluster.fetch_job(NAME)
        assert old is not None
        world.cluster.patch_job(NAME, {"metadata": {"annotations": {"a": "1"}}})

        version = {"resourceVersion": old["metadata"]["resourceVersion"]}
        patch = {"metadata": version, "spec": {"suspend": False}}
        assert world.cluster.patch_job(NAME, patch) is False

        job = world.cluster.fetch_job(NAME)
        assert job is not None
        assert job["spec"]["suspend"] is True

    def test_patch_of_the_current_version_takes_effect(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())
        job = world.cluster.fetch_job(NAME)
        assert job is not None

        version = {"resourceVersion": job["metadata"]["resourceVersion"]}

        assert world.cluster.patch_job(NAME, {"metadata": version, "spec": {"suspend": False}})

    def test_job_is_deleted_on_a_version_only_if_one_is_named(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())
        old = world.cluster.fetch_job(NAME)
        assert old is not None
        uid, version = (old["metadata"][key] for key in ("uid", "resourceVersion"))
        world.cluster.patch_job(NAME, {"spec": {"suspend": False}})

        world.cluster.delete_job(NAME, uid, version)
        assert world.cluster.fetch_job(NAME) is not None

        world.cluster.delete_job(NAME, uid)
        assert world.cluster.fetch_job(NAME) is None

    def test_objects_of_all_namespaces_are_listed_by_their_kind(self, world: World) -> None:
        world.place(make_deployment("trainer"))

        listed = list(world.cluster.list_objects("apps/v1", "deployments"))

        assert names_of(listed) == ["trainer"]
        assert listed[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "team/tool:1.0"

    def test_undefined_kind_has_no_objects(self, world: World) -> None:
        assert list(world.cluster.list_objects("ray.io/v1", "rayclusters")) == []

    def test_groups_that_are_served_are_known_with_their_versions(self, world: World) -> None:
        groups = world.cluster.fetch_group_versions()

        assert groups["batch"] == ("v1",)
        assert "ray.io" not in groups

    def test_config_map_of_our_namespace_is_read(self, world: World) -> None:
        metadata = {"name": "proven-mirrors", "namespace": "prestream"}
        data = {"docker.io": "a"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        world.place(body)

        found = world.cluster.fetch_config_map("proven-mirrors")
        assert found is not None
        assert found["data"] == data
        assert world.cluster.fetch_config_map("other") is None

    def test_config_map_is_patched_on_the_version_that_was_read(self, world: World) -> None:
        metadata = {"name": "proven-mirrors", "namespace": "prestream"}
        data = {"docker.io": "a", "quay.io": "b"}
        world.place({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        found = world.cluster.fetch_config_map("proven-mirrors")
        assert found is not None
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        patch = {"metadata": version, "data": {"docker.io": None, "ghcr.io": "c"}}

        assert world.cluster.patch_config_map("proven-mirrors", patch) is True
        assert world.cluster.patch_config_map("proven-mirrors", patch) is False
        assert world.cluster.patch_config_map("other", {"data": {}}) is False
        changed = world.cluster.fetch_config_map("proven-mirrors")
        assert changed is not None
        assert changed["data"] == {"quay.io": "b", "ghcr.io": "c"}

    def test_job_that_is_gone_cannot_be_patched(self, world: World) -> None:
        assert world.cluster.patch_job(NAME, {"spec": {"suspend": False}}) is False

    def test_job_is_deleted_only_by_its_own_uid(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())
        job = world.cluster.fetch_job(NAME)
        assert job is not None

        world.cluster.delete_job(NAME, "3d5d6a4e-0000-4000-8000-000000000000")
        assert world.cluster.fetch_job(NAME) == job

        world.cluster.delete_job(NAME, job["metadata"]["uid"])
        assert world.cluster.fetch_job(NAME) is None

    def test_deleting_a_missing_job_succeeds(self, world: World) -> None:
        world.cluster.delete_job(NAME, "3d5d6a4e-0000-4000-8000-000000000000")

        assert world.cluster.fetch_job(NAME) is None

    def test_job_created_in_the_place_of_another_is_another(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())
        first = world.cluster.fetch_job(NAME)
        assert first is not None
        world.cluster.delete_job(NAME, first["metadata"]["uid"])

        assert world.cluster.create_job(make_warmup(NAME).body()) is True

        second = world.cluster.fetch_job(NAME)
        assert second is not None
        assert second["metadata"]["uid"] != first["metadata"]["uid"]

    def test_jobs_are_listed_by_their_labels(self, world: World) -> None:
        world.cluster.create_job(make_warmup("warm-a").body())
        world.cluster.create_job(make_warmup("warm-b").body())
        foreign = make_warmup("cleanup").body()
        foreign["metadata"]["labels"] = {"app.kubernetes.io/name": "prestream"}
        world.cluster.create_job(foreign)

        listed = list(world.cluster.list_jobs(SELECTOR))

        assert names_of(listed) == ["warm-a", "warm-b"]
        assert {job["spec"]["suspend"] for job in listed} == {True}

    def test_jobs_that_have_pulled_are_left_out_of_a_queue(self, world: World) -> None:
        pulled = make_warmup("warm-pulled").body()
        pulled["status"] = {"succeeded": 1}
        failed = make_warmup("warm-failed").body()
        failed["status"] = {"failed": 1}
        for body in (pulled, failed):
            world.place(body)
        world.cluster.create_job(make_warmup("warm-waits").body())

        listed = names_of(world.cluster.list_jobs(SELECTOR, NOT_PULLED))

        assert listed == ["warm-failed", "warm-waits"]

    def test_pods_are_listed_by_the_name_of_their_job(self, world: World) -> None:
        world.place(make_pod("warm-a-x1", "warm-a"))
        world.place(make_pod("warm-b-x1", "warm-b"))

        listed = world.cluster.list_pods("batch.kubernetes.io/job-name=warm-a")

        assert names_of(listed) == ["warm-a-x1"]

    def test_pod_of_any_namespace_is_fetched(self, world: World) -> None:
        pod = make_pod("trainer", "warm-a")
        pod["metadata"]["namespace"] = "default"
        world.place(pod)

        found = world.cluster.fetch_pod("trainer", "default")

        assert found is not None
        assert found["spec"]["containers"][0]["image"] == "x"
        assert world.cluster.fetch_pod("trainer", "prestream") is None
        assert world.cluster.fetch_pod("x/../trainer", "default") is None

    def test_pods_that_are_pending_are_listed_in_all_namespaces(self, world: World) -> None:
        for name, namespace in (("trainer", "default"), ("warm-a-x1", "prestream")):
            pod = make_pod(name, "warm-a") | {"status": {"phase": "Pending"}}
            pod["metadata"]["namespace"] = namespace
            world.place(pod)

        assert names_of(world.cluster.list_pending_pods()) == ["trainer", "warm-a-x1"]

    def test_events_are_listed_by_what_they_are_about(self, world: World) -> None:
        world.place(make_event("e1", "Pod", "warm-a-x1", "Pulled"))
        world.place(make_event("e2", "Job", "warm-a", "Completed"))
        world.place(make_event("e3", "Node", "gpu-1", "ImageStreaming"))
        world.place(make_event("e4", "Node", "gpu-2", "ImageStreaming"))
        world.place(make_event("e5", "Node", "gpu-1", "NodeReady"))

        pods = world.cluster.list_events("involvedObject.kind=Pod")
        job = world.cluster.list_events("involvedObject.kind=Job,involvedObject.name=warm-a")
        selector = "involvedObject.kind=Node,involvedObject.name=gpu-1,reason=ImageStreaming"
        node = world.cluster.list_events(selector, "default")

        assert names_of(pods) == ["e1"]
        assert names_of(job) == ["e2"]
        assert names_of(node) == ["e3"]

    def test_events_of_pods_are_listed_in_all_namespaces(self, world: World) -> None:
        elsewhere = make_event("e1", "Pod", "trainer", "Pulled")
        for where in (elsewhere["metadata"], elsewhere["involvedObject"]):
            where["namespace"] = "default"
        world.place(elsewhere)
        world.place(make_event("e2", "Pod", "warm-a-x1", "Pulled"))
        world.place(make_event("e3", "Pod", "warm-a-x1", "Created"))

        listed = world.cluster.list_pod_events("involvedObject.kind=Pod,reason=Pulled")

        assert names_of(listed) == ["e1", "e2"]

    def test_our_namespace_is_fetched(self, world: World) -> None:
        assert world.cluster.fetch_namespace() is not None

    def test_node_is_fetched_by_its_name(self, world: World) -> None:
        world.place(make_node("gpu-1"))

        node = world.cluster.fetch_node("gpu-1")

        assert node is not None
        assert node["metadata"]["labels"]["cloud.google.com/gke-accelerator"] == "nvidia-l4"
        assert world.cluster.fetch_node("gpu-2") is None

    def test_no_name_leads_to_another_object(self, world: World) -> None:
        world.place(make_node("gpu-1"))

        assert world.cluster.fetch_node("x/../gpu-1") is None
        assert world.cluster.fetch_node("../nodes/gpu-1") is None

    def test_nodes_are_listed_by_their_labels(self, world: World) -> None:
        world.place(make_node("gpu-1"))
        world.place(make_node("gpu-2", accelerator="nvidia-h100-80gb"))
        world.place(make_node("cpu-1", accelerator=None))
        key = "cloud.google.com/gke-accelerator"

        assert names_of(world.cluster.list_nodes(f"{key}=nvidia-l4,kubernetes.io/os=linux")) == [
            "gpu-1"
        ]
        assert names_of(world.cluster.list_nodes(f"{key}=nvidia-l4,kubernetes.io/os=other")) == []
        assert names_of(world.cluster.list_nodes(key)) == ["gpu-1", "gpu-2"]
        assert names_of(world.cluster.list_nodes()) == ["cpu-1", "gpu-1", "gpu-2"]

    def test_returned_object_is_a_copy(self, world: World) -> None:
        world.cluster.create_job(make_warmup(NAME).body())
        job = world.cluster.fetch_job(NAME)
        assert job is not None

        job["metadata"]["annotations"].clear()
        for listed in world.cluster.list_jobs(SELECTOR):
            listed["metadata"]["labels"].clear()

        again = world.cluster.fetch_job(NAME)
        assert again is not None
        assert again["metadata"]["annotations"]
        assert names_of(world.cluster.list_jobs(SELECTOR)) == [NAME]
