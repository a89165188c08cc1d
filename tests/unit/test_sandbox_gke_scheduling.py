"""The nodes on which the simulated scheduler places a pod, beside what recordings show."""

from typing import Any

import pytest

from sandbox.gke.placement import NodeView, choose, explain, refuse, view_nodes

GPU = "nvidia.com/gpu"
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
UNTOLERATED = "node(s) had untolerated taint(s)"


def make_pod(labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "x", "resources": spec.pop("resources", {})}]
    return {
        "metadata": {"name": "p", "namespace": "default", "labels": labels or {}},
        "spec": {"containers": containers, **spec},
    }


def make_node(name: str = "a", *taints: dict[str, str], **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "3"}},
    }


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": [expression]} for expression in expressions]
    selector = {"nodeSelectorTerms": terms}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}


def apart(labels: dict[str, str]) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def running(pod: dict[str, Any], phase: str = "Running") -> dict[str, Any]:
    return {**pod, "spec": {**pod["spec"], "nodeName": "a"}, "status": {"phase": phase}}


EITHER = required(
    {"key": "zone", "operator": "In", "values": ["b"]}, {"key": "gpu", "operator": "Exists"}
)
LARGE_INIT = [{"name": "i", "resources": {"requests": {"cpu": "3"}}}]


@pytest.mark.parametrize(
    ("spec", "node", "reason"),
    [
        pytest.param({"affinity": EITHER}, make_node(gpu="l4"), None, id="one-term-of-two"),
        pytest.param({"affinity": EITHER}, make_node(zone="a"), AFFINITY, id="no-term"),
        pytest.param({}, make_node("a", TAINT), UNTOLERATED, id="taint"),
        pytest.param(
            {"tolerations": [{"key": GPU, "operator": "Exists"}]},
            make_node("a", TAINT),
            None,
            id="toleration-by-key",
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]}, make_node("a", TAINT), None, id="of-all"
        ),
        pytest.param(
            {"tolerations": [{"key": GPU, "value": "absent"}]},
            make_node("a", TAINT),
            UNTOLERATED,
            id="other-value",
        ),
        pytest.param(
            {"tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoExecute"}]},
            make_node("a", TAINT),
            UNTOLERATED,
            id="other-effect",
        ),
        pytest.param(
            {"resources": {"limits": {GPU: "1"}}}, make_node("a", TAINT), None, id="extended"
        ),
        pytest.param({"initContainers": LARGE_INIT}, make_node(), "Insufficient cpu", id="init"),
    ],
)
def test_node_is_refused_for_a_reason(
    spec: dict[str, Any], node: dict[str, Any], reason: str | None
) -> None:
    (view,) = view_nodes([node], [])

    refusal = refuse(make_pod(**spec), view, [view])

    assert (refusal and refusal.reasons) == (reason and (reason,))


def test_cluster_without_nodes_has_a_reason_of_its_own() -> None:
    assert explain(make_pod(), []) == "no nodes available to schedule pods"


def test_pods_take_room_until_they_end() -> None:
    pods = [running(make_pod(), phase) for phase in ("Running", "Running", "Running", "Succeeded")]
    full, free = view_nodes([make_node()], pods), view_nodes([make_node()], pods[1:])

    refusal = refuse(make_pod(), full[0], full)

    assert refusal is not None
    assert refusal.reasons == ("Too many pods",)
    assert refuse(make_pod(), free[0], free) is None


def test_anti_affinity_of_a_running_pod_excludes_the_pods_that_it_names() -> None:
    (view,) = view_nodes([make_node()], [running(make_pod(affinity=apart({"app": "loud"})))])

    loud = refuse(make_pod({"app": "loud"}), view, [view])

    assert loud is not None
    assert loud.reasons == ("node(s) didn't satisfy existing pods anti-affinity rules",)
    assert refuse(make_pod({"app": "quiet"}), view, [view]) is None


def test_preferred_node_is_chosen_by_weight() -> None:
    preferred = [
        {
            "weight": weight,
            "preference": {
                "matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
                ]
            },
        }
        for name, weight in (("a", 10), ("b", 90))
    ]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}

    chosen = choose(make_pod(affinity=affinity), [NodeView(make_node(name)) for name in "abc"])

    assert chosen is not None
    assert chosen.name == "b"
