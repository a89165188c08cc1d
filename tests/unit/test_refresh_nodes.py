"""The nodes of a warmup that waited in the queue: they are read again when it is resumed."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.action import ResumeJobs
from shared.pipeline.execute import Executor
from shared.pipeline.plan_resume import NODES_CURRENT_FOR, read_resumption
from shared.settings.keys import Settings
from tests.fakes.clusters import START, FakeCluster
from tests.fakes.warmups import DIGEST, MIRRORS, make_node, make_strategy, make_warmup

HELD = f"{MIRRORS}/anyscale/ray-ml@{DIGEST}"
LATER = START + NODES_CURRENT_FOR + timedelta(minutes=1)
SETTINGS = Settings(project="demo", deployment_project="demo")
STRATEGY = make_strategy(
    required_nodes=("gpu-1", "gpu-2"),
    known_nodes=("gpu-1", "gpu-2"),
    lacking_nodes=("gpu-1", "gpu-2"),
)


class Scene:
    """A waiting warmup, created when both nodes lacked the image."""

    def __init__(self, **strategy: Any) -> None:
        self.cluster = FakeCluster(is_autopilot=strategy.get("is_autopilot", False))
        self.strategy = make_strategy(**strategy) if strategy else STRATEGY
        self.cluster.create_job(make_warmup("warm-a", strategy=self.strategy).body())

    def resume(self, now: datetime = LATER) -> dict[str, Any]:
        """Resume what there is room for, and return the Job."""
        self.cluster.calls.clear()
        resumed = Executor().resume(
            self.cluster, lambda: read_resumption(self.cluster, SETTINGS, now)
        )
        assert resumed["resumed"] == ["warm-a"]
        job = self.cluster.jobs["warm-a"]
        assert job["spec"]["suspend"] is False
        return job

    @property
    def annotations(self) -> tuple[str, str]:
        found = self.cluster.jobs["warm-a"]["metadata"]["annotations"]
        return found["prestream.dev/nodes-with-image"], found["prestream.dev/nodes-without-image"]


def required_of(job: dict[str, Any]) -> list[tuple[str, list[str]]]:
    affinity = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    expressions = [each["matchExpressions"][0] for each in required.get("nodeSelectorTerms", [])]
    return [(each["operator"], each["values"]) for each in expressions]


def test_resumed_warmup_requires_the_nodes_that_lack_the_image_now() -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1", images=[HELD]))
    scene.cluster.place(make_node("gpu-3"))

    job = scene.resume()

    assert required_of(job) == [("In", ["gpu-3"]), ("NotIn", ["gpu-1", "gpu-3"])]
    assert scene.annotations == ("gpu-1", "gpu-3")
    assert "podAntiAffinity" in job["spec"]["template"]["spec"]["affinity"]


def test_resumed_warmup_may_run_on_any_node_if_every_node_holds_the_image() -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1", images=[HELD]))

    assert required_of(scene.resume()) == []
    assert scene.annotations == ("gpu-1", "")


def test_resumed_warmup_that_adds_a_node_excludes_the_nodes_that_hold_the_image() -> None:
    scene = Scene(priority_class="prestream-warmup-scaling")
    scene.cluster.place(make_node("gpu-1", images=[HELD]))

    assert required_of(scene.resume()) == [("NotIn", ["gpu-1"])]


def test_warmup_that_another_instance_resumes_meanwhile_is_left_alone() -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-3"))
    before = scene.annotations

    def plan() -> ResumeJobs:
        plan = read_resumption(scene.cluster, SETTINGS, LATER)
        scene.cluster.patch_job("warm-a", {"spec": {"suspend": False}})
        return plan

    assert Executor().resume(scene.cluster, plan)["resumed"] == []
    assert scene.annotations == before


def test_warmup_that_another_instance_resumes_takes_a_place() -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-3"))
    scene.cluster.create_job(make_warmup("warm-b", strategy=STRATEGY).body())
    one = Settings(project="demo", deployment_project="demo", max_running=1)

    def plan() -> ResumeJobs:
        plan = read_resumption(scene.cluster, one, LATER)
        scene.cluster.patch_job("warm-a", {"spec": {"suspend": False}})
        return plan

    assert Executor().resume(scene.cluster, plan)["resumed"] == []
    assert scene.cluster.jobs["warm-b"]["spec"]["suspend"] is True


@pytest.mark.parametrize("case", ["new", "requeued", "autopilot"])
def test_nodes_of_a_warmup_are_not_read_again(case: str) -> None:
    scene = Scene(is_autopilot=True) if case == "autopilot" else Scene()
    scene.cluster.place(make_node("gpu-1", images=[HELD]))
    before = scene.annotations
    if case == "requeued":
        # A Job that has started keeps its pod template.
        scene.cluster.jobs["warm-a"]["status"] = {"startTime": "2026-11-24T07:00:30Z"}

    scene.resume(START + timedelta(minutes=1) if case == "new" else LATER)

    assert scene.annotations == before
    assert "list_nodes" not in scene.cluster.calls
