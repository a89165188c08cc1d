"""A cluster that cannot be reached: the image is warmed in another one of the region."""

from typing import Any

import pytest

from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.errors import (
    ClusterRefusedError,
    ClusterUnavailableError,
    ConfigurationError,
    TransientError,
)
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.warmings import Scene
from tests.fakes.warmups import make_node

SECOND = ClusterName("demo", "us-central1", "second")
THIRD = ClusterName("demo", "us-central1-a", "third")
NO_ANSWER = ClusterUnavailableError("no answer")
REFUSAL = ClusterRefusedError("403")


class Region(Scene):
    """A region with three clusters, some of which cannot be reached."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.clusters = {name: FakeCluster(name) for name in (GPU_CLUSTER, SECOND, THIRD)}
        for cluster in self.clusters.values():
            cluster.place(make_node("gpu-1"))
        self.errors: dict[ClusterName, Exception] = {}

    def _connect(self, name: ClusterName) -> FakeCluster:
        if name in self.errors:
            raise self.errors[name]
        return self.clusters[name]

    @property
    def warmed(self) -> list[str]:
        """The clusters with a Job."""
        return [each.name.name for each in self.clusters.values() if each.jobs]


@pytest.mark.parametrize(
    ("errors", "warmed"),
    [
        pytest.param([], "gpu", id="reached"),
        pytest.param([NO_ANSWER], "second", id="no-answer"),
        pytest.param([REFUSAL], "second", id="refused"),
        pytest.param([UnknownClusterError("gone")], "second", id="deleted"),
        pytest.param([NO_ANSWER, REFUSAL], "third", id="second-refuses"),
    ],
)
def test_first_cluster_that_can_be_reached_warms(errors: list[Exception], warmed: str) -> None:
    region = Region()
    region.errors = dict(zip(region.clusters, errors, strict=False))

    outcome = region.warm(fallbacks=(str(SECOND), str(THIRD)))

    assert region.warmed == [warmed]
    assert outcome.disposition == "handled"
    assert str(outcome.details["cluster"]).endswith(f"/{warmed}")
    assert outcome.details.get("unreachable") == (str(GPU_CLUSTER) if errors else None)


def test_cluster_that_stops_answering_is_left() -> None:
    region = Region()
    region.clusters[GPU_CLUSTER].fail("list_nodes", NO_ANSWER)

    region.warm(fallbacks=(str(SECOND),))

    assert region.warmed == ["second"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(TransientError("our quota"), id="another-service"),
        pytest.param(ConfigurationError("no credentials"), id="our-deployment"),
    ],
)
def test_error_that_is_not_of_the_cluster_is_raised(error: Exception) -> None:
    region = Region()
    region.errors = {GPU_CLUSTER: error}

    with pytest.raises(type(error), match=str(error)):
        region.warm(fallbacks=(str(SECOND),))

    assert region.warmed == []


@pytest.mark.parametrize(
    ("fallbacks", "clusters"),
    [
        pytest.param((), "auto", id="named-by-the-message"),
        pytest.param((str(SECOND), str(THIRD)), "auto", id="all-refuse"),
        pytest.param((str(THIRD).replace("third", "idle"),), ["gpu"], id="not-watched"),
    ],
)
def test_error_of_the_cluster_is_raised_if_no_other_warms(
    fallbacks: tuple[str, ...], clusters: Any
) -> None:
    region = Region(clusters=clusters)
    region.errors = {GPU_CLUSTER: REFUSAL, SECOND: UnknownClusterError("gone"), THIRD: REFUSAL}

    with pytest.raises(ClusterRefusedError, match="403"):
        region.warm(fallbacks=fallbacks)

    assert region.warmed == []


@pytest.mark.parametrize("errors", [(NO_ANSWER, REFUSAL), (REFUSAL, NO_ANSWER)])
def test_delivery_waits_for_a_cluster_that_may_answer_later(errors: tuple[Exception, ...]) -> None:
    region = Region()
    region.errors = dict(zip(region.clusters, errors, strict=False))

    with pytest.raises(ClusterUnavailableError):
        region.warm(fallbacks=(str(SECOND),))


def test_message_that_comes_twice_is_warmed_once() -> None:
    region = Region()
    region.errors = {GPU_CLUSTER: NO_ANSWER}

    for _ in range(2):
        region.warm(fallbacks=(str(SECOND), str(THIRD)))

    assert region.warmed == ["second"]
    assert len(region.clusters[SECOND].jobs) == 1
