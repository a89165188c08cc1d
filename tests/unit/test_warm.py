"""A delivery of image_reference: its log line, its warmups, and the facts of failures."""

from datetime import timedelta
from typing import Any

import pytest

from shared.domain.cluster import UnknownClusterError
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.placement import Placement
from shared.domain.request import Cause
from shared.errors import ConfigurationError, TransientError
from tests.fakes.mirrors import HUB_NAME
from tests.fakes.warmings import PUBLISHED, RAY, Scene
from tests.fakes.warmups import L4, make_node

ACCELERATOR = "cloud.google.com/gke-accelerator"
CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
MANUAL = Cause("manual")
TARGETS = {
    "l4": {"nodeSelector": {ACCELERATOR: "nvidia-l4"}},
    "h100": {"nodeSelector": {ACCELERATOR: "nvidia-h100-80gb"}},
}


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1"))
    return scene


def fact_of(scene: Scene) -> dict[str, Any]:
    (fact,) = scene.facts.facts
    return dict(fact.payload)


# The log line.


def test_log_line_names_image_and_job(scene: Scene) -> None:
    outcome = scene.warm()

    (name,) = scene.cluster.jobs
    assert outcome.disposition == "handled"
    assert outcome.details == {
        "image": "anyscale/ray-ml:2.7.0",
        "cluster": CLUSTER,
        "mirror": f"{MIRROR}/anyscale/ray-ml@{RAY.digest}",
        "digest": RAY.digest,
        "created": [name],
        "resumed": [name],
    }
    assert scene.facts.facts == []


# Selection of images.


def test_excluded_image_is_ignored() -> None:
    scene = Scene(exclude=["docker.io/anyscale/*"])
    scene.cluster.place(make_node())

    outcome = scene.warm()

    assert outcome.disposition == "ignored"
    assert "excluded" in outcome.details["reason"]
    assert scene.requests == 0


def test_image_named_by_its_mirror_is_excluded_by_its_upstream_name() -> None:
    scene = Scene(exclude=["docker.io/anyscale/*"])

    assert scene.warm(f"{MIRROR}/anyscale/ray-ml:2.7.0").disposition == "ignored"


def test_small_image_is_ignored(scene: Scene) -> None:
    outcome = scene.warm("team/small:1")

    assert outcome.disposition == "ignored"
    assert outcome.details["reason"] == "the image is smaller than 200000000 bytes"
    assert scene.cluster.jobs == {}
    assert scene.facts.facts == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"cause": MANUAL}, id="manual"),
        pytest.param({"force": True}, id="forced"),
    ],
)
@pytest.mark.parametrize(
    ("values", "image"),
    [
        pytest.param({}, "team/small:1", id="too-small"),
        pytest.param({"exclude": ["*"]}, "anyscale/ray-ml:2.7.0", id="excluded"),
        pytest.param({"include": ["ghcr.io/*"]}, "anyscale/ray-ml:2.7.0", id="not-included"),
    ],
)
def test_manual_and_forced_requests_bypass_the_rules(
    values: dict[str, Any], image: str, fields: dict[str, Any]
) -> None:
    scene = Scene(**values)
    scene.cluster.place(make_node())

    assert "created" in scene.warm(image, **fields).details


@pytest.mark.parametrize("fields", [{"cause": MANUAL}, {"force": True}, {}], ids=str)
def test_allow_list_has_no_exception(scene: Scene, fields: dict[str, Any]) -> None:
    outcome = scene.warm("registry.example/team/app:1", **fields)

    assert outcome.disposition == "handled"
    assert outcome.details["outcome"] == "not_allowed"
    assert fact_of(scene)["outcome"] == "not_allowed"
    assert scene.requests == 0


# Targets.


def test_each_configured_target_has_a_warmup() -> None:
    scene = Scene(targets=TARGETS)
    scene.cluster.place(make_node("gpu-1"))
    scene.cluster.place(make_node("gpu-2", accelerator="nvidia-h100-80gb"))

    outcome = scene.warm(placement=None)

    jobs = scene.cluster.jobs.values()
    labels = {job["metadata"]["labels"]["prestream.dev/target"] for job in jobs}
    assert labels == {"l4", "h100"}
    assert sorted(outcome.details["created"]) == sorted(scene.cluster.jobs)


def test_failure_of_one_target_does_not_stop_the_others() -> None:
    scene = Scene(targets=TARGETS, ladder=["gpu-node"])
    scene.cluster.place(make_node("gpu-1"))

    outcome = scene.warm(placement=None)

    (name,) = scene.cluster.jobs
    assert outcome.details["created"] == outcome.details["resumed"] == [name]
    assert outcome.details["outcome"] == "no_node"
    assert outcome.details["target"] == "h100"
    assert fact_of(scene)["target"] == "h100"


def test_each_failed_target_has_its_own_fact() -> None:
    scene = Scene(targets=TARGETS, ladder=["gpu-node"])

    outcome = scene.warm(placement=None)

    assert {each["target"] for each in outcome.details["failures"]} == {"l4", "h100"}
    assert {fact.payload["target"] for fact in scene.facts.facts} == {"l4", "h100"}
    assert len({fact.insert_id for fact in scene.facts.facts}) == 2


def test_new_and_known_targets_are_listed_separately() -> None:
    scene = Scene(targets=TARGETS, ladder=["gpu-node"])
    scene.cluster.place(make_node("gpu-1"))
    scene.warm(placement=None)
    scene.cluster.place(make_node("gpu-2", accelerator="nvidia-h100-80gb"))

    outcome = scene.warm(placement=None, message_id="message-2")

    assert len(outcome.details["created"]) == len(outcome.details["known"]) == 1


def test_accelerators_of_the_cluster_are_the_default_targets(scene: Scene) -> None:
    scene.cluster.place(make_node("gpu-2", accelerator="nvidia-h100-80gb"))
    scene.cluster.place(make_node("cpu-1", accelerator=None))

    scene.warm(placement=None)

    selectors = [
        job["spec"]["template"]["spec"]["nodeSelector"] for job in scene.cluster.jobs.values()
    ]
    assert sorted(each[ACCELERATOR] for each in selectors) == ["nvidia-h100-80gb", "nvidia-l4"]


def test_cluster_without_accelerators_is_warmed_on_a_streaming_node() -> None:
    scene = Scene()
    scene.cluster.place(make_node("cpu-1", accelerator=None))

    scene.warm(placement=None)

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"


# Facts of failures.


def test_target_without_a_node_has_a_fact_with_a_hint() -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1", ready="False"))

    outcome = scene.warm()

    assert outcome.disposition == "handled"
    fact = fact_of(scene)
    assert fact["event"] == "warmup.finished"
    assert fact["outcome"] == "no_node"
    assert fact["target"] == L4.name
    assert fact["image"] == "anyscale/ray-ml:2.7.0"
    assert fact["mirror"] == f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"
    assert fact["digest"] == RAY.digest
    assert fact["cluster"] == CLUSTER
    assert fact["cause"] == {"kind": "audit_log", "id": "entry-1", "resource": None}
    assert "gpu-node: no ready node" in fact["reason"]
    assert "any-node: no ready node" in fact["reason"]
    assert "nvidia-l4" in fact["hint"]
    unknown = ("job", "node", "started_at", "pull_seconds", "total_seconds", "streamed")
    assert all(fact[key] is None for key in unknown)
    assert outcome.details["hint"] == fact["hint"]
    assert scene.cluster.jobs == {}


def test_redelivery_writes_the_same_fact() -> None:
    scene = Scene()

    for _ in range(2):
        scene.restart()
        scene.warm()

    first, second = scene.facts.facts
    assert first.insert_id == second.insert_id
    assert first.timestamp == second.timestamp == PUBLISHED
    assert first.payload == second.payload


def test_each_message_has_its_own_fact() -> None:
    scene = Scene()

    scene.warm()
    scene.warm(message_id="message-2", publish_time=PUBLISHED + timedelta(hours=1))

    assert len({fact.insert_id for fact in scene.facts.facts}) == 2


def test_failed_write_of_a_fact_fails_the_delivery() -> None:
    scene = Scene()
    scene.facts.error = TransientError("no log")

    with pytest.raises(TransientError):
        scene.warm()


# Images that cannot be pulled.


@pytest.mark.parametrize(
    ("refusal", "outcome", "calls"),
    [
        pytest.param(
            RegistryRefusalError(404, "MANIFEST_UNKNOWN", "none"),
            "pull_failed",
            ["fetch_job"],
            id="404",
        ),
        pytest.param(
            RegistryRefusalError(403, "DENIED", "private"), "pull_failed", ["fetch_job"], id="403"
        ),
        pytest.param(
            RegistryRefusalError(429, "TOOMANYREQUESTS", "slow"),
            "postponed",
            ["fetch_job", "create_job"],
            id="429",
        ),
    ],
)
def test_image_that_cannot_be_pulled_has_a_fact(
    scene: Scene, refusal: RegistryRefusalError, outcome: str, calls: list[str]
) -> None:
    scene.registry.refusals["docker.io"] = refusal

    done = scene.warm()

    assert done.disposition == "handled"
    fact = fact_of(scene)
    assert fact["outcome"] == done.details["outcome"] == outcome
    assert fact["digest"] is None
    assert fact["target"] is None
    assert (fact["not_before"] is not None) is (outcome == "postponed")
    assert fact["hint"]
    assert scene.cluster.calls == calls


# Unavailable services.


def test_unknown_cluster_has_no_mirror_created(scene: Scene) -> None:
    scene.repositories.states.clear()
    scene.unreachable = UnknownClusterError("there is no cluster")

    with pytest.raises(UnknownClusterError):
        scene.warm()

    assert scene.repositories.created == []


@pytest.mark.parametrize("error", [TransientError("slow"), ConfigurationError("no context")])
def test_unreachable_cluster_fails_the_delivery(scene: Scene, error: Exception) -> None:
    scene.unreachable = error

    with pytest.raises(type(error)):
        scene.warm()

    assert scene.facts.facts == []


@pytest.mark.parametrize("error", [TransientError("slow"), ConfigurationError("refused")])
def test_unavailable_registry_fails_the_delivery(scene: Scene, error: Exception) -> None:
    scene.registry.error = error

    with pytest.raises(type(error)):
        scene.warm()

    assert scene.facts.facts == []


# Mirrors.


def test_missing_mirror_is_created(scene: Scene) -> None:
    scene.repositories.states.clear()

    scene.warm()

    assert [each.name for each in scene.repositories.created] == [HUB_NAME]
    assert len(scene.cluster.jobs) == 1


def test_image_at_google_needs_no_mirror(scene: Scene) -> None:
    name = "us-central1-docker.pkg.dev/team/apps/train"
    scene.registry.add(name, "1", RAY)
    apps = RepositoryName("team", "us-central1", "apps")
    scene.repositories.states[apps] = RepositoryState(is_docker_remote=False)

    scene.warm(f"{name}:1", placement=Placement.of({ACCELERATOR: "nvidia-l4"}))

    assert scene.job["metadata"]["annotations"]["prestream.dev/mirror"] == f"{name}@{RAY.digest}"
