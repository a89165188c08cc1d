"""Values of Kubernetes objects: images, placement, platform, accelerators."""

from typing import Any

import pytest

from shared.domain.workload import PodSpec, find_pod_specs
from tests.fakes.pods import GPU, ODD_VALUES, named, pod


def images_of(pods: tuple[PodSpec, ...]) -> list[str]:
    return [image.text for found in pods for image in found.images]


TEMPLATE = pod(named("a/b"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"kind": "Pod", **pod(named("a/b"))}, ["a/b"], id="Pod"),
        pytest.param(
            {"kind": "Deployment", "spec": {"template": TEMPLATE}}, ["a/b"], id="template"
        ),
        pytest.param({"kind": "PodTemplate", "template": TEMPLATE}, ["a/b"], id="PodTemplate"),
        pytest.param(
            {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}},
            ["a/b"],
            id="CronJob",
        ),
        pytest.param(
            {
                "kind": "RayCluster",
                "spec": {
                    "autoscalerOptions": {"image": "ray/autoscaler"},
                    "headGroupSpec": {"template": pod(named("ray/head"))},
                    "workerGroupSpecs": [
                        {"template": pod(named("ray/one"))},
                        {"template": pod(named("ray/two"))},
                    ],
                },
            },
            ["ray/autoscaler", "ray/head", "ray/one", "ray/two"],
            id="RayCluster",
        ),
        pytest.param(
            {
                "kind": "RayJob",
                "spec": {
                    "rayClusterSpec": {"headGroupSpec": {"template": pod(named("ray/head"))}},
                    "submitterPodTemplate": pod(named("ray/submitter")),
                },
            },
            ["ray/head", "ray/submitter"],
            id="RayJob",
        ),
        pytest.param(
            {
                "kind": "RayService",
                "spec": {
                    "rayClusterConfig": {"workerGroupSpecs": [{"template": pod(named("ray/w"))}]}
                },
                "status": {"activeServiceStatus": {"template": pod(named("not/this"))}},
            },
            ["ray/w"],
            id="RayService",
        ),
        pytest.param(
            {
                "kind": "JobSet",
                "spec": {
                    "replicatedJobs": [{"name": "w", "template": {"spec": {"template": TEMPLATE}}}]
                },
            },
            ["a/b"],
            id="JobSet",
        ),
        pytest.param(
            {
                "kind": "LeaderWorkerSet",
                "spec": {
                    "leaderWorkerTemplate": {
                        "leaderTemplate": pod(named("lws/leader")),
                        "workerTemplate": pod(named("lws/worker")),
                    }
                },
            },
            ["lws/leader", "lws/worker"],
            id="LeaderWorkerSet",
        ),
        pytest.param(
            {
                "kind": "PyTorchJob",
                "spec": {
                    "pytorchReplicaSpecs": {
                        "Master": {"template": pod(named("torch/master"))},
                        "Worker": {"template": pod(named("torch/worker"))},
                    }
                },
            },
            ["torch/master", "torch/worker"],
            id="PyTorchJob",
        ),
        pytest.param(
            {
                "kind": "InferenceService",
                "spec": {
                    "predictor": {
                        "model": {"modelFormat": {"name": "huggingface"}, "image": "kserve/hf"},
                        "containers": [named("kserve/proxy")],
                    },
                    "transformer": {"containers": [named("kserve/transformer")]},
                },
            },
            ["kserve/proxy", "kserve/hf", "kserve/transformer"],
            id="InferenceService",
        ),
        pytest.param(
            {"kind": "InferenceService", "spec": {"predictor": {"triton": {"image": "nv/triton"}}}},
            ["nv/triton"],
            id="InferenceService-by-framework",
        ),
        pytest.param(
            {
                "kind": "InferenceService",
                "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}},
            },
            [],
            id="InferenceService-without-image",
        ),
        pytest.param(
            {
                "kind": "Workflow",
                "spec": {
                    "templates": [
                        {"name": "a", "container": {"image": "argo/container"}},
                        {"name": "b", "script": {"image": "argo/script", "source": "print()"}},
                        {
                            "name": "c",
                            "initContainers": [named("argo/init")],
                            "sidecars": [named("argo/sidecar")],
                            "containerSet": {"containers": [named("argo/set")]},
                        },
                        {"name": "d", "steps": [[{"name": "x", "template": "a"}]]},
                    ]
                },
            },
            ["argo/container", "argo/script", "argo/init", "argo/sidecar", "argo/set"],
            id="Workflow",
        ),
        pytest.param({"kind": "Rollout", "spec": {"template": TEMPLATE}}, ["a/b"], id="Rollout"),
        pytest.param(
            {"apiVersion": "serving.knative.dev/v1", "spec": {"template": TEMPLATE}},
            ["a/b"],
            id="Knative",
        ),
        pytest.param(
            {"kind": "Service", "spec": {"ports": [{"port": 80}], "selector": {"app": "a"}}},
            [],
            id="Service",
        ),
        pytest.param(
            {"kind": "PersistentVolume", "spec": {"rbd": {"image": "disk-1"}}},
            [],
            id="an-image-that-is-a-disk",
        ),
        pytest.param(
            {
                "kind": "CustomResourceDefinition",
                "spec": {
                    "versions": [{"schema": {"openAPIV3Schema": {"default": TEMPLATE}}}],
                },
            },
            [],
            id="a-schema-that-describes-pods",
        ),
        pytest.param(
            {"kind": "Pod", "metadata": {"annotations": pod(named("not/this"))}, "spec": {}},
            [],
            id="empty-spec-of-a-mirror-pod",
        ),
    ],
)
def test_images_are_found_at_any_depth(body: Any, expected: list[str]) -> None:
    assert images_of(find_pod_specs(body)) == expected


def test_every_place_of_a_pod_that_holds_an_image_counts() -> None:
    body = pod(
        named("main/app"),
        initContainers=[named("init/app")],
        ephemeralContainers=[named("debug/app")],
        volumes=[
            {"name": "weights", "image": {"reference": "weights/llama:8b", "pullPolicy": "Always"}},
            {"name": "disk", "rbd": {"image": "disk-1"}},
        ],
    )

    (found,) = find_pod_specs(body)

    assert [image.text for image in found.images] == [
        "init/app",
        "main/app",
        "debug/app",
        "weights/llama:8b",
    ]
    assert found.invalid_images == 0


def test_image_is_named_once_for_a_pod_and_keeps_its_text() -> None:
    (found,) = find_pod_specs(pod(named("nginx"), named("nginx")))

    assert [(image.text, str(image.reference)) for image in found.images] == [
        ("nginx", "docker.io/library/nginx:latest")
    ]


@pytest.mark.parametrize(
    ("image", "is_invalid"),
    [
        pytest.param("Not An Image", True, id="grammar"),
        pytest.param("{{inputs.parameters.image}}", True, id="placeholder"),
        pytest.param(" nginx", True, id="space"),
        pytest.param(5, True, id="number"),
        pytest.param(["nginx"], True, id="list"),
        pytest.param({"repository": "nginx"}, True, id="object"),
        pytest.param("a.example/" + "b/" * 600 + "c", True, id="too-long-to-publish"),
        pytest.param("h" * 1100 + ".example/a", True, id="registry-too-long-to-publish"),
        pytest.param("", False, id="left-open"),
        pytest.param(None, False, id="null"),
    ],
)
def test_invalid_image_is_counted_and_the_others_are_kept(image: Any, is_invalid: bool) -> None:  # noqa: FBT001
    (found,) = find_pod_specs(pod(named("nginx"), named(image)))

    assert images_of((found,)) == ["nginx"]
    assert found.invalid_images == int(is_invalid)


def test_pod_without_valid_images_is_found() -> None:
    (found,) = find_pod_specs(pod(named("No Image"), named("No Other")))

    assert (found.images, found.invalid_images) == ((), 2)


@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
@pytest.mark.parametrize(
    "field",
    [
        "initContainers",
        "ephemeralContainers",
        "volumes",
        "nodeSelector",
        "tolerations",
        "affinity",
        "resourceClaims",
        "container",
        "model",
    ],
)
def test_field_of_a_wrong_type_costs_nothing_else(field: str, odd: Any) -> None:
    (found,) = find_pod_specs(pod(named("nginx", resources=GPU), **{field: odd}))

    assert images_of((found,)) == ["nginx"]
    assert found.asks_for_accelerator


@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
def test_invalid_object_has_no_pods(odd: Any) -> None:
    assert find_pod_specs(odd) == ()


def test_object_nested_without_end_is_searched_to_a_limit() -> None:
    body: Any = pod(named("too/deep"))
    for _ in range(100_000):
        body = {"template": body}
    body = {"spec": {**pod(named("a/b"))["spec"], "template": body}}

    assert images_of(find_pod_specs(body)) == ["a/b"]
