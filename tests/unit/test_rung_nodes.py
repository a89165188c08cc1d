"""The nodes of a rung that may pull an image."""

import pytest

from shared.domain.ladder import (
    AllNodesHoldError,
    Rung,
    RungUnavailableError,
    plan_warm_pool,
)
from tests.fakes.rungs import HELD, IMAGE, SIZE, plan, serve
from tests.fakes.warmups import make_node

# Which nodes hold the image.


def test_nodes_that_hold_the_image_and_nodes_that_lack_it_are_named() -> None:
    strategy = serve(
        plan("gpu-node"),
        make_node("gpu-3"),
        make_node("gpu-2", images=["us-docker.pkg.dev/demo/x/app:1", HELD]),
        make_node("gpu-1", images=[HELD]),
        make_node("other", accelerator="nvidia-h100-80gb", images=[HELD]),
    )

    assert strategy.avoided_nodes == ("gpu-1", "gpu-2")
    assert strategy.lacking_nodes == strategy.required_nodes == ("gpu-3",)


@pytest.mark.parametrize(
    ("image_size", "lacks"),
    [
        pytest.param(SIZE - 1, True, id="image-would-be-listed"),
        pytest.param(SIZE, False, id="image-may-be-cut"),
    ],
)
def test_node_with_a_cut_image_list_lacks_an_image_that_is_larger(
    image_size: int, *, lacks: bool
) -> None:
    many = [f"registry.example/image-{number}:1" for number in range(50)]

    strategy = serve(plan("gpu-node"), make_node("gpu-1", images=many, image_size=image_size))

    assert strategy.lacking_nodes == (("gpu-1",) if lacks else ())
    assert strategy.required_nodes == ("gpu-1",)


def test_nodes_that_lack_the_image_come_before_nodes_of_which_it_is_unknown() -> None:
    many = [f"registry.example/image-{number}:1" for number in range(50)]
    unknown = make_node("gpu-1", images=many, image_size=SIZE)

    strategy = serve(plan("gpu-node"), unknown, make_node("gpu-2"))

    assert strategy.required_nodes == ("gpu-2",)


def test_no_more_nodes_are_named_than_an_annotation_should_hold() -> None:
    crowd = [make_node(f"gpu-{number:03}") for number in range(200)]

    assert len(serve(plan("gpu-node"), *crowd).required_nodes) == 20


@pytest.mark.parametrize("name", ["gpu-node", "any-node"])
def test_rung_that_needs_a_node_cannot_serve_if_every_node_holds_the_image(name: str) -> None:
    with pytest.raises(AllNodesHoldError, match="holds the image"):
        serve(plan(name), make_node("gpu-1", images=[HELD]), make_node("gpu-2", images=[HELD]))


@pytest.mark.parametrize(
    "rung",
    [
        pytest.param(plan("new-gpu-node"), id="new-gpu-node"),
        pytest.param(plan_warm_pool(None), id="warm-pool"),
    ],
)
def test_rung_that_may_add_a_node_adds_one_if_every_node_holds_the_image(rung: Rung) -> None:
    labels = {**rung.node_selector}
    strategy = serve(rung, make_node("gpu-1", images=[HELD], labels=labels, taints=[]))

    assert strategy.priority_class == "prestream-warmup-scaling"
    assert strategy.avoided_nodes == ("gpu-1",)
    assert strategy.required_nodes == ()


@pytest.mark.parametrize("repository", sorted(IMAGE.repositories))
@pytest.mark.parametrize("suffix", [":2.6.0", "@sha256:" + "9" * 64])
def test_node_without_another_version_of_the_image_comes_first(
    repository: str, suffix: str
) -> None:
    other = make_node("gpu-1", images=[f"{repository}{suffix}"])
    similar = make_node("gpu-2", images=[f"{repository}-cpu{suffix}"])

    strategy = serve(plan("gpu-node"), other, similar)

    assert strategy.required_nodes == ("gpu-2", "gpu-1")
    assert strategy.preferred_nodes == ("gpu-2",)


# Disks.


@pytest.mark.parametrize(
    ("storage", "has_room"),
    [
        pytest.param(str(SIZE), True, id="just-enough"),
        pytest.param(str(SIZE - 1), False, id="too-small"),
        pytest.param("9Gi", False, id="binary-unit"),
        pytest.param("10G", True, id="decimal-unit"),
        pytest.param("unreadable", True, id="unknown"),
        pytest.param(None, True, id="missing"),
    ],
)
def test_node_without_room_for_the_image_is_not_a_candidate(
    storage: str | None, *, has_room: bool
) -> None:
    node = make_node("gpu-1", storage=storage)

    if has_room:
        assert serve(plan("gpu-node"), node).required_nodes == ("gpu-1",)
    else:
        with pytest.raises(RungUnavailableError, match=f"room for the {SIZE} bytes"):
            serve(plan("gpu-node"), node)


def test_node_with_the_most_storage_comes_first() -> None:
    strategy = serve(
        plan("gpu-node"), make_node("gpu-1", storage="100Gi"), make_node("gpu-2", storage="1Ti")
    )

    assert strategy.required_nodes == ("gpu-2", "gpu-1")
