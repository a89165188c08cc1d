"""Which way an image is warmed: the rungs, the nodes that they can use, and the platform."""

from typing import Any

import pytest

from shared.domain.ladder import (
    RungUnavailableError,
    find_targets,
    platform_of,
    with_platform,
)
from shared.domain.placement import Placement, Toleration
from tests.fakes.rungs import (
    ACCELERATOR,
    AMD64,
    ARM64,
    COMPUTE_CLASS,
    SPOT,
    STREAMING,
    TPU,
    nodes,
    plan,
    serve,
)
from tests.fakes.warmups import GPU_TAINT, GPU_TOLERATION, L4, make_node

# gpu-node.


def test_gpu_node_is_of_the_targets_kind_and_platform() -> None:
    strategy = serve(plan("gpu-node"), make_node())

    assert strategy.rung == "gpu-node"
    assert strategy.node_selector == {ACCELERATOR: "nvidia-l4", **AMD64}
    assert strategy.priority_class == "prestream-warmup"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(make_node(accelerator="nvidia-h100-80gb"), id="of-another-kind"),
        pytest.param(make_node(accelerator=None), id="of-no-kind"),
        pytest.param(make_node(arch="arm64"), id="of-another-architecture"),
        pytest.param(make_node(ready="False"), id="not-ready"),
        pytest.param(make_node(ready="Unknown"), id="lost"),
        pytest.param(make_node(cordoned=True), id="cordoned"),
        pytest.param(
            make_node(taints=[GPU_TAINT, {"key": "team", "value": "a", "effect": "NoSchedule"}]),
            id="tainted",
        ),
        pytest.param(
            make_node(taints=[{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]),
            id="drained",
        ),
        pytest.param(
            make_node(taints=[{"key": "nvidia.com/gpu", "effect": "NoExecute"}]),
            id="another-effect",
        ),
    ],
)
def test_node_that_a_pod_cannot_have_does_not_count(body: dict[str, Any]) -> None:
    with pytest.raises(RungUnavailableError, match=f"no ready node has {ACCELERATOR}=nvidia-l4"):
        serve(plan("gpu-node"), body)


def test_node_that_is_being_deleted_does_not_count() -> None:
    body = make_node()
    body["metadata"]["deletionTimestamp"] = "2026-11-24T07:00:00Z"

    with pytest.raises(RungUnavailableError):
        serve(plan("gpu-node"), body)


def test_node_without_a_word_on_its_condition_does_not_count() -> None:
    with pytest.raises(RungUnavailableError):
        serve(plan("gpu-node"), {"metadata": make_node()["metadata"]})


def test_prefer_no_schedule_taint_is_ignored() -> None:
    taint = {"key": "team", "value": "a", "effect": "PreferNoSchedule"}

    assert serve(plan("gpu-node"), make_node(taints=[taint])).rung == "gpu-node"


def test_gpu_taint_is_always_tolerated() -> None:
    assert serve(plan("gpu-node"), make_node()).tolerations == (GPU_TOLERATION,)


def test_targets_own_tolerations_are_kept() -> None:
    spot = Toleration(SPOT, "Equal", "true", "NoSchedule")
    target = Placement.of({ACCELERATOR: "nvidia-l4", SPOT: "true"}, [spot])
    taint = {"key": SPOT, "value": "true", "effect": "NoSchedule"}
    body = make_node(labels={SPOT: "true"}, taints=[GPU_TAINT, taint])

    strategy = serve(plan("gpu-node", target), body)

    assert set(strategy.tolerations) == {spot, GPU_TOLERATION}
    with pytest.raises(RungUnavailableError):
        serve(plan("gpu-node"), body)


def test_no_toleration_is_for_everything() -> None:
    for name in ("gpu-node", "any-node", "new-gpu-node"):
        assert all(each.key for each in plan(name).tolerations)


def test_taint_of_a_compute_class_is_tolerated_as_gke_lets_in_who_selects_it() -> None:
    target = Placement.of({COMPUTE_CLASS: "gpu-class"})
    taint = {"key": COMPUTE_CLASS, "value": "gpu-class", "effect": "NoSchedule"}
    body = make_node(labels={COMPUTE_CLASS: "gpu-class"}, taints=[GPU_TAINT, taint])

    strategy = serve(plan("gpu-node", target), body)

    class_toleration = Toleration(COMPUTE_CLASS, "Equal", "gpu-class", "NoSchedule")
    assert set(strategy.tolerations) == {GPU_TOLERATION, class_toleration}


def test_taint_of_tpus_is_tolerated_where_the_target_is_one() -> None:
    target = Placement.of({TPU: "tpu-v5-lite-podslice"})
    taint = {"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"}
    body = make_node(accelerator=None, labels={TPU: "tpu-v5-lite-podslice"}, taints=[taint])

    assert serve(plan("gpu-node", target), body).rung == "gpu-node"


@pytest.mark.parametrize("name", ["gpu-node", "new-gpu-node"])
def test_target_that_names_no_kind_of_node_has_no_gpu_node(name: str) -> None:
    with pytest.raises(RungUnavailableError, match="names no kind of node"):
        plan(name, Placement.of({}, [GPU_TOLERATION]))


# any-node.


def test_any_node_that_streams_will_do_and_only_the_architecture_is_copied() -> None:
    strategy = serve(
        plan("any-node", platform="linux/arm64"),
        make_node(accelerator=None, arch="arm64"),
        platform="linux/arm64",
    )

    assert strategy.node_selector == {STREAMING: "true", **ARM64}
    assert strategy.priority_class == "prestream-warmup"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(make_node(accelerator=None, streaming=False), id="not-streaming"),
        pytest.param(make_node(accelerator=None, arch="arm64"), id="of-another-architecture"),
        pytest.param(make_node(accelerator=None, labels={STREAMING: "false"}), id="switched-off"),
    ],
)
def test_no_other_node_will_do(body: dict[str, Any]) -> None:
    with pytest.raises(RungUnavailableError, match=f"{STREAMING}=true"):
        serve(plan("any-node"), body)


@pytest.mark.parametrize(
    "key", ["nvidia.com/gpu", "google.com/tpu", "prestream.dev/warmup"], ids=str
)
def test_any_node_may_be_one_with_an_accelerator_or_of_the_warm_pool(key: str) -> None:
    taint = {"key": key, "value": "present", "effect": "NoSchedule"}

    assert serve(plan("any-node"), make_node(taints=[taint])).rung == "any-node"


def test_any_node_has_the_default_platform() -> None:
    rung = plan("any-node", platform=None)

    strategy = serve(rung, make_node(accelerator=None), platform=None)

    assert strategy.platform == "linux/amd64"
    assert strategy.node_selector == {STREAMING: "true", **AMD64}


def test_any_node_needs_no_kind_of_node() -> None:
    assert serve(plan("any-node", Placement()), make_node(accelerator=None)).rung == "any-node"


# new-gpu-node, prewarm-api.


def test_new_node_may_be_added_only_by_the_class_that_the_autoscaler_heeds() -> None:
    strategy = serve(plan("new-gpu-node"))

    assert strategy.rung == "new-gpu-node"
    assert strategy.priority_class == "prestream-warmup-scaling"
    assert strategy.node_selector == {ACCELERATOR: "nvidia-l4", **AMD64}
    assert GPU_TOLERATION in strategy.tolerations


def test_no_node_is_added_where_one_is_ready() -> None:
    assert serve(plan("new-gpu-node"), make_node()).priority_class == "prestream-warmup"


def test_node_is_added_where_the_only_one_is_not_ready() -> None:
    strategy = serve(plan("new-gpu-node"), make_node(cordoned=True))

    assert strategy.priority_class == "prestream-warmup-scaling"


def test_prewarm_api_uses_no_node() -> None:
    with pytest.raises(RungUnavailableError, match="does not use nodes"):
        plan("prewarm-api")


# Autopilot.


def test_on_autopilot_any_node_needs_no_node_to_exist() -> None:
    strategy = serve(plan("any-node", is_autopilot=True))

    assert strategy.rung == "any-node"
    assert strategy.node_selector == AMD64
    assert strategy.priority_class == "prestream-warmup-scaling"
    assert strategy.is_autopilot


def test_on_autopilot_a_node_that_is_there_may_be_full() -> None:
    strategy = serve(plan("any-node", is_autopilot=True), make_node(accelerator=None))

    assert strategy.priority_class == "prestream-warmup-scaling"


def test_on_autopilot_nothing_is_tolerated_as_that_would_ask_for_a_node_of_its_own() -> None:
    assert serve(plan("any-node", is_autopilot=True)).tolerations == ()


@pytest.mark.parametrize("name", ["gpu-node", "new-gpu-node"])
def test_on_autopilot_a_gpu_node_would_need_a_gpu(name: str) -> None:
    with pytest.raises(RungUnavailableError, match="Autopilot"):
        plan(name, is_autopilot=True)


# The platform.


def test_platform_defaults_to_that_of_the_nodes() -> None:
    strategy = serve(plan("gpu-node", platform=None), make_node(arch="arm64"), platform=None)

    assert strategy.platform == "linux/arm64"
    assert strategy.node_selector == {ACCELERATOR: "nvidia-l4", **ARM64}


def test_default_platform_comes_first() -> None:
    mixed = [make_node("a", arch="arm64"), make_node("b"), make_node("c", arch="arm64")]
    strategy = serve(plan("gpu-node", platform=None), *mixed, platform=None)

    assert strategy.platform == "linux/amd64"
    assert strategy.lacking_nodes == ("b",)


def test_node_without_a_platform_has_the_default_one() -> None:
    body = make_node()
    del body["metadata"]["labels"]["kubernetes.io/arch"]

    assert serve(plan("gpu-node", platform=None), body, platform=None).platform == "linux/amd64"


def test_platform_of_nodes_has_no_variant() -> None:
    rung = plan("gpu-node", platform="linux/arm64/v8")

    assert serve(rung, make_node(arch="arm64"), platform="linux/arm64/v8").node_selector == {
        ACCELERATOR: "nvidia-l4",
        **ARM64,
    }


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"kubernetes.io/arch": "arm64"}, "linux/arm64", id="architecture"),
        pytest.param(ARM64, "linux/arm64", id="both"),
        pytest.param({"kubernetes.io/os": "linux"}, None, id="system-alone"),
    ],
)
def test_target_may_ask_for_a_platform_itself(
    selector: dict[str, str], expected: str | None
) -> None:
    assert platform_of(Placement.of(selector)) == expected


def test_target_of_another_platform_is_another_target() -> None:
    assert with_platform(L4, None) == L4
    assert with_platform(L4, "linux/amd64") == L4
    assert with_platform(L4, "linux/arm64") == Placement.of({ACCELERATOR: "nvidia-l4", **ARM64})


# Targets that are found.


def test_each_kind_of_accelerator_is_a_target() -> None:
    found = find_targets(
        nodes(
            make_node("a"),
            make_node("b"),
            make_node("c", accelerator="nvidia-h100-80gb", labels={SPOT: "true"}),
            make_node("d", accelerator=None),
        )
    )

    h100 = {ACCELERATOR: "nvidia-h100-80gb", SPOT: "true"}
    assert sorted(found, key=str) == sorted(
        [L4, Placement.of(h100, [Toleration(SPOT, "Exists")])], key=str
    )


def test_cluster_without_accelerators_has_any_node_as_target() -> None:
    assert find_targets(nodes(make_node(accelerator=None))) == [Placement()]
    assert find_targets([]) == [Placement()]
