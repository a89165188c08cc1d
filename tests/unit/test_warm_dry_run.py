"""A dry run decides and logs everything, and changes nothing."""

import pytest

from shared.errors import TransientError
from tests.fakes.mirrors import HUB_NAME
from tests.fakes.warmings import Scene
from tests.fakes.warmups import make_node


def written(scene: Scene) -> set[str]:
    """Return what was changed in the cluster: all calls but those that read."""
    return {call for call in scene.cluster.calls if not call.startswith(("fetch", "list"))}


def test_dry_run_lists_the_job_and_changes_nothing() -> None:
    scene = Scene(dry_run=True)
    scene.cluster.place(make_node("gpu-1"))

    outcome = scene.warm()

    (name,) = outcome.details["would_create"]
    assert name.startswith("warm-ray-ml-")
    assert outcome.details["dry_run"] is True
    assert written(scene) == set()
    scene.restart(dry_run=False)
    assert scene.warm().details["created"] == [name]


def test_dry_run_creates_no_mirror() -> None:
    scene = Scene(dry_run=True)
    scene.repositories.states.clear()

    outcome = scene.warm()

    assert outcome.details["would_create"] == [f"repository {HUB_NAME}"]
    assert scene.repositories.created == []
    assert written(scene) == set()


def test_dry_run_logs_a_failure_without_a_fact() -> None:
    scene = Scene(dry_run=True)

    outcome = scene.warm()

    assert outcome.details["outcome"] == "no_node"
    assert scene.facts.facts == []


@pytest.mark.parametrize("condition", ["Failed", "Complete", None])
def test_dry_run_changes_no_existing_job(condition: str | None) -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1"))
    scene.cluster.fail("list_jobs", TransientError("a crash before its turn"))
    with pytest.raises(TransientError):
        scene.warm()
    scene.cluster.recover()
    if condition is not None:
        scene.cluster.end_job(scene.job["metadata"]["name"], condition)
    before = repr(scene.cluster.jobs)
    scene.cluster.calls.clear()

    scene.restart(dry_run=True)
    scene.warm()

    assert written(scene) == set()
    assert repr(scene.cluster.jobs) == before
    assert scene.facts.facts == []


def test_dry_run_resolves_no_helper() -> None:
    scene = Scene(dry_run=True)
    scene.cluster.place(make_node("gpu-1"))

    scene.warm()

    assert all("busybox" not in str(each) for each in scene.registry.asked)
