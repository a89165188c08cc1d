"""What is read out of Kubernetes objects: images, placement, platform, accelerators."""

from typing import Any

import pytest

from shared.domain.placement import Placement, Toleration
from shared.domain.workload import PodSpec, find_pod_specs

GPU = {"limits": {"nvidia.com/gpu": "1"}}
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}


def pod(*containers: Any, **fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **fields}}


def named(image: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "main", "image": image, **fields}


def images_of(pods: tuple[PodSpec, ...]) -> list[str]:
    return [image.text for found in pods for image in found.images]


def affinity(*terms: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": term} for term in terms]
            }
        }
    }


def expression(key: str, operator: str, *values: Any) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


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


def test_an_image_is_named_once_for_a_pod_and_keeps_its_text() -> None:
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
def test_an_invalid_image_is_counted_and_the_others_are_kept(image: Any, is_invalid: bool) -> None:  # noqa: FBT001
    (found,) = find_pod_specs(pod(named("nginx"), named(image)))

    assert images_of((found,)) == ["nginx"]
    assert found.invalid_images == int(is_invalid)


def test_a_pod_of_which_no_image_is_valid_is_still_found() -> None:
    (found,) = find_pod_specs(pod(named("No Image"), named("No Other")))

    assert (found.images, found.invalid_images) == ((), 2)


ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    1.5,
    "text",
    [],
    [[]],
    {},
    {"a": None},
    [None, 1, "x", {"b": []}],
]


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
def test_a_field_of_a_wrong_type_costs_nothing_else(field: str, odd: Any) -> None:
    (found,) = find_pod_specs(pod(named("nginx", resources=GPU), **{field: odd}))

    assert images_of((found,)) == ["nginx"]
    assert found.asks_for_accelerator


@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda odd: {"limits": odd, "requests": odd, "claims": odd}, id="resources"),
        pytest.param(lambda odd: odd, id="instead-of-resources"),
        pytest.param(lambda odd: {"limits": {"cpu": odd}}, id="quantity"),
        pytest.param(lambda odd: {"claims": [{"name": odd}]}, id="claim"),
    ],
)
def test_resources_of_a_wrong_type_ask_for_nothing(make: Any, odd: Any) -> None:
    (found,) = find_pod_specs(pod(named("nginx", resources=make(odd)), resourceClaims=[{}, odd]))

    assert not found.asks_for_accelerator


@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda odd: {"nodeAffinity": odd}, id="nodeAffinity"),
        pytest.param(
            lambda odd: {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": odd}},
            id="required",
        ),
        pytest.param(affinity, id="expressions"),
        pytest.param(lambda odd: affinity([expression("gpu", "In", odd)]), id="value"),
        pytest.param(
            lambda odd: affinity([{"key": odd, "operator": odd, "values": odd}]), id="expression"
        ),
    ],
)
def test_an_affinity_of_a_wrong_type_asks_for_no_accelerator(make: Any, odd: Any) -> None:
    (found,) = find_pod_specs(pod(named("nginx"), affinity=make(odd)))

    assert not found.asks_for_accelerator
    assert found.platform is None


@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
def test_what_is_no_object_holds_no_pod(odd: Any) -> None:
    assert find_pod_specs(odd) == ()


def test_an_object_nested_without_end_is_searched_to_a_limit() -> None:
    body: Any = pod(named("too/deep"))
    for _ in range(100_000):
        body = {"template": body}
    body = {"spec": {**pod(named("a/b"))["spec"], "template": body}}

    assert images_of(find_pod_specs(body)) == ["a/b"]


@pytest.mark.parametrize(
    ("fields", "resources", "expected"),
    [
        pytest.param({}, {"limits": {"nvidia.com/gpu": 1}}, True, id="gpu-limit"),
        pytest.param({}, {"requests": {"nvidia.com/gpu": "2"}}, True, id="gpu-request"),
        pytest.param({}, {"limits": {"google.com/tpu": "8"}}, True, id="tpu"),
        pytest.param({}, {"limits": {"nvidia.com/gpu": "0"}}, False, id="zero"),
        pytest.param({}, {"limits": {"nvidia.com/gpu": 0}}, False, id="zero-number"),
        pytest.param({}, {"limits": {"nvidia.com/gpu": "many"}}, False, id="no-quantity"),
        pytest.param({}, {"limits": {"amd.com/gpu": "1"}}, False, id="another-vendor"),
        pytest.param({}, {"limits": {"cpu": "64", "memory": "1Ti"}}, False, id="large-but-cpu"),
        pytest.param(
            {},
            {"limits": {"deviceclass.resource.kubernetes.io/gpu.nvidia.com": "1"}},
            True,
            id="device-class",
        ),
        pytest.param(
            {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]},
            {"claims": [{"name": "gpu"}]},
            True,
            id="claim-used",
        ),
        pytest.param({"resourceClaims": [{"name": "gpu"}]}, {}, False, id="claim-unused"),
        pytest.param({}, {"claims": [{"name": "gpu"}]}, False, id="claim-undeclared"),
        pytest.param({"resourceClaims": [{}]}, {"claims": [{}]}, False, id="claim-without-name"),
        pytest.param({"nodeSelector": L4}, {}, True, id="gpu-selector"),
        pytest.param(
            {"nodeSelector": {"cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice"}},
            {},
            True,
            id="tpu-selector",
        ),
        pytest.param(
            {"nodeSelector": {"cloud.google.com/compute-class": "h100"}}, {}, True, id="class"
        ),
        pytest.param({"nodeSelector": {"disk": "ssd"}}, {}, False, id="another-selector"),
        pytest.param(
            {"affinity": affinity([expression("cloud.google.com/gke-accelerator", "Exists")])},
            {},
            True,
            id="affinity-exists",
        ),
        pytest.param(
            {
                "affinity": affinity(
                    [expression("disk", "In", "ssd")],
                    [expression("cloud.google.com/gke-accelerator", "In", "nvidia-l4")],
                )
            },
            {},
            True,
            id="affinity-in-an-alternative",
        ),
        pytest.param(
            {"affinity": affinity([expression("cloud.google.com/gke-accelerator", "NotIn", "x")])},
            {},
            False,
            id="affinity-to-avoid",
        ),
        pytest.param(
            {
                "affinity": {
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 1,
                                "preference": {
                                    "matchExpressions": [
                                        expression("cloud.google.com/gke-accelerator", "Exists")
                                    ]
                                },
                            }
                        ]
                    }
                }
            },
            {},
            False,
            id="affinity-preferred",
        ),
        pytest.param(
            {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
            {},
            False,
            id="toleration-alone",
        ),
    ],
)
def test_accelerators_are_asked_for(
    fields: dict[str, Any],
    resources: dict[str, Any],
    expected: bool,  # noqa: FBT001
) -> None:
    (found,) = find_pod_specs(pod(named("nginx", resources=resources), **fields))

    assert found.asks_for_accelerator is expected


@pytest.mark.parametrize("field", ["initContainers", "ephemeralContainers", "sidecars"])
def test_any_container_of_a_pod_may_ask(field: str) -> None:
    (found,) = find_pod_specs(pod(named("nginx"), **{field: [named("a/b", resources=GPU)]}))

    assert found.asks_for_accelerator


def test_each_pod_of_an_object_is_judged_by_itself() -> None:
    head, worker = find_pod_specs(
        {
            "spec": {
                "headGroupSpec": {"template": pod(named("ray/head"))},
                "workerGroupSpecs": [{"template": pod(named("ray/worker", resources=GPU))}],
            }
        }
    )

    assert (head.asks_for_accelerator, worker.asks_for_accelerator) == (False, True)


def test_selector_and_required_affinity_make_one_placement() -> None:
    terms = affinity(
        [
            expression("cloud.google.com/gke-accelerator", "In", "nvidia-l4", "nvidia-a100"),
            expression("cloud.google.com/gke-accelerator", "In", "nvidia-a100"),
            expression("zone", "NotIn", "a"),
            expression("pool", "In", "from-affinity"),
            expression("numbers", "In", 5),
            expression("none", "In"),
        ],
        [expression("other", "In", "alternative")],
    )
    tolerations = [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "odd", "operator": "Perhaps"},
        {"key": 5},
        "text",
        {"operator": "Exists", "tolerationSeconds": 300},
    ]

    (found,) = find_pod_specs(
        pod(
            named("nginx"),
            nodeSelector={"pool": "from-selector", "spot": "true", "count": 5},
            affinity=terms,
            tolerations=tolerations,
        )
    )

    assert found.placement == Placement.of(
        {
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "pool": "from-selector",
            "spot": "true",
        },
        [Toleration("nvidia.com/gpu", "Exists", "", "NoSchedule"), Toleration("", "Exists")],
    )


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, None, id="open"),
        pytest.param({"kubernetes.io/arch": "arm64"}, "linux/arm64", id="architecture"),
        pytest.param(
            {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "windows"},
            "windows/amd64",
            id="both",
        ),
        pytest.param({"kubernetes.io/os": "linux"}, None, id="system-alone"),
        pytest.param({"kubernetes.io/arch": "x86/64"}, None, id="no-architecture"),
        pytest.param({"kubernetes.io/arch": ""}, None, id="empty"),
    ],
)
@pytest.mark.parametrize("where", ["selector", "affinity"])
def test_the_platform_is_read_from_the_node_labels(
    labels: dict[str, str], expected: str | None, where: str
) -> None:
    terms = [expression(key, "In", value) for key, value in labels.items()]
    fields = {"nodeSelector": labels} if where == "selector" else {"affinity": affinity(terms)}

    (found,) = find_pod_specs(pod(named("nginx"), **fields))

    assert found.platform == expected


def test_a_part_inherits_the_scheduling_that_it_does_not_set() -> None:
    own = {"disk": "ssd"}

    inherited, overriding = find_pod_specs(
        {
            "kind": "Workflow",
            "spec": {
                "nodeSelector": L4,
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                "templates": [
                    {"container": {"image": "argo/one"}},
                    {"container": {"image": "argo/two"}, "nodeSelector": own},
                ],
            },
        }
    )

    toleration = Toleration("nvidia.com/gpu", "Exists")
    assert inherited.placement == Placement.of(L4, [toleration])
    assert inherited.asks_for_accelerator
    assert overriding.placement == Placement.of(own, [toleration])
    assert not overriding.asks_for_accelerator
