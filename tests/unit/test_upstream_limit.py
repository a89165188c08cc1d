"""Images that a registry postpones: no instance and no sweep asks before the time that it named."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.manifest import RegistryRefusalError
from shared.domain.postponement import Postponement
from shared.domain.request import Cause
from shared.domain.timestamp import format_time
from shared.errors import TransientError
from shared.pipeline.plan_resume import read_queue
from tests.fakes.sweeps import NOW, TRAINER, SweptWorld
from tests.fakes.warmings import RAY, Scene
from tests.fakes.warmups import make_node

SIX_HOURS = timedelta(hours=6)


def limited(until: datetime) -> RegistryRefusalError:
    return RegistryRefusalError(429, "TOOMANYREQUESTS", "pull rate limit", retry_at=until)


def make_scene(**values: Any) -> Scene:
    """Return a deployment whose first message was answered with 429, for six hours."""
    scene = Scene(**values)
    scene.cluster.place(make_node())
    scene.registry.refusals["docker.io"] = limited(datetime.now(UTC) + SIX_HOURS)
    scene.warm(message_id="first")
    scene.registry.refusals.clear()
    scene.forget_calls()
    return scene


def restart(scene: Scene) -> None:
    scene.restart()


def do_nothing(scene: Scene) -> None:
    assert scene.warmer is not None


MANUAL, SCHEDULE = Cause("manual", "hand"), Cause("schedule", "tick")


@pytest.mark.parametrize("cause", [MANUAL, SCHEDULE])
@pytest.mark.parametrize(
    ("prepare", "calls"),
    [
        pytest.param(restart, ["fetch_job"], id="new-instance"),
        pytest.param(do_nothing, [], id="same-instance"),
    ],
)
def test_postponed_image_is_not_asked_for(
    prepare: Callable[[Scene], None], calls: list[str], cause: Cause
) -> None:
    scene = make_scene()
    prepare(scene)

    done = scene.warm(message_id="second", cause=cause)

    assert scene.registry.asked == []
    assert scene.cluster.calls == calls
    assert done.details["outcome"] == "postponed"
    facts = [fact.payload for fact in scene.facts.facts]
    fields = ("outcome", "reason", "hint", "not_before")
    first, second = ([fact[name] for name in fields] for fact in facts)
    assert first == second
    assert first[0] == "postponed"
    assert first[3] is not None


@pytest.mark.parametrize("cause", [Cause(kind, "id") for kind in ("audit_log", "build", "push")])
@pytest.mark.parametrize("prepare", [restart, do_nothing], ids=["new-instance", "same-instance"])
def test_event_about_a_postponed_image_writes_no_other_fact(
    prepare: Callable[[Scene], None], cause: Cause
) -> None:
    scene = make_scene()
    prepare(scene)

    done = scene.warm(message_id="second", cause=cause)

    assert (done.details["outcome"], scene.registry.asked) == ("postponed", [])
    assert len(scene.facts.facts) == 1


def test_limit_is_recorded_after_its_fact() -> None:
    scene = Scene()
    scene.registry.refusals["docker.io"] = limited(datetime.now(UTC) + SIX_HOURS)
    scene.facts.error = TransientError("no log")
    with pytest.raises(TransientError):
        scene.warm()
    assert scene.cluster.jobs == {}

    scene.facts.error = None
    scene.warm()

    assert len(scene.facts.facts) == len(scene.cluster.jobs) == 1


FOREIGN = "us-central1-docker.pkg.dev/other/apps/trainer:1"


def test_limit_of_a_foreign_project_is_recorded() -> None:
    scene = Scene()
    scene.registry.error = limited(datetime.now(UTC) + SIX_HOURS)
    scene.warm(FOREIGN)
    scene.restart()
    scene.forget_calls()

    done = scene.warm(FOREIGN, message_id="second")

    assert (done.details["outcome"], scene.registry.asked) == ("postponed", [])
    assert len(scene.facts.facts) == 1


def test_image_of_our_project_needs_no_record() -> None:
    scene = Scene()
    scene.registry.error = RegistryRefusalError(404, "MANIFEST_UNKNOWN", "no such image")

    scene.warm("us-central1-docker.pkg.dev/demo/apps/trainer:1")

    assert scene.cluster.calls == []


def test_sweep_requests_a_foreign_image_whose_refusal_it_saw() -> None:
    world = SweptWorld()
    world.use(FOREIGN)
    world.registry.error = limited(NOW + SIX_HOURS)

    world.sweep()
    assert [each.image for each in world.publisher.batches[0]] == [FOREIGN]
    world.deliver()
    world.registry.asked.clear()
    world.sweep(NOW + timedelta(hours=1))

    assert (world.registry.asked, world.take_images()) == ([], [])


def test_postponed_image_is_warmed_once_its_time_has_come() -> None:
    scene = make_scene()
    scene.restart()

    done = scene.warm(message_id="second", publish_time=datetime.now(UTC) + SIX_HOURS)

    assert done.details["created"]


def test_forced_request_ignores_the_record() -> None:
    scene = make_scene()

    done = scene.warm(message_id="second", force=True)

    assert done.details["created"]


def test_other_image_of_the_registry_is_asked_for() -> None:
    scene = make_scene()

    assert scene.warm("team/single:1", message_id="second").details["created"]


def test_credentials_end_a_postponement() -> None:
    scene = make_scene()
    login = {"username": "me", "password_secret_version": "projects/p/secrets/s/versions/1"}
    scene.restart(upstreams={"docker.io": {**login, "paths": ["*"]}})

    assert scene.warm(message_id="second").details["created"]


def test_later_refusal_replaces_the_record() -> None:
    scene = make_scene()
    later = datetime.now(UTC) + 3 * SIX_HOURS
    scene.registry.refusals["docker.io"] = limited(later)
    scene.warm(message_id="second", publish_time=datetime.now(UTC) + SIX_HOURS)

    (record,) = map(Postponement.from_body, scene.cluster.jobs.values())
    assert record is not None
    assert abs(record.not_before - later) < timedelta(seconds=1)


def test_refusal_of_a_platform_is_recorded() -> None:
    scene = Scene()
    scene.cluster.place(make_node())
    scene.registry.refusals[RAY.manifests[1].digest] = limited(datetime.now(UTC) + SIX_HOURS)
    scene.warm(message_id="first")
    scene.registry.refusals.clear()
    scene.restart()
    scene.forget_calls()

    assert scene.warm(message_id="second").details["outcome"] == "postponed"
    assert scene.registry.asked == []


def test_known_image_needs_no_record() -> None:
    scene = Scene()
    scene.cluster.place(make_node())
    scene.warm(message_id="first")
    scene.forget_calls()

    scene.warm(message_id="second")

    assert scene.cluster.calls == ["fetch_job"]
    assert scene.registry.asked == []


def test_dry_run_writes_no_record() -> None:
    scene = make_scene(dry_run=True)

    assert scene.cluster.jobs == {}


def test_record_has_no_pods_and_is_no_part_of_the_queue() -> None:
    scene = make_scene()

    (job,) = scene.cluster.jobs.values()
    assert job["spec"]["suspend"]
    assert job["spec"]["parallelism"] == 0
    assert read_queue(scene.cluster) == []


def use_limited(world: SweptWorld) -> None:
    """Let a sweep request an image, and its upstream answer 429 to both functions."""
    world.use(TRAINER)
    world.registry.refusals["docker.io"] = limited(NOW + SIX_HOURS)
    world.sweep()
    world.deliver()
    world.registry.refusals.clear()
    world.registry.asked.clear()


def test_sweep_asks_for_a_postponed_image_once_its_time_has_come() -> None:
    world = SweptWorld()
    use_limited(world)

    for hour in range(1, 6):
        done = world.sweep(NOW + timedelta(hours=hour))
        assert done.details["postponed"]["docker.io"]["images"] == 1
        assert done.details["postponed"]["docker.io"]["not_before"] == format_time(NOW + SIX_HOURS)
    assert world.registry.asked == []
    assert world.take_images() == []

    world.sweep(NOW + SIX_HOURS)
    assert world.take_images() == [TRAINER]
    assert world.cluster.jobs == {}


def test_sweep_asks_for_other_images_of_the_registry() -> None:
    world = SweptWorld()
    use_limited(world)
    others = world.add_apps(2)

    world.sweep(NOW + timedelta(hours=1))

    assert world.take_images() == others


def test_sweep_requests_the_image_whose_refusal_it_saw() -> None:
    world = SweptWorld()
    images = world.add_apps(3)
    world.registry.refusals["docker.io"] = limited(NOW + SIX_HOURS)

    world.sweep()

    (requested,) = world.take_images()
    assert requested in images


def test_dry_run_of_the_sweep_removes_no_record() -> None:
    world = SweptWorld()
    use_limited(world)
    world.values = {"dry_run": True}

    world.sweep(NOW + SIX_HOURS)

    assert len(world.cluster.jobs) == 1


def test_record_without_a_valid_time_is_removed() -> None:
    world = SweptWorld()
    use_limited(world)
    (job,) = world.cluster.jobs.values()
    job["metadata"]["annotations"]["prestream.dev/not-before"] = "soon"

    world.sweep()

    assert world.cluster.jobs == {}
    assert world.take_images() == [TRAINER]


def test_other_job_of_our_namespace_is_left_alone() -> None:
    world = SweptWorld()
    labels = {"app.kubernetes.io/name": "prestream", "app.kubernetes.io/component": "other"}
    world.cluster.place(
        {"kind": "Job", "metadata": {"name": "other", "namespace": "prestream", "labels": labels}}
    )

    world.sweep(NOW + timedelta(days=30))

    assert list(world.cluster.jobs) == ["other"]
