"""Accelerators, placement and platform that the pods of an object request."""

from typing import Any

import pytest

from shared.domain.placement import Placement, Toleration
from shared.domain.workload import find_pod_specs
from tests.fakes.pods import GPU, L4, ODD_VALUES, affinity, expression, named, pod


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
def test_affinity_of_a_wrong_type_asks_for_no_accelerator(make: Any, odd: Any) -> None:
    (found,) = find_pod_specs(pod(named("nginx"), affinity=make(odd)))

    assert not found.asks_for_accelerator
    assert found.platform is None


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
def test_accelerator_request_is_recognized(
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
def test_platform_is_read_from_the_node_labels(
    labels: dict[str, str], expected: str | None, where: str
) -> None:
    terms = [expression(key, "In", value) for key, value in labels.items()]
    fields = {"nodeSelector": labels} if where == "selector" else {"affinity": affinity(terms)}

    (found,) = find_pod_specs(pod(named("nginx"), **fields))

    assert found.platform == expected


def test_part_inherits_the_scheduling_that_it_does_not_set() -> None:
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
