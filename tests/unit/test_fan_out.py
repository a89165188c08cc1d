"""Where a reference goes that names no cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from shared.domain.cluster import Cluster, ClusterName
from shared.domain.disposition import Outcome
from shared.domain.image_reference import parse_reference
from shared.domain.placement import Placement, Toleration
from shared.domain.request import Cause, ReferenceRequest
from shared.errors import TransientError
from shared.pipeline import ports
from shared.pipeline.fan_out import fan_out_request
from shared.settings.keys import Settings
from tests.fakes.clusters import FakeDirectory


def name(location: str, cluster: str) -> ClusterName:
    return ClusterName("demo", location, cluster)


CLUSTERS = [
    Cluster(name("us-central1", "gpu"), has_accelerators=True),
    Cluster(name("us-central1-a", "gpu"), has_accelerators=True),
    Cluster(name("us-central1-b", "train"), has_accelerators=True),
    Cluster(name("europe-west4", "pilot"), is_autopilot=True),
    Cluster(name("us-central1", "web")),
]
WATCHED = {each.name for each in CLUSTERS} - {name("us-central1", "web")}


class Publisher:
    def __init__(self) -> None:
        self.batches: list[list[ReferenceRequest]] = []

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        self.batches.append(list(requests))


@dataclass(frozen=True)
class Services:
    settings: Settings
    directory: FakeDirectory
    publisher: ports.Publisher
    warmer: Any = None


def request(image: str = "anyscale/ray-ml:2.7.0", **fields: Any) -> ReferenceRequest:
    return ReferenceRequest(image=image, reference=parse_reference(image), **fields)


def spread(
    asked: ReferenceRequest, directory: FakeDirectory | None = None, **settings: Any
) -> tuple[Outcome, list[ReferenceRequest]]:
    publisher = Publisher()
    configured = Settings(project="mirrors", deployment_project="demo", **settings)
    services = Services(configured, directory or FakeDirectory(CLUSTERS), publisher)
    outcome = fan_out_request(asked, services)
    assert len(publisher.batches) <= 1
    return outcome, [each for batch in publisher.batches for each in batch]


def clusters_of(requests: Sequence[ReferenceRequest]) -> list[ClusterName]:
    return [ClusterName.parse(each.cluster or "") for each in requests]


def test_one_cluster_of_each_region_is_chosen() -> None:
    outcome, published = spread(request())

    chosen = clusters_of(published)
    assert sorted(each.region for each in chosen) == ["europe-west4", "us-central1"]
    assert set(chosen) <= WATCHED
    assert outcome.disposition == "handled"
    assert outcome.details["published"] == [str(each) for each in chosen]


def test_other_fields_of_the_request_are_unchanged() -> None:
    asked = request(
        placement=Placement.of({"cloud.google.com/gke-spot": "true"}),
        platform="linux/arm64",
        cause=Cause("build", "b-1"),
        force=True,
    )

    _, published = spread(asked)

    for each in published:
        fallbacks = {"fallbacks": list(each.fallbacks)} if each.fallbacks else {}
        assert each.as_json() == asked.as_json() | {"cluster": each.cluster} | fallbacks


def test_choice_is_the_same_each_time_and_in_any_order() -> None:
    _, first = spread(request())
    _, second = spread(request(), FakeDirectory(CLUSTERS[::-1]))

    assert clusters_of(first) == clusters_of(second)


def test_all_spellings_of_a_reference_go_to_the_same_cluster() -> None:
    spellings = ["nginx", "docker.io/nginx", "index.docker.io/library/nginx:latest"]
    chosen = {tuple(clusters_of(spread(request(each))[1])) for each in spellings}

    assert len(chosen) == 1


def test_different_references_go_to_different_clusters() -> None:
    chosen = {
        each
        for number in range(50)
        for each in clusters_of(spread(request(f"org/app:{number}"))[1])
    }

    assert chosen == WATCHED


def test_other_clusters_of_the_region_are_fallbacks_in_order() -> None:
    names = sorted(str(each) for each in WATCHED if each.region == "us-central1")
    orders = set()
    for number in range(30):
        _, published = spread(request(f"org/app:{number}"))
        (pilot,) = [each for each in published if "europe-west4" in str(each.cluster)]
        (each,) = [each for each in published if each is not pilot]
        assert pilot.fallbacks == ()
        orders.add((each.cluster, *each.fallbacks))

    assert orders == {(*names[start:], *names[:start]) for start in range(3)}


def test_number_of_fallbacks_is_limited() -> None:
    clusters = [Cluster(name("us-central1", f"c-{n}"), has_accelerators=True) for n in range(9)]

    _, (published,) = spread(request(), FakeDirectory(clusters))

    assert len(published.fallbacks) == 2


def test_cluster_that_does_not_stream_is_not_a_fallback() -> None:
    cold = Cluster(name("us-central1", "cold"), has_accelerators=True, streams=False)

    _, (published,) = spread(request(), FakeDirectory([CLUSTERS[0], cold]))

    assert (published.cluster, published.fallbacks) == (str(CLUSTERS[0].name), ())


@pytest.mark.parametrize(
    ("image", "settings", "regions"),
    [
        pytest.param(
            "europe-west4-docker.pkg.dev/p/r/app:1", {}, {"europe-west4"}, id="one-region"
        ),
        pytest.param("us-docker.pkg.dev/p/r/app:1", {}, {"us-central1"}, id="multi-region"),
        pytest.param("gcr.io/p/app:1", {}, {"us-central1"}, id="gcr"),
        pytest.param(
            "asia-east1-docker.pkg.dev/p/r/app:1", {}, {"us-central1", "europe-west4"}, id="none"
        ),
        pytest.param(
            "europe-west4-docker.pkg.dev/p/r/app:1",
            {"ladder": ("gpu-node", "prewarm-api")},
            {"us-central1", "europe-west4"},
            id="prewarm-api",
        ),
        pytest.param(
            "us-central1-docker.pkg.dev/mirrors/dockerhub-mirror/a/b:1",
            {},
            {"us-central1", "europe-west4"},
            id="mirror",
        ),
        pytest.param("a/b:1", {}, {"us-central1", "europe-west4"}, id="upstream"),
    ],
)
@pytest.mark.parametrize("spread_by", ["region", "cluster"])
def test_clusters_that_cannot_stream_the_image_are_left_out(
    image: str, settings: dict[str, Any], regions: set[str], spread_by: str
) -> None:
    _, published = spread(request(image), spread=spread_by, **settings)

    assert {each.region for each in clusters_of(published)} == regions


def test_spread_cluster_sends_to_each_cluster() -> None:
    _, published = spread(request(), spread="cluster")
    assert {each.fallbacks for each in published} == {()}

    assert set(clusters_of(published)) == WATCHED
    assert len(published) == len(WATCHED)


def test_clusters_of_the_functions_own_project_are_looked_at() -> None:
    directory = FakeDirectory(CLUSTERS)

    spread(request(), directory)

    assert directory.asked == ["demo"]


def test_clusters_that_are_named_in_full_are_not_looked_for() -> None:
    directory = FakeDirectory(CLUSTERS)
    names = ("projects/other/locations/us-east1/clusters/a", str(name("us-central1", "web")))

    _, published = spread(request(), directory, clusters=names, spread="cluster")

    assert sorted(each.cluster or "" for each in published) == sorted(names)
    assert directory.asked == []


def test_bare_name_means_every_cluster_of_that_name() -> None:
    _, published = spread(request(), clusters=("gpu",), spread="cluster")

    assert set(clusters_of(published)) == {name("us-central1", "gpu"), name("us-central1-a", "gpu")}


def test_cluster_is_watched_that_is_named_although_it_has_no_accelerator() -> None:
    _, published = spread(request(), clusters=("web",))

    assert clusters_of(published) == [name("us-central1", "web")]


def test_bare_and_full_names_can_be_mixed() -> None:
    elsewhere = "projects/other/locations/us-east1/clusters/a"
    full = str(name("us-central1", "gpu"))

    _, published = spread(request(), clusters=("gpu", full, elsewhere), spread="cluster")

    assert sorted(each.cluster or "" for each in published) == sorted(
        [elsewhere, full, str(name("us-central1-a", "gpu"))]
    )


@pytest.mark.parametrize("clusters", ["auto", ("gpu",)])
def test_reference_that_no_cluster_wants_is_ignored(clusters: Any) -> None:
    outcome, published = spread(request(), FakeDirectory([CLUSTERS[-1]]), clusters=clusters)

    assert outcome.disposition == "ignored"
    assert outcome.details["reason"] == "no cluster is watched"
    assert published == []


def test_failed_publish_is_not_reported_as_published() -> None:
    class Broken:
        def publish(self, requests: Sequence[ReferenceRequest]) -> None:
            raise TransientError(f"cannot publish {len(requests)} messages")

    settings = Settings(project="demo", deployment_project="demo")

    with pytest.raises(TransientError):
        fan_out_request(request(), Services(settings, FakeDirectory(CLUSTERS), Broken()))


def test_fan_out_prefers_a_cluster_that_streams() -> None:
    cold = [
        Cluster(name("us-central1", letter), has_accelerators=True, streams=False)
        for letter in "abcdefgh"
    ]
    warm = Cluster(name("us-central1", "warm"), has_accelerators=True)

    _, published = spread(request(), FakeDirectory([*cold, warm]))

    assert clusters_of(published) == [warm.name]


def test_fan_out_accepts_a_cluster_that_does_not_stream() -> None:
    cold = Cluster(name("us-central1", "cold"), has_accelerators=True, streams=False)

    _, published = spread(request(), FakeDirectory([cold]))

    assert clusters_of(published) == [cold.name]


def test_configured_projects_are_watched() -> None:
    theirs = ClusterName("team-a", "us-east1", "train")
    directory = FakeDirectory([*CLUSTERS, Cluster(theirs, has_accelerators=True)])

    _, published = spread(request(), directory, projects=("team-a", "demo"), spread="cluster")

    assert set(clusters_of(published)) == WATCHED | {theirs}
    assert directory.asked == ["demo", "team-a"]


def test_cluster_that_is_named_both_ways_is_watched_once() -> None:
    full = name("us-central1", "gpu")

    _, published = spread(request(), clusters=("gpu", str(full)), spread="cluster")

    assert clusters_of(published) == [name("us-central1-a", "gpu"), full]


def test_placement_is_reduced_to_the_keys_of_warmups() -> None:
    key = "cloud.google.com/gke-accelerator"
    written = Placement.of({key: "nvidia-l4", "team": "vision"}, [Toleration("owner", "Exists")])

    _, published = spread(request(placement=written))

    assert {each.placement for each in published} == {Placement.of({key: "nvidia-l4"})}
