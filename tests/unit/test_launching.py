"""One Job for each image, target and period, however often it is asked for, and by whom."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName
from shared.domain.placement import Placement, Toleration
from shared.errors import ConfigurationError, InvalidEventError, TransientError
from tests.fakes.clusters import FakeCluster
from tests.fakes.warmings import ARM, BUSYBOX, PUBLISHED, RAY, SINGLE, Scene
from tests.fakes.warmups import GPU_TAINT, L4, make_node

ACCELERATOR = "cloud.google.com/gke-accelerator"
SPOT = "cloud.google.com/gke-spot"
STREAMING = "cloud.google.com/gke-image-streaming"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1"))
    return scene


# The same warmup, asked for again.


def test_a_warmup_is_created_suspended_and_then_gets_its_turn(scene: Scene) -> None:
    outcome = scene.warm()

    (name,) = scene.cluster.jobs
    assert outcome.details["created"] == [name]
    assert outcome.details["resumed"] == [name]
    calls = scene.cluster.calls
    assert calls.index("create_job") < calls.index("list_jobs") < calls.index("patch_job")
    assert scene.job["spec"]["suspend"] is False


def test_to_ask_twice_is_to_ask_once(scene: Scene) -> None:
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
def test_what_means_the_same_is_the_same_warmup(scene: Scene, fields: dict[str, Any]) -> None:
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
def test_what_means_another_is_another_warmup(scene: Scene, fields: dict[str, Any]) -> None:
    scene.cluster.place(make_node("gpu-2", labels={SPOT: "true"}))
    scene.warm()

    assert "created" in scene.warm(**fields).details
    assert len(scene.cluster.jobs) == 2


def test_a_message_that_is_delivered_late_belongs_to_the_period_it_was_published_in(
    scene: Scene,
) -> None:
    scene.warm(publish_time=PUBLISHED)
    scene.warm(publish_time=PUBLISHED + timedelta(hours=48), message_id="message-2")

    scene.warm(publish_time=PUBLISHED, message_id="message-1")

    assert len(scene.cluster.jobs) == 2


def test_a_forced_message_that_is_delivered_twice_warms_once(scene: Scene) -> None:
    scene.warm()
    scene.warm(force=True, message_id="message-2")

    assert "known" in scene.warm(force=True, message_id="message-2").details
    assert len(scene.cluster.jobs) == 2


def test_a_forced_message_that_is_published_again_twice_warms_once(scene: Scene) -> None:
    scene.warm()
    for copy in ("message-3", "message-4"):
        scene.warm(force=True, forced_by="message-2", message_id=copy)

    assert len(scene.cluster.jobs) == 2


def test_a_job_that_succeeded_is_not_made_again(scene: Scene) -> None:
    scene.warm()
    (name,) = scene.cluster.jobs
    scene.cluster.end_job(name, "Complete")
    uid = scene.job["metadata"]["uid"]

    assert scene.warm().details["known"] == [name]
    assert scene.job["metadata"]["uid"] == uid
    assert scene.facts.facts == []


def test_a_job_that_failed_is_reported_and_then_replaced(scene: Scene) -> None:
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


def test_a_job_that_failed_stays_while_its_fact_cannot_be_written(scene: Scene) -> None:
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


def test_a_failed_job_that_is_still_being_deleted_is_waited_for(scene: Scene) -> None:
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


def test_a_job_that_somebody_else_just_created_is_success(
    scene: Scene, contested: Contested
) -> None:
    contested.others = [{}]

    outcome = scene.warm()

    (name,) = contested.jobs
    assert outcome.details["waiting"] == [name]
    assert outcome.details["resumed"] == [name]


def test_a_failed_job_that_somebody_else_just_replaced_is_success(
    scene: Scene, contested: Contested
) -> None:
    scene.warm()
    (name,) = contested.jobs
    contested.end_job(name, "Failed")
    contested.others = [{}]

    assert scene.warm().details["waiting"] == [name]


# What is lost on the way.


def test_a_crash_between_creation_and_turn_is_healed_by_redelivery(scene: Scene) -> None:
    scene.cluster.fail("list_jobs", TransientError("gone"))
    with pytest.raises(TransientError):
        scene.warm()
    scene.cluster.mend()
    assert scene.job["spec"]["suspend"] is True

    outcome = scene.warm()

    assert outcome.details["waiting"] == outcome.details["resumed"] == list(scene.cluster.jobs)


@pytest.mark.parametrize("error", [TransientError, ConfigurationError, InvalidEventError])
@pytest.mark.parametrize(
    "call", ["fetch_job", "list_nodes", "create_job", "list_jobs", "patch_job"]
)
def test_a_failure_of_the_cluster_is_the_deliverys(
    scene: Scene, call: str, error: type[Exception]
) -> None:
    scene.cluster.fail(call, error("refused"))

    with pytest.raises(error):
        scene.warm()

    assert scene.facts.facts == []


# The limit.


def test_above_the_limit_a_warmup_waits_for_its_turn() -> None:
    scene = Scene(max_running=1)
    scene.cluster.place(make_node())
    scene.warm()

    outcome = scene.warm("team/single:1", message_id="message-2")

    (name,) = outcome.details["created"]
    assert outcome.details["resumed"] == []
    assert scene.cluster.jobs[name]["spec"]["suspend"] is True


# What the Job says.


def test_a_job_says_what_it_warms_and_why(scene: Scene) -> None:
    scene.warm()

    annotations = scene.job["metadata"]["annotations"]
    assert annotations["prestream.dev/image"] == "anyscale/ray-ml:2.7.0"
    assert annotations["prestream.dev/mirror"] == f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"
    assert annotations["prestream.dev/digest"] == RAY.digest
    assert '"entry-1"' in annotations["prestream.dev/cause"]
    assert scene.job["metadata"]["labels"]["prestream.dev/target"] == L4.name
    assert scene.job["metadata"]["namespace"] == "prestream"


def test_a_job_pulls_by_the_digest_that_the_registry_answers(scene: Scene) -> None:
    scene.warm()

    (container,) = scene.pod["containers"]
    assert container["image"] == f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"


def test_the_configuration_bounds_a_job() -> None:
    scene = Scene(
        namespace="warm", deadline_minutes=1.5, period_hours=10.0, max_event_age_hours=100.0
    )
    scene.cluster.place(make_node())
    scene.warm()

    assert scene.job["metadata"]["namespace"] == "warm"
    assert scene.job["spec"]["activeDeadlineSeconds"] == 90
    assert scene.job["spec"]["ttlSecondsAfterFinished"] > 110 * 3600


def test_no_accelerator_is_asked_for(scene: Scene) -> None:
    scene.warm()

    asked = str([each["resources"] for each in scene.pod["containers"]])
    assert "gpu" not in asked
    assert "tpu" not in asked


# The placement of the message.


def test_only_the_keys_that_are_allowed_reach_the_job(scene: Scene) -> None:
    placement = Placement.of(
        {ACCELERATOR: "nvidia-l4", "team": "secret", "kubernetes.io/hostname": "gpu-1"},
        [Toleration("", "Exists"), Toleration("team", "Exists"), Toleration(SPOT, "Exists")],
    )

    scene.warm(placement=placement)

    assert scene.pod["nodeSelector"] == {
        ACCELERATOR: "nvidia-l4",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
    }
    assert {each.get("key") for each in scene.pod["tolerations"]} == {SPOT, "nvidia.com/gpu"}


def test_placements_that_differ_in_what_is_dropped_are_one_target(scene: Scene) -> None:
    scene.warm()

    odd = Placement.of({ACCELERATOR: "nvidia-l4", "team": "a"}, [Toleration("", "Exists")])
    assert "known" in scene.warm(placement=odd).details


def test_a_placement_of_which_nothing_is_left_means_any_node(scene: Scene) -> None:
    scene.warm(placement=Placement.of({"team": "a"}))

    assert scene.pod["nodeSelector"][STREAMING] == "true"
    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"


# The rungs.


def test_the_first_rung_that_can_serve_is_taken(scene: Scene) -> None:
    scene.cluster.place(make_node("cpu-1", accelerator=None))
    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "gpu-node"
    assert scene.pod["nodeSelector"][ACCELERATOR] == "nvidia-l4"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(make_node(ready="False"), id="not-ready"),
        pytest.param(make_node(cordoned=True), id="cordoned"),
        pytest.param(
            make_node(taints=[GPU_TAINT, {"key": "a", "effect": "NoSchedule"}]), id="tainted"
        ),
        pytest.param(make_node(accelerator="nvidia-tesla-t4", streaming=False), id="another"),
    ],
)
def test_the_next_rung_serves_where_the_first_cannot(body: dict[str, Any]) -> None:
    scene = Scene()
    scene.cluster.place(body)
    scene.cluster.place(make_node("cpu-1", accelerator=None))

    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"
    assert ACCELERATOR not in scene.pod["nodeSelector"]
    assert scene.pod["priorityClassName"] == "prestream-warmup"


def test_the_order_of_the_rungs_is_the_configurations() -> None:
    scene = Scene(ladder=["any-node", "gpu-node"])
    scene.cluster.place(make_node("gpu-1"))

    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"


def test_a_new_node_is_asked_for_only_if_that_rung_is_on() -> None:
    scene = Scene(ladder=["gpu-node", "new-gpu-node"])

    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "new-gpu-node"
    assert scene.pod["priorityClassName"] == "prestream-warmup-scaling"


def test_on_autopilot_any_node_serves_that_does_not_exist_yet() -> None:
    scene = Scene(is_autopilot=True)

    scene.warm()

    assert scene.pod["nodeSelector"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    assert scene.pod["priorityClassName"] == "prestream-warmup-scaling"
    assert scene.pod["tolerations"] == []
    assert "nodeAffinity" not in scene.pod["affinity"]


def test_a_node_that_lacks_the_image_is_preferred_to_one_that_holds_it(scene: Scene) -> None:
    scene.cluster.place(make_node("gpu-2", images=[f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"]))

    scene.warm()

    annotations = scene.job["metadata"]["annotations"]
    assert annotations["prestream.dev/nodes-with-image"] == "gpu-2"
    assert annotations["prestream.dev/nodes-without-image"] == "gpu-1"
    assert "'NotIn', 'values': ['gpu-2']" in str(scene.pod["affinity"])


# The platform.


def test_the_platform_of_the_message_decides(scene: Scene) -> None:
    scene.cluster.place(make_node("arm-1", arch="arm64"))

    scene.warm(platform="linux/arm64")

    assert scene.pod["nodeSelector"]["kubernetes.io/arch"] == "arm64"


def test_else_the_platform_of_the_node_does() -> None:
    scene = Scene()
    scene.cluster.place(make_node("arm-1", arch="arm64"))

    scene.warm("team/arm:1")

    assert scene.pod["nodeSelector"]["kubernetes.io/arch"] == "arm64"
    size = scene.job["metadata"]["annotations"]["prestream.dev/image-bytes"]
    assert size == str(ARM.manifest_for("linux/arm64").image_bytes)


def test_a_target_that_names_an_architecture_is_of_it_on_every_rung() -> None:
    target = {"nodeSelector": {ACCELERATOR: "gh200", "kubernetes.io/arch": "arm64"}}
    scene = Scene(targets={"grace": target})
    scene.cluster.place(make_node("cpu-1", accelerator=None))
    scene.cluster.place(make_node("cpu-2", accelerator=None, arch="arm64"))

    scene.warm(placement=None)

    assert scene.pod["nodeSelector"] == {
        STREAMING: "true",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "arm64",
    }


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"image": "team/arm:1"}, id="of-the-node"),
        pytest.param({"image": "team/arm:1", "platform": "linux/amd64"}, id="of-the-message"),
        pytest.param({"platform": "linux/s390x"}, id="that-no-image-has"),
    ],
)
def test_an_image_without_the_platform_is_at_fault(scene: Scene, fields: dict[str, Any]) -> None:
    outcome = scene.warm(**fields)

    assert outcome.details["outcome"] == "pull_failed"
    assert "no manifest for linux/" in outcome.details["reason"]
    assert scene.cluster.jobs == {}


def test_a_single_manifest_is_taken_as_it_is(scene: Scene) -> None:
    scene.warm("team/single:1")

    annotations = scene.job["metadata"]["annotations"]
    assert annotations["prestream.dev/digest"] == SINGLE.digest
    expected = SINGLE.manifest_for("linux/amd64").image_bytes
    assert annotations["prestream.dev/image-bytes"] == str(expected)


def test_the_size_that_counts_is_that_of_the_nodes_platform() -> None:
    scene = Scene()
    scene.registry.add(
        "docker.io/team/tiny", "1", Image((1000,), ("linux/arm64",), index=True, build="tiny")
    )
    scene.cluster.place(make_node("arm-1", arch="arm64"))

    assert scene.warm("team/tiny:1").disposition == "ignored"
    assert scene.cluster.jobs == {}


# The helper image.


def helper_of(scene: Scene) -> str:
    (container,) = scene.pod["initContainers"]
    image: str = container["image"]
    return image


def test_the_helper_comes_from_its_mirror_by_digest(scene: Scene) -> None:
    scene.warm()

    assert helper_of(scene) == f"{MIRROR}/library/busybox@{BUSYBOX.digest}"


def test_the_helper_is_asked_for_once_in_an_instance(scene: Scene) -> None:
    scene.warm()
    scene.warm("team/single:1")

    asked = [str(each) for each in scene.registry.asked if "busybox" in str(each)]
    assert asked == [f"{MIRROR}/library/busybox:1.37.0-musl"]


def test_a_helper_that_is_given_by_digest_gets_its_mirror_as_well() -> None:
    scene = Scene(helper_image=f"quay.io/tools/busybox@{BUSYBOX.digest}")
    scene.registry.add("quay.io/tools/busybox", "1", BUSYBOX)
    scene.cluster.place(make_node())

    scene.warm()

    assert [str(each.name) for each in scene.repositories.created] == [
        str(RepositoryName("demo", "us-central1", "quay-io-mirror"))
    ]
    mirror = "us-central1-docker.pkg.dev/demo/quay-io-mirror"
    assert helper_of(scene) == f"{mirror}/tools/busybox@{BUSYBOX.digest}"


@pytest.mark.parametrize(
    ("helper", "problem"),
    [
        pytest.param("docker.io/library/busybox:none", "there is no image", id="absent"),
        pytest.param("registry.example/busybox:1", "not on the list", id="not-allowed"),
    ],
)
def test_a_helper_that_cannot_be_had_is_a_fault_of_the_deployment(
    helper: str, problem: str
) -> None:
    scene = Scene(helper_image=helper)
    scene.cluster.place(make_node())

    with pytest.raises(ConfigurationError, match=rf"helper_image '{helper}'.*{problem}"):
        scene.warm()

    assert scene.cluster.jobs == {}


def test_an_upstream_that_limits_the_helper_is_waited_for() -> None:
    scene = Scene(helper_image="quay.io/tools/busybox:1")
    scene.registry.refusals["quay.io"] = RegistryRefusalError(429, "TOOMANYREQUESTS", "slow down")
    scene.cluster.place(make_node())

    with pytest.raises(TransientError, match="helper_image"):
        scene.warm()

    assert scene.cluster.jobs == {}


# What it costs.


def test_a_known_reference_costs_one_manifest_and_one_call_of_the_cluster(scene: Scene) -> None:
    scene.warm()
    scene.restart()
    scene.forget_calls()

    scene.warm(message_id="message-2")

    assert len(scene.registry.asked) == 1
    assert scene.cluster.calls == ["fetch_job"]
    assert scene.requests == 2


def test_a_new_reference_costs_five_requests_until_its_job_exists(scene: Scene) -> None:
    scene.warm("team/single:1")
    scene.forget_calls()

    scene.warm()

    until = scene.cluster.calls[: scene.cluster.calls.index("create_job") + 1]
    assert until == ["fetch_job", "list_nodes", "create_job"]
    assert len(scene.registry.asked) == 2
    assert scene.cluster.calls[len(until) :] == ["list_jobs", "patch_job"]
    assert scene.repositories.fetched == []


def test_nodes_are_asked_for_by_label_and_not_all_of_them(scene: Scene) -> None:
    scene.warm()

    assert scene.cluster.node_selectors == [f"{ACCELERATOR}=nvidia-l4"]
