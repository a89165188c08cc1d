"""The pulls of a trial, and the nodes that they run on."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cli.trial.node_choice import choose_nodes, choose_platform, make_rung
from cli.trial.trial_plan import TrialOptions, TrialPlan, plan_trial
from shared.domain.image_reference import Digest
from shared.domain.ladder import WantedImage
from shared.domain.node import Node

DIGEST = Digest(f"sha256:{'5f2d' * 16}")
IMAGE = WantedImage(DIGEST, 9_000_000_000, frozenset({"docker.io/a/b", "r.pkg.dev/p/m/a/b"}))
RUNG = make_rung("linux/amd64")
HUB = TrialOptions(upstream="docker.io")
QUESTIONS = replace(HUB, asks_questions=True, has_second_image=True)


def make_node(  # each is a property of a node
    name: str,
    *,
    streams: bool = True,
    machine: str = "e2-standard-4",
    accelerator: str | None = None,
    images: Sequence[str] = (),
    ready: bool = True,
    taints: Sequence[dict[str, str]] = (),
    arch: str = "amd64",
    storage: str = "94Gi",
    listed: int = 0,
) -> Node:
    labels = {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "node.kubernetes.io/instance-type": machine,
    }
    if streams:
        labels["cloud.google.com/gke-image-streaming"] = "true"
    if accelerator:
        labels["cloud.google.com/gke-accelerator"] = accelerator
    others = [{"names": [f"other/{n}"], "sizeBytes": 10**11} for n in range(listed)]
    return Node.from_body(
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": list(taints)},
            "status": {
                "images": [*({"names": [each], "sizeBytes": 1} for each in images), *others],
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "allocatable": {"ephemeral-storage": storage},
            },
        }
    )


def plan(options: TrialOptions, *nodes: Node) -> TrialPlan:
    return plan_trial(options, choose_nodes(nodes, IMAGE, RUNG))


def shown(planned: TrialPlan) -> dict[str, str]:
    return {each.key: each.node.name if each.node else "-" for each in planned.steps}


def plain(count: int) -> list[Node]:
    return [make_node(f"n{number}") for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        pytest.param(make_node("n", ready=False), "not ready, or cordoned", id="not-ready"),
        pytest.param(make_node("n", arch="arm64"), "another platform", id="platform"),
        pytest.param(
            make_node("n", taints=[{"key": "team", "value": "x", "effect": "NoSchedule"}]),
            "has a taint that a trial does not tolerate",
            id="taint",
        ),
        pytest.param(make_node("n", storage="1Gi"), "has no room for the image", id="small-disk"),
        pytest.param(
            make_node("n", images=[f"docker.io/a/b@{DIGEST}"]), "holds the image", id="upstream"
        ),
        pytest.param(
            make_node("n", images=[f"r.pkg.dev/p/m/a/b@{DIGEST}"]), "holds the image", id="mirror"
        ),
        pytest.param(
            make_node("n", listed=50),
            "may hold the image: it lists only its largest images",
            id="list-is-cut",
        ),
    ],
)
def test_unsuitable_node_is_named_with_the_reason(node: Node, reason: str) -> None:
    choice = choose_nodes([node], IMAGE, RUNG)

    assert (choice.suitable, choice.unsuitable) == ((), (("n", reason),))


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(make_node("n"), id="plain"),
        pytest.param(make_node("n", streams=False), id="without-streaming"),
        pytest.param(make_node("n", images=["docker.io/a/b@sha256:0"]), id="another-version"),
        pytest.param(
            make_node("n", taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]), id="gpu"
        ),
    ],
)
def test_suitable_node_is_chosen(node: Node) -> None:
    assert [each.name for each in choose_nodes([node], IMAGE, RUNG).suitable] == ["n"]


def test_node_is_used_once() -> None:
    choice = choose_nodes(plain(2), IMAGE, RUNG, used=["n1"])

    assert [each.name for each in choice.suitable] == ["n2"]
    assert choice.unsuitable == (("n1", "the trial has pulled on it"),)


def test_no_node_is_excluded_for_an_image_whose_digest_is_unknown() -> None:
    nodes = [make_node("n1", images=[f"docker.io/a/b@{DIGEST}"]), make_node("n2", listed=50)]

    choice = choose_nodes(nodes, WantedImage(None), RUNG)

    assert len(choice.suitable) == 2


def test_nodes_are_ordered_by_streaming_machines_accelerators_and_other_versions() -> None:
    nodes = [
        make_node("cold", streams=False),
        make_node("gpu", accelerator="nvidia-l4", machine="g2"),
        make_node("odd", machine="n2"),
        make_node("e3", images=["docker.io/a/b@sha256:0"]),
        make_node("e1"),
        make_node("e2"),
    ]

    choice = choose_nodes(nodes, IMAGE, RUNG)

    assert [each.name for each in choice.suitable] == ["e1", "e2", "e3", "odd", "gpu", "cold"]


@pytest.mark.parametrize(
    ("nodes", "wanted", "platform"),
    [
        pytest.param([make_node("n", arch="arm64"), make_node("m")], None, "linux/amd64", id="amd"),
        pytest.param([make_node("n", arch="arm64")], None, "linux/arm64", id="arm"),
        pytest.param([make_node("n")], "linux/arm64", "linux/arm64", id="asked"),
        pytest.param([], None, "linux/amd64", id="no-node"),
        pytest.param(
            [make_node("n", ready=False), make_node("m", arch="arm64")],
            None,
            "linux/arm64",
            id="not-ready",
        ),
    ],
)
def test_platform_is_that_of_a_ready_node(
    nodes: list[Node], wanted: str | None, platform: str
) -> None:
    assert choose_platform(nodes, wanted) == platform


@pytest.mark.parametrize(
    ("count", "steps", "left_out"),
    [
        pytest.param(3, {"a": "n3", "b": "n1", "c": "n2"}, {}, id="enough"),
        pytest.param(2, {"b": "n1", "c": "n2"}, {"a": "needs one more node"}, id="two"),
        pytest.param(
            1,
            {"b": "n1"},
            {"a": "needs one more node", "c": "needs one more node with image streaming"},
            id="one",
        ),
        pytest.param(
            0,
            {},
            {
                "a": "needs one more node",
                "b": "needs one more node",
                "c": "needs the first pull through the mirror",
            },
            id="none",
        ),
    ],
)
def test_second_pull_comes_before_the_pull_from_the_upstream(
    count: int, steps: dict[str, str], left_out: dict[str, str]
) -> None:
    planned = plan(HUB, *plain(count))

    assert shown(planned) == steps
    assert {each.step.key: each.reason for each in planned.left_out}.keys() == left_out.keys()
    for each in planned.left_out:
        assert each.reason.startswith(left_out[each.step.key])


def test_plan_counts_the_nodes_that_it_needs() -> None:
    planned = plan(replace(HUB, repeats=3), *plain(3))

    assert (planned.needed, planned.missing) == (5, 2)
    assert [each.step.key for each in planned.left_out] == ["c2", "c3"]


def test_repeated_second_pulls_follow_each_other() -> None:
    planned = plan(replace(HUB, repeats=3), *plain(6))

    assert list(shown(planned)) == ["a", "b", "c", "c2", "c3"]
    assert len(set(shown(planned).values())) == 5


def test_image_without_an_upstream_has_no_pull_from_it() -> None:
    planned = plan(TrialOptions(upstream=None), *plain(3))

    assert list(shown(planned)) == ["b", "c"]
    assert planned.missing == 0


def test_second_pull_needs_a_streaming_node_if_the_first_has_one() -> None:
    nodes = [make_node("hot"), make_node("cold-1", streams=False), make_node("cold", streams=False)]

    planned = plan(HUB, *nodes)

    assert shown(planned) == {"a": "cold", "b": "hot"}
    assert "with image streaming" in planned.left_out[0].reason


def test_cluster_without_streaming_is_tried_all_the_same() -> None:
    nodes = [make_node(f"n{number}", streams=False) for number in range(3)]

    assert list(shown(plan(HUB, *nodes))) == ["a", "b", "c"]


def test_open_questions_add_pulls_in_an_order_that_answers_them() -> None:
    gpu = make_node("gpu", accelerator="nvidia-l4", machine="g2")

    planned = plan(QUESTIONS, *plain(4), gpu)

    assert list(shown(planned)) == ["a", "d", "b", "c", "e", "f"]
    assert shown(planned)["e"] == "gpu"


@pytest.mark.parametrize(
    ("options", "nodes", "key", "reason"),
    [
        pytest.param(
            replace(QUESTIONS, upstream="ghcr.io"),
            plain(6),
            "d",
            "the image is not from Docker Hub",
            id="other-upstream",
        ),
        pytest.param(
            replace(QUESTIONS, has_second_image=False),
            plain(6),
            "f",
            "needs an image that the streaming cache does not hold: add --second-image IMAGE",
            id="one-image",
        ),
        pytest.param(
            QUESTIONS,
            plain(6),
            "e",
            "needs an accelerator node with image streaming, without the image",
            id="no-accelerator",
        ),
        pytest.param(
            QUESTIONS,
            [make_node(f"g{number}", accelerator="nvidia-l4") for number in range(6)],
            "e",
            "needs a node without an accelerator for the first pull",
            id="accelerators-only",
        ),
        pytest.param(
            QUESTIONS,
            [make_node(f"n{number}", streams=False) for number in range(6)],
            "d",
            "no node has image streaming on",
            id="no-streaming",
        ),
        pytest.param(
            QUESTIONS, plain(2), "d", "needs the cold pull from the upstream", id="no-cold-pull"
        ),
    ],
)
def test_question_that_cannot_be_answered_is_left_out_with_the_reason(
    options: TrialOptions, nodes: list[Node], key: str, reason: str
) -> None:
    planned = plan(options, *nodes)

    assert {each.step.key: each.reason for each in planned.left_out}[key] == reason


def test_autopilot_chooses_the_nodes_and_adds_no_accelerator() -> None:
    planned = plan(replace(QUESTIONS, is_autopilot=True))

    assert shown(planned) == dict.fromkeys("adbcf", "-")
    assert [each.step.key for each in planned.left_out] == ["e"]
