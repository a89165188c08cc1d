"""The Job that is created: its placement, rung, platform and helper image."""

from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.image_reference import Digest
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.placement import Placement, Toleration
from shared.errors import ConfigurationError
from tests.fakes.warmings import ARM, BUSYBOX, RAY, SINGLE, Scene
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


# The Job.


def test_job_names_its_image_and_cause(scene: Scene) -> None:
    scene.warm()

    annotations = scene.job["metadata"]["annotations"]
    assert annotations["prestream.dev/image"] == "anyscale/ray-ml:2.7.0"
    assert annotations["prestream.dev/mirror"] == f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"
    assert annotations["prestream.dev/digest"] == RAY.digest
    assert '"entry-1"' in annotations["prestream.dev/cause"]
    assert scene.job["metadata"]["labels"]["prestream.dev/target"] == L4.name
    assert scene.job["metadata"]["namespace"] == "prestream"


def test_job_pulls_by_the_digest_of_the_registry(scene: Scene) -> None:
    scene.warm()

    (container,) = scene.pod["containers"]
    assert container["image"] == f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"


def test_configuration_bounds_a_job() -> None:
    scene = Scene(
        namespace="warm", deadline_minutes=1.5, period_hours=10.0, max_event_age_hours=100.0
    )
    scene.cluster.place(make_node())
    scene.warm()

    assert scene.job["metadata"]["namespace"] == "warm"
    assert scene.job["spec"]["activeDeadlineSeconds"] == 90
    assert scene.job["spec"]["ttlSecondsAfterFinished"] > 110 * 3600


def test_job_requests_no_accelerator(scene: Scene) -> None:
    scene.warm()

    asked = str([each["resources"] for each in scene.pod["containers"]])
    assert "gpu" not in asked
    assert "tpu" not in asked


# The placement of the message.


def test_only_allowed_keys_reach_the_job(scene: Scene) -> None:
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


def test_placements_with_equal_allowed_keys_are_one_target(scene: Scene) -> None:
    scene.warm()

    odd = Placement.of({ACCELERATOR: "nvidia-l4", "team": "a"}, [Toleration("", "Exists")])
    assert "known" in scene.warm(placement=odd).details


def test_placement_without_allowed_keys_is_any_node(scene: Scene) -> None:
    scene.warm(placement=Placement.of({"team": "a"}))

    assert scene.pod["nodeSelector"][STREAMING] == "true"
    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"


# The rungs.


def test_first_rung_that_can_serve_is_chosen(scene: Scene) -> None:
    scene.cluster.place(make_node("cpu-1", accelerator=None))
    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "gpu-node"
    assert scene.pod["nodeSelector"][ACCELERATOR] == "nvidia-l4"


def test_next_rung_is_chosen_if_every_node_of_the_first_holds_the_image() -> None:
    scene = Scene()
    held = [f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"]
    scene.cluster.place(make_node("gpu-1", images=held))
    scene.cluster.place(make_node("cpu-1", accelerator=None))
    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"
    assert "'In', 'values': ['cpu-1']" in str(scene.pod["affinity"])


def test_image_that_every_node_holds_is_already_present() -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1", images=[f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"]))

    line = scene.warm().details

    assert line["outcome"] == "already_present"
    assert not scene.cluster.jobs
    fact = scene.facts.facts[0].payload
    assert fact["outcome"] == "already_present"
    assert "new-gpu-node" in fact["hint"]


def test_image_that_no_node_has_room_for_gets_a_hint_about_disks() -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1", storage="1G"))

    line = scene.warm().details

    assert line["outcome"] == "no_node"
    assert "boot disks" in line["hint"]


def push(scene: Scene, location: str) -> str:
    """Push an image to a repository of a location, and return its reference."""
    name = RepositoryName("demo", location, "ml")
    scene.repositories.states[name] = RepositoryState(is_docker_remote=False)
    scene.registry.add(f"{location}-docker.pkg.dev/demo/ml/app", "1", SINGLE)
    return f"{location}-docker.pkg.dev/demo/ml/app:1"


def test_image_of_another_region_is_misconfigured(scene: Scene) -> None:
    line = scene.warm(push(scene, "europe-west4")).details

    assert line["outcome"] == "misconfigured"
    assert not scene.cluster.jobs
    fact = scene.facts.facts[0].payload
    assert fact["reason"].startswith("wrong_region: the image is in europe-west4")
    assert "us-central1" in fact["hint"]


def test_image_of_another_region_is_prewarmed_in_the_region_of_the_cluster() -> None:
    scene = Scene(ladder=["gpu-node", "prewarm-api"])
    scene.cluster.place(make_node("gpu-1"))
    scene.api.sizes[Digest(SINGLE.digest)] = 2_000_000_000

    line = scene.warm(push(scene, "europe-west4")).details

    assert line["prewarming"] == [f"app@{SINGLE.digest} in us-central1"]
    assert not scene.cluster.jobs


@pytest.mark.parametrize("location", ["us", "us-central1"])
def test_image_of_the_region_or_its_multi_region_is_warmed(scene: Scene, location: str) -> None:
    assert "created" in scene.warm(push(scene, location)).details


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
def test_next_rung_serves_if_the_first_cannot(body: dict[str, Any]) -> None:
    scene = Scene()
    scene.cluster.place(body)
    scene.cluster.place(make_node("cpu-1", accelerator=None))

    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"
    assert ACCELERATOR not in scene.pod["nodeSelector"]
    assert scene.pod["priorityClassName"] == "prestream-warmup"


def test_configuration_orders_the_rungs() -> None:
    scene = Scene(ladder=["any-node", "gpu-node"])
    scene.cluster.place(make_node("gpu-1"))

    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "any-node"


def test_new_node_is_requested_only_by_its_rung() -> None:
    scene = Scene(ladder=["gpu-node", "new-gpu-node"])

    scene.warm()

    assert scene.job["metadata"]["annotations"]["prestream.dev/strategy"] == "new-gpu-node"
    assert scene.pod["priorityClassName"] == "prestream-warmup-scaling"


def test_autopilot_adds_a_node_for_any_node() -> None:
    scene = Scene(is_autopilot=True)

    scene.warm()

    assert scene.pod["nodeSelector"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    assert scene.pod["priorityClassName"] == "prestream-warmup-scaling"
    assert scene.pod["tolerations"] == []
    assert "nodeAffinity" not in scene.pod["affinity"]


def test_warmup_requires_a_node_without_the_image(scene: Scene) -> None:
    scene.cluster.place(make_node("gpu-2", images=[f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"]))

    scene.warm()

    annotations = scene.job["metadata"]["annotations"]
    assert annotations["prestream.dev/nodes-with-image"] == "gpu-2"
    assert annotations["prestream.dev/nodes-without-image"] == "gpu-1"
    assert "'In', 'values': ['gpu-1']" in str(scene.pod["affinity"])


# The platform.


def test_platform_of_the_message_has_precedence(scene: Scene) -> None:
    scene.cluster.place(make_node("arm-1", arch="arm64"))

    scene.warm(platform="linux/arm64")

    assert scene.pod["nodeSelector"]["kubernetes.io/arch"] == "arm64"


def test_platform_of_the_node_is_the_default() -> None:
    scene = Scene()
    scene.cluster.place(make_node("arm-1", arch="arm64"))

    scene.warm("team/arm:1")

    assert scene.pod["nodeSelector"]["kubernetes.io/arch"] == "arm64"
    size = scene.job["metadata"]["annotations"]["prestream.dev/image-bytes"]
    assert size == str(ARM.manifest_for("linux/arm64").image_bytes)


def test_architecture_of_a_target_holds_on_every_rung() -> None:
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
def test_image_without_the_platform_is_a_failure(scene: Scene, fields: dict[str, Any]) -> None:
    outcome = scene.warm(**fields)

    assert outcome.details["outcome"] == "pull_failed"
    assert "no manifest for linux/" in outcome.details["reason"]
    assert scene.cluster.jobs == {}


def test_single_manifest_needs_no_index(scene: Scene) -> None:
    scene.warm("team/single:1")

    annotations = scene.job["metadata"]["annotations"]
    assert annotations["prestream.dev/digest"] == SINGLE.digest
    expected = SINGLE.manifest_for("linux/amd64").image_bytes
    assert annotations["prestream.dev/image-bytes"] == str(expected)


def test_size_is_that_of_the_platform_of_the_node() -> None:
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


def test_helper_is_pulled_from_its_mirror_by_digest(scene: Scene) -> None:
    scene.warm()

    assert helper_of(scene) == f"{MIRROR}/library/busybox@{BUSYBOX.digest}"


def test_helper_is_resolved_once_per_instance(scene: Scene) -> None:
    scene.warm()
    scene.warm("team/single:1")

    asked = [str(each) for each in scene.registry.asked if "busybox" in str(each)]
    assert asked == [f"{MIRROR}/library/busybox:1.37.0-musl"]


def test_mirror_of_a_helper_with_digest_is_created() -> None:
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
def test_unusable_helper_is_a_configuration_error(helper: str, problem: str) -> None:
    scene = Scene(helper_image=helper)
    scene.cluster.place(make_node())

    with pytest.raises(ConfigurationError, match=rf"helper_image '{helper}'.*{problem}"):
        scene.warm()

    assert scene.cluster.jobs == {}


def test_rate_limit_of_the_helper_postpones_the_images() -> None:
    scene = Scene(helper_image="quay.io/tools/busybox:1")
    scene.registry.refusals["quay.io"] = RegistryRefusalError(429, "TOOMANYREQUESTS", "slow down")
    scene.cluster.place(make_node())

    first = scene.warm().details
    asked = [each for each in scene.registry.asked if "tools/busybox" in str(each)]
    scene.restart()
    second = scene.warm("team/single:1").details
    scene.restart()
    scene.warm("team/single:1", message_id="again")

    assert [each for each in scene.registry.asked if "tools/busybox" in str(each)] == asked
    assert (first["outcome"], second["outcome"]) == ("postponed", "postponed")
    assert "helper_image 'quay.io/tools/busybox:1'" in first["reason"]
    facts = [each.payload for each in scene.facts.facts]
    assert [each["image"] for each in facts] == ["anyscale/ray-ml:2.7.0", "team/single:1"]
    assert facts[0]["not_before"] == facts[1]["not_before"] is not None
    assert all(name.startswith("postponed-") for name in scene.cluster.jobs)
