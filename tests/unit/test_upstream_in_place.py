"""Docker Hub without a mirror: images keep their names, and the registry itself is asked."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.connect.configuration import configured_mirrors
from cli.doctor.checks.project_checks import wanted_mirrors
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import Source
from shared.domain.upstream import Upstream
from shared.errors import TransientError
from shared.pipeline.track_proven import find_mirror_pull
from shared.settings.keys import DEFAULT_UPSTREAMS, Settings
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.mirrors import PAIR, TOOL, Deployment, fails
from tests.fakes.sweeps import TRAINER, SweptWorld
from tests.fakes.warmings import Scene
from tests.fakes.warmups import make_node

UPSTREAMS = {"docker.io": {"mirror": "never"}, "ghcr.io": None}
LEFT_MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/tool:1.0"
SETTINGS = Settings(
    project="demo",
    deployment_project="demo",
    upstreams={**DEFAULT_UPSTREAMS, "docker.io": Upstream(is_mirrored=False)},
)


@pytest.fixture
def deployment() -> Deployment:
    return Deployment({"upstreams": UPSTREAMS})


@pytest.mark.parametrize(
    ("text", "pulled"),
    [
        pytest.param("nginx", "docker.io/library/nginx:latest", id="short"),
        pytest.param("index.docker.io/team/tool:1", "docker.io/team/tool:1", id="alias"),
        pytest.param(LEFT_MIRROR, LEFT_MIRROR, id="mirror-of-earlier"),
    ],
)
def test_image_is_pulled_by_its_own_name(deployment: Deployment, text: str, pulled: str) -> None:
    source = deployment.locate(text)

    assert source == Source(source.image, source.image)
    assert str(source.mirror) == pulled


def test_other_upstream_is_still_mirrored(deployment: Deployment) -> None:
    assert deployment.locate("ghcr.io/org/app:1").repository is not None


def test_list_of_paths_still_decides() -> None:
    hub = {"docker.io": {"mirror": "never", "paths": ["team/*"]}}

    with fails("not_allowed"):
        Deployment({"upstreams": hub}).locate("nginx")


def test_image_is_resolved_and_measured_without_a_repository(deployment: Deployment) -> None:
    arm64 = PAIR.manifest_for("linux/arm64")

    assert deployment.use("team/tool:1.0") == TOOL.digest
    source = deployment.locate("team/pair:1.0")
    index = deployment.mirrors.resolve(source)

    assert deployment.mirrors.measure(source, index, "linux/arm64") == arm64.image_bytes
    assert deployment.repositories.fetched == []
    assert deployment.repositories.created == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusal_is_the_fault_of_the_image(deployment: Deployment, status: int) -> None:
    deployment.registry.error = RegistryRefusalError(status, "DENIED", "access denied")

    with fails("pull_failed", "docker.io/team/tool:1.0"):
        deployment.resolve()


def test_limit_postpones_the_image(deployment: Deployment) -> None:
    until = datetime.now(UTC) + timedelta(hours=6)
    deployment.registry.error = RegistryRefusalError(429, "", "quota metric", retry_at=until)

    with fails("postponed", "docker.io limits pulls") as caught:
        deployment.resolve()

    assert caught.value.not_before == until


def test_silent_registry_is_the_world_s_fault(deployment: Deployment) -> None:
    deployment.registry.error = TransientError("docker.io does not answer")

    with pytest.raises(TransientError):
        deployment.resolve()


def test_warmup_pulls_the_image_itself() -> None:
    scene = Scene(upstreams=UPSTREAMS)
    scene.cluster.place(make_node())

    scene.warm()

    ((job),) = scene.cluster.jobs.values()
    images = [each["image"] for each in job["spec"]["template"]["spec"]["containers"]]
    (helper,) = job["spec"]["template"]["spec"]["initContainers"]
    assert [each.partition("@")[0] for each in (*images, helper["image"])] == [
        "docker.io/anyscale/ray-ml",
        "docker.io/library/busybox",
    ]


def test_limited_image_is_remembered() -> None:
    scene = Scene(upstreams=UPSTREAMS)
    scene.cluster.place(make_node())
    scene.registry.refusals["docker.io"] = RegistryRefusalError(
        429, "", "limit", retry_at=datetime.now(UTC) + timedelta(hours=6)
    )
    scene.warm(message_id="first")
    scene.registry.refusals.clear()
    scene.restart()
    scene.forget_calls()

    done = scene.warm(message_id="second")

    assert done.details["outcome"] == "postponed"
    assert scene.registry.asked == []


def test_sweep_keeps_to_the_pulls_without_a_login() -> None:
    world = SweptWorld({"upstreams": {"docker.io": {"mirror": "never", "anonymous_pulls": 2}}})
    world.add_apps(5)
    world.use(TRAINER)

    outcome = world.sweep()

    tags = {each for each in world.registry.asked if each.digest is None}
    assert len(tags) == 2
    assert outcome.details["postponed"]["docker.io"]["images"] == 4


def test_nothing_is_rewritten_and_no_mirror_is_expected() -> None:
    assert find_mirror_pull(LEFT_MIRROR, SETTINGS) is None
    assert "docker.io" not in configured_mirrors(SETTINGS, "us")
    assert "docker.io" not in {each.upstream for each in wanted_mirrors(SETTINGS, [GPU_CLUSTER])}
