"""The warm pool serves where no ready node streams, and costs nothing until then."""

import pytest

from tests.fakes.warmings import Scene
from tests.fakes.warmups import make_node

POOL = "prestream.dev/warmup"


def scene_with_pool() -> Scene:
    return Scene(warm_pool=True)


def test_node_of_the_warm_pool_is_added_where_no_ready_one_streams() -> None:
    scene = scene_with_pool()

    scene.warm()

    pod = scene.job["spec"]["template"]["spec"]
    assert pod["nodeSelector"][POOL] == "true"
    assert pod["priorityClassName"] == "prestream-warmup-scaling"
    assert {each["key"] for each in pod["tolerations"]} == {POOL}
    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"


def test_ready_node_that_streams_is_used_before() -> None:
    scene = scene_with_pool()
    scene.cluster.place(make_node("gpu-1"))

    scene.warm()

    pod = scene.job["spec"]["template"]["spec"]
    assert POOL not in pod["nodeSelector"]
    assert pod["priorityClassName"] == "prestream-warmup"


@pytest.mark.parametrize("platform", ["linux/arm64"])
def test_warm_pool_serves_its_own_platform_only(platform: str) -> None:
    scene = scene_with_pool()

    outcome = scene.warm(platform=platform)

    assert outcome.details["outcome"] == "no_node"
    assert f"the warm pool has no nodes of {platform}" in outcome.details["reason"]
