"""Scenarios of pull_event, and of scheduled_sweep."""

import json
from dataclasses import replace

from sandbox.catalogue.image import Image
from sandbox.messaging import GKE_EVENTS
from tests.integration.crashes.of_references import READY_HOURS
from tests.integration.crashes.scenarios import (
    BYPASSING,
    DENIED_WARMUP,
    DONE,
    FAILED,
    HOPELESS,
    PREWARM,
    UNREACHED,
    is_pull_of_used,
    is_stream,
    scenario,
)
from tests.integration.crashes.worlds import ADMIN, HUB, Delivery, World


def let_one_wait(world: World) -> None:
    """Queue a warmup, and delete the running ones, so that it is the next."""
    world.deliver(world.ask(world.add_image("team/waiting")))
    for running in (HOPELESS, DENIED_WARMUP):
        name = world.job(running)["metadata"]["name"]
        world.api.delete("jobs.batch", name, "prestream", user=ADMIN)


def prove(world: World, *failures: int) -> None:
    """Prove a mirror, and deliver these failures of it."""
    world.prove(HUB)
    for number in failures:
        world.deliver(world.told_of_failure(UNREACHED[number]))


def refuse_pod(world: World, image: str) -> None:
    """Let the scheduler refuse the pod of a warmup."""
    job = world.job(image)["metadata"]["name"]
    (pod,) = world.api.list(
        "pods", "prestream", label_selector=f"batch.kubernetes.io/job-name={job}"
    )
    refused = {"type": "PodScheduled", "status": "False", "message": "no node fits"}
    world.api.patch(
        "pods",
        pod["metadata"]["name"],
        {"status": {"conditions": [refused]}},
        "prestream",
        user=ADMIN,
        subresource="status",
    )


# Reports of nodes and Jobs.


@scenario("pull_event", "fact", "resumed", "proven")
def a_warmup_is_complete(world: World) -> Delivery:
    let_one_wait(world)
    return world.told_of_end(DONE)


@scenario("pull_event", "fact", "resumed")
def a_warmup_is_complete_after_another_has_waited_for_long(world: World) -> Delivery:
    let_one_wait(world)
    world.advance(1)
    delivery = world.told_of_end(DONE)
    entry = json.loads(delivery.data)
    entry["jsonPayload"]["lastTimestamp"] = entry["timestamp"] = world.cloud.clock.now().isoformat()
    return replace(delivery, data=json.dumps(entry).encode())


@scenario("pull_event", "fact", "resumed")
def a_warmup_has_failed(world: World) -> Delivery:
    let_one_wait(world)
    return world.told_of_end(FAILED)


@scenario("pull_event", "fact")
def a_pod_pulled_an_image(world: World) -> Delivery:
    return world.told(GKE_EVENTS, is_pull_of_used)


@scenario("pull_event", "fact")
def a_node_streams_an_image(world: World) -> Delivery:
    return world.told(GKE_EVENTS, is_stream)


@scenario("pull_event", "ended")
def a_warmups_pull_cannot_succeed(world: World) -> Delivery:
    return world.told_of_failure(HOPELESS)


@scenario("pull_event", disposition="ignored")
def a_pod_could_not_pull_from_a_proven_mirror(world: World) -> Delivery:
    prove(world)
    return world.told_of_failure(UNREACHED[0])


@scenario("pull_event", "distrusted")
def two_images_could_not_be_pulled_from_a_proven_mirror(world: World) -> Delivery:
    prove(world, 0)
    return world.told_of_failure(UNREACHED[1])


@scenario("pull_event", "distrusted", "ended")
def a_warmup_is_denied(world: World) -> Delivery:
    prove(world)
    return world.told_of_failure(DENIED_WARMUP)


# The schedule.


@scenario("scheduled_sweep", "published")
def the_schedule_ticks(world: World) -> Delivery:
    return world.tick()


@scenario("scheduled_sweep", "due", "reported", "resumed", "moved", "bypassed")
def a_cluster_is_swept(world: World) -> Delivery:
    world.deliver(world.ask(BYPASSING))
    let_one_wait(world)
    prove(world)
    for number in range(2):
        world.deploy(f"due-{number}", world.add_image(f"team/due-{number}"), replicas=0)
    world.deploy("first", world.add_image("team/first", "ghcr.io"), replicas=0)
    newer = Image((1_000_000, 309_000_000), build="newer")
    world.cloud.catalogue.move_tag("docker.io/team/bypassing", "1", newer)
    world.advance(2)
    return world.tick(world.cloud.cluster)


@scenario("scheduled_sweep", "reason", disposition="ignored")
def a_cluster_is_not_onboarded(world: World) -> Delivery:
    bindings = "rolebindings.rbac.authorization.k8s.io"
    world.api.delete(bindings, "prestream-scheduled-sweep", "prestream", user=ADMIN)
    return world.tick(world.cloud.cluster)


@scenario("scheduled_sweep", "removed")
def a_warmup_waited_for_too_long(world: World) -> Delivery:
    world.delete_jobs(but=HOPELESS)
    config = "{period_hours: 48, max_running: 1}"
    world.deliver(world.ask(world.add_image("team/late"), config))
    world.advance(49)
    return world.tick(world.cloud.cluster, config)


@scenario("scheduled_sweep", "requeued", "resumed")
def a_warmup_finds_no_node(world: World) -> Delivery:
    world.delete_jobs(but=HOPELESS)
    world.deliver(world.ask(world.add_image("team/behind")))
    refuse_pod(world, HOPELESS)
    world.advance(1)
    return world.tick(world.cloud.cluster)


@scenario("scheduled_sweep", "ended")
def a_warmup_finds_no_node_in_its_last_attempt(world: World) -> Delivery:
    attempts = {"metadata": {"annotations": {"prestream.dev/attempts": "2"}}}
    world.patch_job(HOPELESS, attempts)
    refuse_pod(world, HOPELESS)
    world.advance(1)
    return world.tick(world.cloud.cluster)


@scenario("scheduled_sweep", "renewed", "prewarming")
def prewarmed_images_are_renewed_and_new_ones_begun(world: World) -> Delivery:
    world.delete_deployments()
    for name in ("old", "older"):
        image = world.push_image(name)
        world.deploy(name, image, replicas=0)
        world.deliver(world.ask(image, PREWARM))
    world.advance(60)
    for name in ("new", "newer"):
        world.deploy(name, world.push_image(name), replicas=0)
    return world.tick(world.cloud.cluster, PREWARM)


@scenario("scheduled_sweep")
def the_facts_of_what_was_prewarmed_are_written(world: World) -> Delivery:
    world.delete_deployments()
    for name in ("old", "older"):
        image = world.push_image(name)
        world.deploy(name, image, replicas=0)
        world.deliver(world.ask(image, PREWARM))
    world.advance(READY_HOURS)
    return world.tick(world.cloud.cluster, PREWARM)


@scenario("scheduled_sweep", "left_out", "due", follows=True, weighs=True)
def what_could_not_be_prewarmed_makes_room(world: World) -> Delivery:
    world.delete_deployments()
    switches = world.cloud.artifact_registry.switches
    switches.prewarm_error = "a layer is too large"
    image = world.push_image("broken")
    world.deploy("broken", image, replicas=0)
    world.deliver(world.ask(image, PREWARM))
    switches.prewarm_error = None
    world.deploy("huge", world.push_image("huge", 100_000_000_001), replicas=0)
    world.advance(READY_HOURS)
    return world.tick(world.cloud.cluster, PREWARM)
