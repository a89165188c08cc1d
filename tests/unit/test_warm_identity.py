"""One Job per image, target and period, however often the image is requested."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.placement import Placement
from shared.errors import ConfigurationError, InvalidEventError, TransientError
from tests.fakes.clusters import FakeCluster
from tests.fakes.node_reports import place_warmup
from tests.fakes.warmings import PUBLISHED, RAY, Scene
from tests.fakes.warmups import make_node, make_warmup

ACCELERATOR = "cloud.google.com/gke-accelerator"
SPOT = "cloud.google.com/gke-spot"
STREAMING = "cloud.google.com/gke-image-streaming"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1"))
    return scene


# Identity of a warmup.


def test_warmup_is_created_suspended_and_then_resumed(scene: Scene) -> None:
    outcome = scene.warm()

    (name,) = scene.cluster.jobs
    assert outcome.details["created"] == [name]
    assert outcome.details["resumed"] == [name]
    calls = scene.cluster.calls
    assert calls.index("create_job") < calls.index("list_jobs") < calls.index("patch_job")
    assert scene.job["spec"]["suspend"] is False


def test_second_request_has_no_effect(scene: Scene) -> None:
    scene.warm()
    before = dict(scene.job)

    outcome = scene.warm(message_id="message-2")

    assert outcome.disposition == "handled"
    assert outcome.details["known"] == [before["metadata"]["name"]]
    assert scene.job == before


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"publish_time": PUBLISHED + timedelta(seconds=1)}, id="later"),
        pytest.param({"image": "docker.io/anyscale/ray-ml:latest"}, id="another-tag-of-it"),
        pytest.param({"image": f"{MIRROR}/anyscale/ray-ml:2.7.0"}, id="by-its-mirror"),
        pytest.param({"image": f"anyscale/ray-ml@{RAY.digest}"}, id="by-digest"),
        pytest.param({"platform": "linux/amd64"}, id="usual-platform-named"),
    ],
)
def test_equal_requests_are_one_warmup(scene: Scene, fields: dict[str, Any]) -> None:
    scene.warm()

    assert "known" in scene.warm(**fields).details
    assert len(scene.cluster.jobs) == 1


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"image": "team/single:1"}, id="another-image"),
        pytest.param({"placement": Placement.of({SPOT: "true"})}, id="another-target"),
        pytest.param({"publish_time": PUBLISHED + timedelta(hours=49)}, id="another-period"),
        pytest.param({"force": True}, id="forced"),
    ],
)
def test_different_requests_are_different_warmups(scene: Scene, fields: dict[str, Any]) -> None:
    scene.cluster.place(make_node("gpu-2", labels={SPOT: "true"}))
    scene.warm()

    assert "created" in scene.warm(**fields).details
    assert len(scene.cluster.jobs) == 2


def test_late_message_belongs_to_the_period_of_its_publication(
    scene: Scene,
) -> None:
    scene.warm(publish_time=PUBLISHED)
    scene.warm(publish_time=PUBLISHED + timedelta(hours=48), message_id="message-2")

    scene.warm(publish_time=PUBLISHED, message_id="message-1")

    assert len(scene.cluster.jobs) == 2


def test_forced_message_that_is_redelivered_warms_once(scene: Scene) -> None:
    scene.warm()
    scene.warm(force=True, message_id="message-2")

    assert "known" in scene.warm(force=True, message_id="message-2").details
    assert len(scene.cluster.jobs) == 2


def test_forced_message_that_is_published_again_warms_once(scene: Scene) -> None:
    scene.warm()
    for copy in ("message-3", "message-4"):
        scene.warm(force=True, forced_by="message-2", message_id=copy)

    assert len(scene.cluster.jobs) == 2


def test_complete_job_is_not_created_again(scene: Scene) -> None:
    scene.warm()
    (name,) = scene.cluster.jobs
    scene.cluster.end_job(name, "Complete")
    uid = scene.job["metadata"]["uid"]

    assert scene.warm().details["known"] == [name]
    assert scene.job["metadata"]["uid"] == uid
    assert scene.facts.facts == []


def test_failed_job_is_reported_and_then_replaced(scene: Scene) -> None:
    scene.warm()
    (name,) = scene.cluster.jobs
    scene.cluster.end_job(name, "Failed")
    failed = scene.job["metadata"]["uid"]

    outcome = scene.warm(message_id="message-2")

    assert outcome.details["created"] == [name]
    assert [fact.payload["job"] for fact in scene.facts.facts] == [name]
    assert scene.cluster.calls.index("patch_job") < scene.cluster.calls.index("delete_job")
    assert scene.job["metadata"]["uid"] != failed
    assert "status" not in scene.job


def test_failed_job_remains_while_its_fact_cannot_be_written(scene: Scene) -> None:
    scene.warm()
    (name,) = scene.cluster.jobs
    scene.cluster.end_job(name, "Failed")
    failed = scene.job["metadata"]["uid"]
    scene.cluster.calls.clear()
    scene.facts.error = TransientError("cannot write")

    with pytest.raises(TransientError):
        scene.warm()

    assert scene.job["metadata"]["uid"] == failed
    assert "delete_job" not in scene.cluster.calls


def test_failed_job_that_still_exists_defers_the_delivery(scene: Scene) -> None:
    scene.warm()
    (name,) = scene.cluster.jobs
    scene.cluster.end_job(name, "Failed")
    scene.cluster.refuses_deletion = True

    with pytest.raises(TransientError, match="still being deleted"):
        scene.warm()

    scene.cluster.refuses_deletion = False
    assert "created" in scene.warm().details


class Contested(FakeCluster):
    """A cluster in which somebody else is a moment faster."""

    def __init__(self) -> None:
        super().__init__()
        self.others: list[Mapping[str, Any]] = []

    def create_job(self, body: Mapping[str, Any]) -> bool:
        if self.others:
            self.others.pop()
            super().create_job(body)
        return super().create_job(body)


@pytest.fixture
def contested(scene: Scene) -> Contested:
    cluster = Contested()
    cluster.nodes = scene.cluster.nodes
    scene.cluster = cluster
    return cluster


def test_job_of_another_instance_is_success(scene: Scene, contested: Contested) -> None:
    contested.others = [{}]

    outcome = scene.warm()

    (name,) = contested.jobs
    assert outcome.details["waiting"] == [name]
    assert outcome.details["resumed"] == [name]


def test_failed_job_replaced_by_another_instance_is_success(
    scene: Scene, contested: Contested
) -> None:
    scene.warm()
    (name,) = contested.jobs
    contested.end_job(name, "Failed")
    contested.others = [{}]

    assert scene.warm().details["waiting"] == [name]


# Failures on the way.


def test_redelivery_resumes_a_job_after_a_crash(scene: Scene) -> None:
    scene.cluster.fail("list_jobs", TransientError("gone"))
    with pytest.raises(TransientError):
        scene.warm()
    scene.cluster.recover()
    assert scene.job["spec"]["suspend"] is True

    outcome = scene.warm()

    assert outcome.details["waiting"] == outcome.details["resumed"] == list(scene.cluster.jobs)


@pytest.mark.parametrize("error", [TransientError, ConfigurationError, InvalidEventError])
@pytest.mark.parametrize(
    "call", ["fetch_job", "list_nodes", "create_job", "list_jobs", "patch_job"]
)
def test_failure_of_the_cluster_fails_the_delivery(
    scene: Scene, call: str, error: type[Exception]
) -> None:
    scene.cluster.fail(call, error("refused"))

    with pytest.raises(error):
        scene.warm()

    assert scene.facts.facts == []


# The limit of running warmups.


def test_warmup_above_the_limit_waits() -> None:
    scene = Scene(max_running=1)
    scene.cluster.place(make_node())
    scene.warm()

    outcome = scene.warm("team/single:1", message_id="message-2")

    (name,) = outcome.details["created"]
    assert outcome.details["resumed"] == []
    assert scene.cluster.jobs[name]["spec"]["suspend"] is True


# Costs.


def test_known_reference_costs_one_manifest_and_two_reads(scene: Scene) -> None:
    scene.warm()
    scene.restart()
    scene.forget_calls()

    scene.warm(message_id="message-2")

    # The record of a postponed image, and the warmup.
    assert len(scene.registry.asked) == 1
    assert scene.cluster.calls == ["fetch_job", "fetch_job"]
    assert scene.requests == 3


def test_new_reference_costs_six_requests_until_its_job_exists(scene: Scene) -> None:
    scene.warm("team/single:1")
    scene.forget_calls()

    scene.warm()

    until = scene.cluster.calls[: scene.cluster.calls.index("create_job") + 1]
    assert until == ["fetch_job", "fetch_job", "list_nodes", "create_job"]
    assert len(scene.registry.asked) == 2
    # The running ones, and a page of those that wait.
    assert scene.cluster.calls[len(until) :] == ["list_jobs", "list_jobs", "patch_job"]
    assert scene.repositories.fetched == []


def test_nodes_are_listed_by_label(scene: Scene) -> None:
    scene.warm()

    assert scene.cluster.node_selectors == [f"{ACCELERATOR}=nvidia-l4"]


@pytest.mark.parametrize("waiting", [0, 10, 1000])
def test_launch_costs_the_same_whatever_waits(waiting: int) -> None:
    scene = Scene(max_running=1)
    scene.cluster.place(make_node("gpu-1"))
    place_warmup(scene.cluster)
    scene.warm("team/single:1")
    for number in range(waiting):
        scene.cluster.create_job(make_warmup(f"warm-waiting-{number}").body())
    scene.forget_calls()

    assert scene.warm().details["resumed"] == []
    launch = ["fetch_job", "fetch_job", "list_nodes", "create_job", "list_jobs"]
    assert scene.cluster.calls == launch
    # The one that runs.
    assert scene.cluster.listed[-1] == 1
