"""The function image_reference through the real framework, from a message to its delivery."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.clock import Clock
from sandbox.cloud_logging import CloudLogging
from sandbox.fault import Faults
from shared.domain.cluster import Cluster, ClusterName
from shared.domain.disposition import Outcome
from shared.domain.request import Delivery, ReferenceRequest
from shared.errors import TransientError
from tests.fakes.served_functions import Line, ServedFunction, served

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
DOCUMENTED = {
    "image": "anyscale/ray-ml:2.7.0",
    "cluster": CLUSTER,
    "placement": {
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "tolerations": [],
    },
    "platform": "linux/amd64",
    "cause": {
        "kind": "audit_log",
        "id": "INSERT_ID",
        "resource": "apps/v1/namespaces/ml/deployments/trainer",
    },
    "force": False,
}


class Recorded:
    """Replaces the services, and keeps the requests that reach them."""

    def __init__(self) -> None:
        self.warmed: list[tuple[Delivery, ClusterName]] = []
        self.published: list[ReferenceRequest] = []
        self.error: Exception | None = None
        self.has_accelerators = True

    def warm(self, delivery: Delivery, cluster: ClusterName) -> Outcome:
        if self.error is not None:
            raise self.error
        self.warmed.append((delivery, cluster))
        return Outcome("handled", {"created": ["warm-1"], "image": delivery.request.image})

    def list_clusters(self, project: str) -> list[Cluster]:
        assert project
        return [self.fetch_cluster(ClusterName.parse(CLUSTER))]

    def fetch_cluster(self, name: ClusterName) -> Cluster:
        return Cluster(name, has_accelerators=self.has_accelerators)

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        self.published += requests


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def function(config: Path, recorded: Recorded) -> Iterator[ServedFunction]:
    del config
    wiring = dict.fromkeys(("warmer", "directory", "publisher"), lambda: recorded)
    with served("image_reference", **wiring) as function:
        yield function


@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_documented_message_is_understood_whole(
    function: ServedFunction, recorded: Recorded, line: Line, form: str
) -> None:
    published = datetime.now(UTC)

    status = getattr(function, form)(DOCUMENTED, messageId="m-7", publishTime=published.isoformat())

    ((delivery, cluster),) = recorded.warmed
    request = delivery.request
    assert status == 200
    assert (delivery.message_id, delivery.publish_time) == ("m-7", published)
    assert str(cluster) == CLUSTER
    assert request.as_json() == DOCUMENTED
    assert str(request.reference) == "docker.io/anyscale/ray-ml:2.7.0"
    assert line()["message"] == "event handled: created Job warm-1 for anyscale/ray-ml:2.7.0"


def test_person_can_publish_an_image_alone(
    function: ServedFunction, recorded: Recorded, line: Line
) -> None:
    assert function.push({"image": "nginx"}) == 200

    (request,) = recorded.published
    assert (request.image, request.cause.kind) == ("nginx", "manual")
    assert recorded.warmed == []
    assert line()["message"] == f"event handled: published {CLUSTER} for nginx"


@pytest.mark.parametrize(
    ("clusters", "is_watched"),
    [("[gpu]", True), (f"[{CLUSTER}]", True), ("[other]", False), ("auto", True)],
)
def test_cluster_that_is_not_watched_is_left_alone(
    function: ServedFunction,
    recorded: Recorded,
    config: Path,
    line: Line,
    clusters: str,
    *,
    is_watched: bool,
) -> None:
    config.write_text(f"clusters: {clusters}")

    assert function.push(DOCUMENTED) == 200
    assert bool(recorded.warmed) is is_watched
    assert (line()["disposition"] == "handled") is is_watched


def test_cluster_without_accelerators_is_left_alone(
    function: ServedFunction, recorded: Recorded, line: Line
) -> None:
    recorded.has_accelerators = False

    assert function.push(DOCUMENTED) == 200

    assert recorded.warmed == []
    said = line()
    assert (said["disposition"], said["reason"]) == ("ignored", "the cluster is not watched")
    assert said["cluster"] == CLUSTER


def test_same_message_again_is_the_same_delivery(
    function: ServedFunction, recorded: Recorded, line: Line
) -> None:
    published = datetime.now(UTC).isoformat()
    recorded.error = TransientError("the mirror is being made")
    first = function.push(DOCUMENTED, publishTime=published)
    line()
    recorded.error = None

    again = [function.push(DOCUMENTED, publishTime=published) for _ in range(2)]

    assert (first, again) == (503, [200, 200])
    assert recorded.warmed[0] == recorded.warmed[1]


def test_real_wiring_needs_nothing_but_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch, line: Line
) -> None:
    config.write_text("clusters: [gpu]")
    logging = CloudLogging(Clock(), Faults()).start()
    monkeypatch.setenv("CLOUD_LOGGING_EMULATOR_HOST", logging.address)

    with served("image_reference") as function:
        status = function.push(DOCUMENTED | {"image": "registry.example/a:1"})
    logging.stop()

    (entry,) = logging.entries
    assert status == 200
    assert entry["jsonPayload"]["outcome"] == "not_allowed"
    assert entry["severity"] == "WARNING"
    said = line()
    assert said["message"].startswith("event handled: not_allowed: registry 'registry.example'")
    assert said["hint"]
