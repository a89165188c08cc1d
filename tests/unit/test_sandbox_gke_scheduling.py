"""Which nodes a pod may go to, and what the scheduler says of the others."""

from typing import Any

import pytest

from sandbox.gke.placement import (
    NodeView,
    choose,
    explain,
    fits_node_affinity,
    matches_expression,
    refuse,
    requests_of,
    untolerated_taint,
    view_nodes,
)

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def make_pod(name: str = "p", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "x", "resources": spec.pop("resources", {})}]
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {"containers": containers, **spec},
    }


def make_node(
    name: str, labels: dict[str, str] | None = None, *taints: dict[str, str], **spec: Any
) -> dict[str, Any]:
    hostname = {"kubernetes.io/hostname": name}
    return {
        "metadata": {"name": name, "labels": {**hostname, **(labels or {})}},
        "spec": {"taints": list(taints), **spec},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "3"}},
    }


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": [expression]} for expression in expressions]
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
        }
    }


def apart(labels: dict[str, str], topology: str = "kubernetes.io/hostname") -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": topology}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        pytest.param("In", ["a", "b"], True, id="in"),
        pytest.param("In", ["b"], False, id="not-among"),
        pytest.param("NotIn", ["b"], True, id="not-in"),
        pytest.param("Exists", None, True, id="exists"),
        pytest.param("DoesNotExist", None, False, id="does-not-exist"),
        pytest.param("Gt", ["3"], False, id="gt-of-no-number"),
    ],
)
def test_an_expression_is_evaluated_over_labels(
    operator: str, values: list[str] | None, *, expected: bool
) -> None:
    expression = {"key": "k", "operator": operator, "values": values}

    assert matches_expression(expression, {"k": "a"}) is expected


def test_numbers_are_compared_as_numbers() -> None:
    greater = {"key": "n", "operator": "Gt", "values": ["9"]}
    less = {"key": "n", "operator": "Lt", "values": ["9"]}

    assert matches_expression(greater, {"n": "10"})
    assert not matches_expression(less, {"n": "10"})


def test_one_of_the_required_terms_is_enough() -> None:
    affinity = required(
        {"key": "zone", "operator": "In", "values": ["b"]},
        {"key": "gpu", "operator": "Exists"},
    )
    pod = make_pod(affinity=affinity)

    assert fits_node_affinity(pod, make_node("n", {"gpu": "l4"}))
    assert not fits_node_affinity(pod, make_node("n", {"zone": "a"}))


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        pytest.param({"key": "nvidia.com/gpu", "operator": "Exists"}, True, id="exists"),
        pytest.param({"operator": "Exists"}, True, id="everything"),
        pytest.param({"key": "nvidia.com/gpu", "value": "present"}, True, id="equal"),
        pytest.param({"key": "nvidia.com/gpu", "value": "absent"}, False, id="other-value"),
        pytest.param(
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"},
            False,
            id="other-effect",
        ),
    ],
)
def test_a_toleration_matches_a_taint(toleration: dict[str, str], *, tolerated: bool) -> None:
    pod = make_pod(tolerations=[toleration])

    found = untolerated_taint(pod, make_node("n", None, GPU_TAINT), ("NoSchedule",))

    assert (found is None) is tolerated


def test_a_pod_that_asks_for_a_gpu_tolerates_its_taint() -> None:
    asking = make_pod(resources={"limits": {"nvidia.com/gpu": "1"}})
    node = make_node("n", None, GPU_TAINT)

    assert untolerated_taint(asking, node, ("NoSchedule",)) is None
    assert untolerated_taint(make_pod(), node, ("NoSchedule",)) == GPU_TAINT


def test_the_greatest_init_container_counts() -> None:
    pod = make_pod(resources={"requests": {"cpu": "100m"}})
    pod["spec"]["initContainers"] = [{"name": "i", "resources": {"requests": {"cpu": "1"}}}]

    assert requests_of(pod)["cpu"] == 1


def test_the_scheduler_counts_why_no_node_serves() -> None:
    nodes = [
        make_node("a", None, GPU_TAINT),
        make_node("b", {"gpu": "l4"}),
        make_node("c", {"gpu": "l4"}, unschedulable=True),
    ]
    pod = make_pod(nodeSelector={"gpu": "t4"})

    assert explain(pod, view_nodes(nodes, [])) == (
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) "
        "had untolerated taint(s), 1 node(s) were unschedulable. no new claims to deallocate, "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


def test_a_full_node_is_named_by_what_it_lacks() -> None:
    pod = make_pod(resources={"requests": {"cpu": "3", "memory": "8Gi"}}, preemptionPolicy="Never")

    text = explain(pod, view_nodes([make_node("a")], []))

    assert text == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. "
        "no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never."
    )


def test_without_nodes_the_scheduler_says_so() -> None:
    assert explain(make_pod(), []) == "no nodes available to schedule pods"


def test_pods_take_room_until_they_end() -> None:
    nodes = [make_node("a")]
    there = [
        make_pod(str(number), nodeName="a") | {"status": {"phase": phase}}
        for number, phase in enumerate(("Running", "Running", "Running", "Succeeded"))
    ]
    full, free = view_nodes(nodes, there), view_nodes(nodes, there[1:])

    refusal = refuse(make_pod(), full[0], full)

    assert refusal is not None
    assert refusal.reasons == ("Too many pods",)
    assert refuse(make_pod(), free[0], free) is None


def test_anti_affinity_keeps_pods_of_one_topology_apart() -> None:
    labels = {"app": "warmup"}
    pod = make_pod("new", labels, affinity=apart(labels))
    there = make_pod("old", labels, nodeName="a") | {"status": {"phase": "Running"}}
    views = view_nodes([make_node("a"), make_node("b")], [there])

    chosen = choose(pod, views)

    assert chosen is not None
    assert chosen.name == "b"


def test_a_pod_keeps_others_away_that_its_anti_affinity_names() -> None:
    owner = make_pod("old", nodeName="a", affinity=apart({"app": "loud"}))
    there = owner | {"status": {"phase": "Running"}}
    views = view_nodes([make_node("a")], [there])

    loud = refuse(make_pod("new", {"app": "loud"}), views[0], views)
    quiet = refuse(make_pod("new", {"app": "quiet"}), views[0], views)

    assert loud is not None
    assert loud.reasons == ("node(s) didn't satisfy existing pods anti-affinity rules",)
    assert quiet is None


def test_the_preferred_node_is_chosen_by_weight() -> None:
    def prefer(name: str, weight: int) -> dict[str, Any]:
        expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
        return {"weight": weight, "preference": {"matchExpressions": [expression]}}

    preferred = [prefer("a", 10), prefer("b", 90)]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    views = [NodeView(make_node("a")), NodeView(make_node("b")), NodeView(make_node("c"))]

    chosen = choose(make_pod(affinity=affinity), views)

    assert chosen is not None
    assert chosen.name == "b"
