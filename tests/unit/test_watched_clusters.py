"""Which clusters are watched, when they are searched and when a delivery names one."""

from typing import Literal

import pytest

from shared.domain.cluster import Cluster, ClusterName, UnknownClusterError
from shared.pipeline.watched_clusters import find_watched, is_watched
from shared.settings.keys import Settings
from tests.fakes.clusters import FakeDirectory

Clusters = Literal["auto"] | tuple[str, ...]

GPU = ClusterName("demo", "us-central1", "gpu")
PILOT = ClusterName("demo", "europe-west4", "pilot")
WEB = ClusterName("demo", "us-central1", "web")
SEARCHED = ClusterName("research", "us-central1", "gpu")
FOREIGN = ClusterName("foreign", "us-central1", "gpu")
CLUSTERS = (
    Cluster(GPU, has_accelerators=True),
    Cluster(PILOT, is_autopilot=True),
    Cluster(WEB),
    Cluster(SEARCHED, has_accelerators=True),
    Cluster(FOREIGN, has_accelerators=True),
)


@pytest.mark.parametrize(
    ("clusters", "watched"),
    [
        pytest.param("auto", {GPU, PILOT, SEARCHED}, id="auto"),
        pytest.param(("gpu",), {GPU, SEARCHED}, id="last-part"),
        pytest.param(("web", str(PILOT)), {WEB, PILOT}, id="one-of-each"),
        pytest.param((str(FOREIGN),), {FOREIGN}, id="full-name"),
        pytest.param(("gpu", str(FOREIGN)), {GPU, SEARCHED, FOREIGN}, id="project-not-searched"),
    ],
)
def test_cluster_is_watched_if_it_is_found(clusters: Clusters, watched: set[ClusterName]) -> None:
    settings = Settings(
        project="mirrors", deployment_project="demo", projects=("research",), clusters=clusters
    )
    directory = FakeDirectory(CLUSTERS)

    assert {each.name for each in find_watched(settings, directory)} == watched
    assert {each.name for each in CLUSTERS if is_watched(each.name, settings, directory)} == watched


@pytest.mark.parametrize("clusters", ["auto", ("gpu",), (str(FOREIGN), "web")])
@pytest.mark.parametrize("name", [FOREIGN, SEARCHED])
def test_cluster_of_a_project_that_is_not_searched_is_not_asked_for(
    clusters: Clusters, name: ClusterName
) -> None:
    settings = Settings(project="demo", deployment_project="demo", clusters=clusters)
    directory = FakeDirectory()

    assert is_watched(name, settings, directory) is (str(name) in clusters)
    assert directory.asked == []


def test_missing_cluster_is_unknown() -> None:
    settings = Settings(project="demo", deployment_project="demo")

    with pytest.raises(UnknownClusterError):
        is_watched(WEB, settings, FakeDirectory())
