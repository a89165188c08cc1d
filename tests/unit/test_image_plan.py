"""The plan of an image: the actions of the functions, and unknown values as unknown."""

from typing import Any

import pytest

from cli.plan.image_plan import EVERY_POOL, PlannedImage, Planner, PlanRequest, PlanStep
from shared.domain.image_reference import parse_reference
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName, RepositoryState
from shared.domain.placement import Placement
from shared.domain.request import Cause, ReferenceRequest
from shared.errors import ConfigurationError, TransientError
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.prewarm_artifact import PrewarmRung
from shared.pipeline.warmup_lookup import WarmupLookup
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.mirrors import HUB_NAME
from tests.fakes.warmings import PUBLISHED, RAY, SINGLE, Scene
from tests.fakes.warmups import L4, make_node

LOCATION = "us-central1"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"


class Plans(Scene):
    """A deployment that makes plans."""

    @property
    def settings(self) -> Settings:
        environ = {"GOOGLE_CLOUD_PROJECT": "demo"}
        return make_settings(Document(dict(self.values)), environ, name="file")

    def begin(self, offline: str | None = None) -> Planner:
        execute = Executor(self.facts, prewarm_api=self.api, dry_run=True)
        mirrors = Mirrors(
            self.settings,
            registry=self.registry,
            repositories=lambda: self.repositories,
            execute=execute,
            pause=lambda _: None,
        )
        prewarm = PrewarmRung(self.api, execute, self.settings.prewarm_days)
        lookup = WarmupLookup(self.settings, mirrors, prewarm)
        return Planner(self.settings, lookup=lookup, offline=offline, now=PUBLISHED)

    def plan(
        self,
        image: str = "anyscale/ray-ml:2.7.0",
        *,
        offline: str | None = None,
        asks_cluster: bool = True,
        location: str | None = LOCATION,
        **fields: Any,
    ) -> PlannedImage:
        cluster = self.cluster if asks_cluster else None
        return self.begin(offline).plan([requested(image, **fields)], cluster, location)

    @property
    def is_unchanged(self) -> bool:
        return not (self.cluster.jobs or self.repositories.created or self.repositories.updated)


def requested(image: str = "anyscale/ray-ml:2.7.0", **fields: Any) -> PlanRequest:
    usual: dict[str, Any] = {"placement": L4, "cause": Cause("audit_log", "entry-1")}
    request = ReferenceRequest(image, parse_reference(image), **{**usual, **fields})
    return PlanRequest(request, "apps/v1/namespaces/ml/deployments/trainer")


def the_step(planned: PlannedImage) -> PlanStep:
    (step,) = planned.steps
    return step


@pytest.fixture
def scene() -> Plans:
    scene = Plans()
    scene.cluster.place(make_node("gpu-1"))
    return scene


# Known values.


def test_plan_has_size_place_and_rung(scene: Plans) -> None:
    planned = scene.plan()

    step = the_step(planned)
    assert (step.result, step.target, step.rung) == ("warm", L4.name, "gpu-node")
    assert planned.image_bytes == step.image_bytes is not None
    assert step.image_bytes >= sum(RAY.layers)
    assert planned.mirror == f"{MIRROR}/anyscale/ray-ml@{RAY.digest}"
    assert planned.workloads == ("apps/v1/namespaces/ml/deployments/trainer",)
    assert scene.is_unchanged


@pytest.mark.parametrize(
    ("image", "values", "fields"),
    [
        pytest.param("anyscale/ray-ml:2.7.0", {}, {}, id="new"),
        pytest.param("team/small:1", {}, {}, id="small"),
        pytest.param("team/small:1", {}, {"cause": Cause("manual")}, id="small-but-wanted"),
        pytest.param("team/absent:1", {}, {}, id="absent"),
        pytest.param("team/arm:1", {}, {"platform": "linux/amd64"}, id="another-platform"),
        pytest.param("registry.example/team/app:1", {}, {}, id="not-allowed"),
        pytest.param(f"{MIRROR}/team/single:1", {}, {}, id="by-its-mirror"),
        pytest.param("team/single:1", {"exclude": ["docker.io/team/*"]}, {}, id="excluded"),
        pytest.param("team/single:1", {"ladder": ["new-gpu-node"]}, {}, id="another-rung"),
        pytest.param(
            "team/single:1", {"ladder": ["gpu-node"]}, {"placement": Placement()}, id="no-rung"
        ),
        pytest.param("team/single:1", {}, {"placement": None}, id="every-pool"),
        pytest.param(
            "team/single:1",
            {"namespace_daily_budget": 1_000_000_000},
            {"cause": Cause("audit_log", "1", "apps/v1/namespaces/ml/deployments/trainer")},
            id="over-budget",
        ),
    ],
)
def test_functions_perform_the_plan(
    image: str, values: dict[str, Any], fields: dict[str, Any]
) -> None:
    scene = Plans(**values)
    scene.cluster.place(make_node("gpu-1"))
    planned = scene.plan(image, **fields)
    assert scene.is_unchanged

    outcome = scene.warm(image, **fields)

    step = the_step(planned)
    jobs = [step.job] if step.result == "warm" else []
    assert list(scene.cluster.jobs) == jobs
    if step.result == "refused" and step.outcome != "excluded":
        assert (step.outcome, step.reason) == (
            outcome.details["outcome"],
            outcome.details["reason"],
        )
    assert (outcome.disposition == "ignored") == (
        step.result == "too_small" or step.outcome == "excluded"
    )


def test_image_warmed_in_this_period_is_shown_with_its_job(scene: Plans) -> None:
    scene.warm()

    step = the_step(scene.plan())

    assert (step.result, step.job) == ("known", scene.job["metadata"]["name"])
    assert (step.rung, step.image_bytes) == ("gpu-node", scene.plan(force=True).image_bytes)


def test_plan_lists_each_target_once(scene: Plans) -> None:
    scene.cluster.place(make_node("gpu-2", accelerator="nvidia-h100-80gb"))
    h100 = Placement.of({"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"})

    planned = scene.begin().plan(
        [requested(), requested(), requested(placement=h100)], scene.cluster, LOCATION
    )

    assert [step.target for step in planned.steps] == [L4.name, h100.name]


def test_plan_reads_a_mirror_once_for_an_image(scene: Plans) -> None:
    planning = scene.begin()

    for _ in range(3):
        planning.plan([requested("team/single:1")], scene.cluster, LOCATION)

    assert len([each for each in scene.registry.asked if each.tag == "1"]) == 1


def test_prewarmed_image_needs_no_job() -> None:
    scene = Plans(ladder=["prewarm-api"])
    apps = RepositoryName("demo", LOCATION, "apps")
    scene.repositories.states[apps] = RepositoryState(is_docker_remote=False)
    scene.registry.add("us-central1-docker.pkg.dev/demo/apps/server", "1", SINGLE)

    step = the_step(scene.plan("us-central1-docker.pkg.dev/demo/apps/server:1"))

    assert (step.result, step.rung, step.job) == ("warm", "prewarm-api", None)
    assert SINGLE.digest in (step.artifact or "")
    assert "prewarm" not in scene.api.calls
    assert scene.facts.facts == []


def test_prewarming_is_unknown_without_the_size() -> None:
    scene = Plans(ladder=["prewarm-api"])
    del scene.repositories.states[HUB_NAME]

    step = the_step(scene.plan())

    assert (step.result, step.rung) == ("warm_unless_small", None)


# Mirrors.


def test_mirror_that_is_there_exists(scene: Plans) -> None:
    planning = scene.begin()
    planning.plan([requested()], scene.cluster, LOCATION)

    (mirror,) = planning.mirrors
    assert (mirror.upstream, mirror.state, mirror.address) == ("docker.io", "exists", MIRROR)


def test_mirror_that_is_not_there_would_be_made_and_sizes_stay_unknown(scene: Plans) -> None:
    del scene.repositories.states[HUB_NAME]
    planning = scene.begin()

    planned = planning.plan([requested()], scene.cluster, LOCATION)

    step = the_step(planned)
    assert planning.mirrors[0].state == "missing"
    assert (step.result, step.rung) == ("warm_unless_small", "gpu-node")
    assert (planned.image_bytes, planned.digest) == (None, None)
    assert scene.is_unchanged


def test_foreign_repository_of_the_same_name_is_reported(scene: Plans) -> None:
    scene.repositories.states[HUB_NAME] = RepositoryState(is_docker_remote=False)
    planning = scene.begin()

    planned = planning.plan([requested()], scene.cluster, LOCATION)

    assert planning.mirrors[0].state == "taken"
    assert the_step(planned).outcome == "misconfigured"


def test_helpers_mirror_is_needed_as_well(scene: Plans) -> None:
    planning = scene.begin()

    assert planning.check_helper(LOCATION) is None
    assert [each.upstream for each in planning.mirrors] == ["docker.io"]


def test_unusable_helper_is_reported() -> None:
    planning = Plans(helper_image="team/absent:1").begin()

    assert "helper_image 'team/absent:1' cannot be used" in (planning.check_helper(LOCATION) or "")


# Unknown values stay unknown.


@pytest.mark.parametrize(
    "error",
    [TransientError("no answer"), ConfigurationError("there are no credentials")],
    ids=["unavailable", "refused"],
)
def test_silent_registry_leaves_size_and_mirror_unknown(scene: Plans, error: Exception) -> None:
    scene.registry.error = error
    planning = scene.begin()

    step = the_step(planning.plan([requested()], scene.cluster, LOCATION))

    assert (step.result, step.image_bytes, step.reason) == (
        "warm_unless_small",
        None,
        str(error),
    )
    assert planning.mirrors[0].state == "unknown"


def test_offline_plan_makes_no_request(scene: Plans) -> None:
    step = the_step(scene.plan(offline="offline", asks_cluster=False))

    assert (step.result, step.rung, step.image_bytes, step.reason) == (
        "warm_unless_small",
        None,
        None,
        "offline",
    )
    assert scene.requests == 0


@pytest.mark.parametrize("image", ["registry.example/team/app:1", "team/single:1"])
def test_offline_the_configuration_still_decides(image: str) -> None:
    scene = Plans(exclude=["docker.io/team/*"])

    planned = scene.plan(image, offline="offline", asks_cluster=False)

    assert the_step(planned).outcome in {"not_allowed", "excluded"}


def test_plan_without_a_cluster_has_a_size_and_no_rung(scene: Plans) -> None:
    step = the_step(scene.plan(asks_cluster=False))
    small = the_step(scene.plan("team/small:1", asks_cluster=False))

    assert (step.result, step.rung) == ("warm", None)
    assert step.image_bytes is not None
    assert small.result == "too_small"


def test_plan_without_a_cluster_names_no_pools(scene: Plans) -> None:
    step = the_step(scene.plan(placement=None, asks_cluster=False))

    assert step.target == EVERY_POOL


def test_plan_without_a_location_has_no_mirror(scene: Plans) -> None:
    planned = scene.plan(asks_cluster=False, location=None)

    assert planned.mirror is None
    assert the_step(planned).result == "warm_unless_small"
    assert scene.requests == 0


def test_cluster_that_fails_leaves_its_image_unknown(scene: Plans) -> None:
    scene.cluster.fail("fetch_job", TransientError("no answer"))

    step = the_step(scene.plan())

    assert (step.result, step.reason) == ("unknown", "no answer")


def test_image_that_its_upstream_limits_is_refused_for_now(scene: Plans) -> None:
    scene.registry.refusals["docker.io"] = RegistryRefusalError(429, "TOOMANYREQUESTS", "slow down")

    step = the_step(scene.plan())

    assert (step.result, step.outcome) == ("refused", "postponed")
    assert step.hint
