"""The inventory of a cluster: images of all kinds of workloads, and the digests that run."""

from typing import Any

import pytest

from shared.domain.cron_schedule import Schedule
from shared.domain.owner import find_workload
from shared.pipeline.sweep.inventory import KINDS, MAX_IMAGES, Inventory, read_inventory
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import FakeCluster
from tests.fakes.sweeps import Body, make_deployment, make_pod, pod_spec

IMAGE = "team/trainer:1"
DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64
CONTROLLED = {"controller": True, "name": "owner", "uid": "u"}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def configure(**values: Any) -> Settings:
    return make_settings(Document(values), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file")


def read(cluster: FakeCluster, **values: Any) -> Inventory:
    return read_inventory(cluster, configure(**values))


def images(inventory: Inventory) -> list[str]:
    return sorted({image for image, _, _ in inventory.uses})


def put(cluster: FakeCluster, api_version: str, plural: str, spec: Body, **fields: Any) -> Body:
    body = {
        "apiVersion": api_version,
        "kind": "Any",
        "metadata": {"name": plural, "namespace": "ml"},
        "spec": spec,
        **fields,
    }
    cluster.objects.setdefault((api_version, plural), []).append(body)
    return body


TEMPLATE = {"template": {"spec": pod_spec(IMAGE)}}

SPECS: dict[str, Body] = {
    "cronjobs": {"jobTemplate": {"spec": TEMPLATE}},
    "rayclusters": {"headGroupSpec": TEMPLATE, "workerGroupSpecs": [TEMPLATE]},
    "rayjobs": {"rayClusterSpec": {"headGroupSpec": TEMPLATE}},
    "rayservices": {"rayClusterConfig": {"headGroupSpec": TEMPLATE}},
    "jobsets": {"replicatedJobs": [{"name": "w", "template": {"spec": TEMPLATE}}]},
    "leaderworkersets": {"leaderWorkerTemplate": {"workerTemplate": {"spec": pod_spec(IMAGE)}}},
    "inferenceservices": {"predictor": pod_spec(IMAGE)},
    "pytorchjobs": {"pytorchReplicaSpecs": {"Worker": {"replicas": 0, **TEMPLATE}}},
    "workflows": {"nodeSelector": pod_spec("")["nodeSelector"], "templates": [pod_spec(IMAGE)]},
}


@pytest.mark.parametrize(
    ("api_version", "plural"), [pytest.param(*kind, id=kind[1]) for kind in KINDS]
)
def test_images_of_a_kind_are_found_though_nothing_of_it_runs(
    cluster: FakeCluster, api_version: str, plural: str
) -> None:
    put(cluster, api_version, plural, SPECS.get(plural, {"replicas": 0, **TEMPLATE}))

    inventory = read(cluster)

    group = api_version if "/" in api_version else f"core/{api_version}"
    assert images(inventory) == [IMAGE]
    assert {use.workload for use in inventory.uses.values()} == {
        f"{group}/namespaces/ml/{plural}/{plural}"
    }
    assert inventory.workloads == 1


def test_pod_without_a_controller_is_a_workload(cluster: FakeCluster) -> None:
    cluster.place(make_pod("notebook", IMAGE, f"{IMAGE}@{DIGEST}", of=None))

    (use,) = read(cluster).uses.values()

    assert use.workload == "core/v1/namespaces/ml/pods/notebook"


def test_undefined_kind_is_not_listed(cluster: FakeCluster) -> None:
    put(cluster, "ray.io/v1", "rayjobs", SPECS["rayjobs"])

    read(cluster)

    asked = [call for call in cluster.calls if call.startswith("list_objects")]
    assert "list_objects ray.io/v1/rayjobs" in asked
    assert not [call for call in asked if "kubeflow" in call or "knative" in call]


def test_kind_is_read_in_the_version_that_the_cluster_serves(cluster: FakeCluster) -> None:
    put(cluster, "ray.io/v1alpha1", "rayjobs", SPECS["rayjobs"])

    (use,) = read(cluster).uses.values()

    assert use.workload == "ray.io/v1alpha1/namespaces/ml/rayjobs/rayjobs"


def test_known_version_is_read_where_others_are_served_as_well(cluster: FakeCluster) -> None:
    put(cluster, "kubeflow.org/v2beta1", "mpijobs", {})
    put(cluster, "kubeflow.org/v1", "pytorchjobs", SPECS["pytorchjobs"])

    assert images(read(cluster)) == [IMAGE]


def test_placement_and_platform_are_those_that_a_warmup_may_copy(cluster: FakeCluster) -> None:
    spec = pod_spec(IMAGE) | {
        "nodeSelector": {
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "kubernetes.io/arch": "arm64",
            "team": "vision",
        },
        "tolerations": [{"operator": "Exists"}, {"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    put(cluster, "apps/v1", "deployments", {"template": {"spec": spec}})

    (use,) = read(cluster).uses.values()

    assert use.placement.as_json() == {
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    assert use.platform == "linux/arm64"


def test_workload_keeps_a_limited_number_of_images_warm(cluster: FakeCluster) -> None:
    spec = pod_spec(IMAGE)
    spec["containers"] = [
        {"name": f"c{number}", "image": f"team/app-{number}:1"} for number in range(MAX_IMAGES + 5)
    ]
    cluster.place(make_deployment("huge", IMAGE, template={"spec": spec}))
    cluster.place(make_pod("runs", "team/app-36:1", f"team/app-36@{DIGEST}"))
    cluster.place(make_deployment("other", IMAGE))

    inventory = read(cluster)

    kept = [f"team/app-{number}:1" for number in range(MAX_IMAGES)]
    assert images(inventory) == sorted([*kept, IMAGE])
    assert inventory.left_out == 5
    assert "team/app-36:1" not in inventory.running


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("30 2 * * *", {Schedule("30 2 * * *")}, id="short"),
        pytest.param("0" + ",0" * 700_000 + " 2 * * *", set(), id="as-large-as-an-object"),
    ],
)
def test_schedule_of_a_cron_job_is_kept_if_it_is_short(
    cluster: FakeCluster, text: str, expected: set[Schedule]
) -> None:
    put(cluster, "batch/v1", "cronjobs", SPECS["cronjobs"] | {"schedule": text})

    (use,) = read(cluster).uses.values()

    assert use.schedules == expected


def test_many_workloads_alike_are_one_use(cluster: FakeCluster) -> None:
    for number in range(100):
        cluster.place(make_deployment(f"app-{number}", IMAGE))

    inventory = read(cluster)

    assert inventory.workloads == 100
    (use,) = inventory.uses.values()
    assert use.workload == "apps/v1/namespaces/ml/deployments/app-0"


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        pytest.param(
            {"template": {"spec": {"containers": [{"image": IMAGE}]}}}, {}, id="no-accelerator"
        ),
        pytest.param(TEMPLATE, {"metadata": {"namespace": "kube-system"}}, id="system"),
        pytest.param(TEMPLATE, {"metadata": {"namespace": "prestream"}}, id="our-own"),
        pytest.param(
            TEMPLATE,
            {"metadata": {"ownerReferences": [{**CONTROLLED, "apiVersion": "apps/v1"}]}},
            id="of-a-built-in-controller",
        ),
        pytest.param(
            {"replicas": 0, **TEMPLATE},
            {"metadata": {"ownerReferences": [{**CONTROLLED, "kind": "Rollout"}]}},
            id="history",
        ),
        pytest.param(
            TEMPLATE,
            {"status": {"conditions": [{"type": "Complete", "status": "True"}]}},
            id="complete",
        ),
        pytest.param(
            TEMPLATE,
            {"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}},
            id="succeeded",
        ),
        pytest.param(TEMPLATE, {"status": {"phase": "Error"}}, id="workflow-with-an-error"),
        pytest.param(TEMPLATE, {"status": {"jobDeploymentStatus": "Complete"}}, id="ray-job"),
        pytest.param({"template": {"spec": pod_spec("not a reference")}}, {}, id="no-reference"),
        pytest.param({"template": []}, {"metadata": {"namespace": 5}}, id="odd"),
    ],
)
def test_image_is_not_in_use_by_a_workload(cluster: FakeCluster, spec: Body, fields: Body) -> None:
    put(cluster, "apps/v1", "deployments", spec, **fields)

    assert images(read(cluster)) == []


@pytest.mark.parametrize(
    ("replicas", "fields"),
    [
        pytest.param(
            1, {"status": {"conditions": [{"type": "Failed", "status": "False"}]}}, id="not-failed"
        ),
        pytest.param(
            1,
            {"status": {"conditions": [{"type": "Complete", "status": "Unknown"}]}},
            id="not-known-to-be-complete",
        ),
        pytest.param(
            1, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, id="ready"
        ),
        pytest.param(
            0,
            {"metadata": {"ownerReferences": [{**CONTROLLED, "kind": "InferenceService"}]}},
            id="scaled-to-zero-by-its-controller",
        ),
        pytest.param(0, {"status": "odd"}, id="odd-status"),
    ],
)
def test_image_is_in_use_by_a_workload(cluster: FakeCluster, replicas: int, fields: Body) -> None:
    put(cluster, "apps/v1", "deployments", {"replicas": replicas, **TEMPLATE}, **fields)

    assert images(read(cluster)) == [IMAGE]


def test_patterns_of_the_configuration_hold(cluster: FakeCluster) -> None:
    for image in (IMAGE, "ghcr.io/team/server:1"):
        cluster.place(make_deployment("app", image))

    assert images(read(cluster, exclude=["docker.io/*"])) == ["ghcr.io/team/server:1"]


def test_inventory_without_the_accelerator_rule_has_all_workloads(cluster: FakeCluster) -> None:
    spec = {"template": {"spec": {"containers": [{"image": IMAGE}]}}}
    put(cluster, "apps/v1", "deployments", spec)

    assert images(read(cluster, accelerators_only=False)) == [IMAGE]


# Running digests


def run(cluster: FakeCluster, *pods: Body) -> dict[str, dict[str, list[str]]]:
    cluster.place(make_deployment("trainer", IMAGE))
    for pod in pods:
        cluster.place(pod)
    running: Any = read(cluster).running
    return running  # type: ignore[no-any-return]


def test_running_digests_come_with_their_workloads(cluster: FakeCluster) -> None:
    pods = [make_pod(f"p-{number}", IMAGE, f"team/trainer@{DIGEST}") for number in range(3)]
    other = make_pod("q", IMAGE, f"team/trainer@{OTHER_DIGEST}", of="older")

    assert run(cluster, *pods, other) == {
        IMAGE: {
            DIGEST: ["apps/v1/namespaces/ml/deployments/trainer"],
            OTHER_DIGEST: ["apps/v1/namespaces/ml/deployments/older"],
        }
    }


def test_list_of_workloads_is_cut(cluster: FakeCluster) -> None:
    pods = [
        make_pod(f"p-{number}", IMAGE, f"team/trainer@{DIGEST}", of=f"app-{number}")
        for number in range(100)
    ]

    assert len(run(cluster, *pods)[IMAGE][DIGEST]) == 20


@pytest.mark.parametrize(
    "image_id",
    [
        pytest.param("", id="not-pulled-yet"),
        pytest.param(DIGEST, id="digest-of-the-configuration"),
        pytest.param("docker://sha256:abc", id="short"),
        pytest.param("team/trainer@sha256:abc", id="no-digest"),
    ],
)
def test_image_id_without_a_digest_is_ignored(cluster: FakeCluster, image_id: str) -> None:
    assert run(cluster, make_pod("p", IMAGE, image_id)) == {}


def test_scheme_that_older_runtimes_put_before_it_does_not_matter(
    cluster: FakeCluster,
) -> None:
    pod = make_pod("p", IMAGE, f"docker-pullable://team/trainer@{DIGEST}")

    assert list(run(cluster, pod)[IMAGE]) == [DIGEST]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": {"phase": "Failed"}}, id="failed"),
        pytest.param({"metadata": {"deletionTimestamp": "2026-11-24T07:00:00Z"}}, id="leaving"),
        pytest.param({"metadata": {"namespace": "kube-system"}}, id="system"),
        pytest.param({"spec": {"containers": [{"name": "other"}]}}, id="of-no-container"),
    ],
)
def test_pod_runs_nothing_that_counts(
    cluster: FakeCluster, change: dict[str, dict[str, Any]]
) -> None:
    pod = make_pod("p", IMAGE, f"team/trainer@{DIGEST}")
    for part, fields in change.items():
        pod[part] |= fields

    assert run(cluster, pod) == {}


def test_container_that_waits_does_not_run_what_it_ran_before(cluster: FakeCluster) -> None:
    pod = make_pod("p", IMAGE, f"team/trainer@{DIGEST}")
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff"}}

    assert run(cluster, pod) == {}


def test_sidecar_runs_as_well(cluster: FakeCluster) -> None:
    pod = make_pod("p", "team/other:1", f"team/other@{OTHER_DIGEST}")
    pod["spec"]["initContainers"] = [{"name": "side", "image": IMAGE, "restartPolicy": "Always"}]
    state = {"name": "side", "imageID": f"team/trainer@{DIGEST}", "state": {"running": {}}}
    pod["status"]["initContainerStatuses"] = [state]

    assert list(run(cluster, pod)) == [IMAGE]


def test_pod_outside_the_selection_is_not_reported(cluster: FakeCluster) -> None:
    pod = make_pod("p", "team/other:1", f"team/other@{DIGEST}")

    assert run(cluster, pod) == {}


# The workload of a pod


@pytest.mark.parametrize(
    ("owner", "workload"),
    [
        pytest.param(
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6f9c"},
            "apps/v1/namespaces/ml/deployments/web",
            id="deployment",
        ),
        pytest.param(
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "bare"},
            "apps/v1/namespaces/ml/replicasets/bare",
            id="bare-replica-set",
        ),
        pytest.param(
            {"apiVersion": "batch/v1", "kind": "Job", "name": "train"},
            "batch/v1/namespaces/ml/jobs/train",
            id="job",
        ),
        pytest.param(
            {"apiVersion": "v1", "kind": "ReplicationController", "name": "old"},
            "core/v1/namespaces/ml/replicationcontrollers/old",
            id="core",
        ),
        pytest.param(
            {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "ray"},
            "ray.io/v1/namespaces/ml/rayclusters/ray",
            id="custom",
        ),
        pytest.param({"name": 5}, "core/v1/namespaces/ml/pods/p", id="odd"),
    ],
)
def test_pod_is_called_by_its_workload(owner: Body, workload: str) -> None:
    pod = make_pod("p", IMAGE, "", of=None)
    pod["metadata"]["ownerReferences"] = [{"name": "first"}, {**owner, "controller": True}]

    assert find_workload(pod) == workload
