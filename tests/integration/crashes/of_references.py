"""Scenarios of the detectors, and of image_reference."""

import json
from dataclasses import replace
from typing import Any

from sandbox.messaging import AUDIT
from tests.integration.crashes.scenarios import (
    DONE,
    FAILED,
    PREWARM,
    scenario,
)
from tests.integration.crashes.worlds import ADMIN, APPS, CONFIG, Delivery, World

CREDENTIALS = """
period_hours: 8760
upstreams:
  docker.io:
  ghcr.io:
    username: robot
    password_secret_version: projects/demo/secrets/robot/versions/1
    paths: [team/*]
"""
READY_HOURS = 0.1
"""The time after which an artifact is no longer CACHING."""


def deliver(function: str, data: dict[str, Any], config: str = CONFIG) -> Delivery:
    return Delivery(function, json.dumps(data).encode(), {}, config)


# Detectors.


@scenario("build_notification", "published", follows=True)
def a_build_pushed_two_images(world: World) -> Delivery:
    tags = [world.push_image(f"built-{number}") for number in range(2)]
    results = {"images": [{"name": tag, "digest": world.digests[tag]} for tag in tags]}
    return deliver("build_notification", {"id": "b-1", "status": "SUCCESS", "results": results})


@scenario("registry_push", "published", follows=True)
def an_image_was_pushed_under_a_tag(world: World) -> Delivery:
    tag = world.push_image("pushed")
    digest = f"{APPS}/pushed@{world.digests[tag]}"
    return deliver("registry_push", {"action": "INSERT", "digest": digest, "tag": tag})


@scenario("audit_log", "published", follows=True)
def a_workload_was_deployed(world: World) -> Delivery:
    def is_creation(entry: Any) -> bool:
        name = str(entry.get("protoPayload", {}).get("resourceName", ""))
        return name.endswith("/deployments/bypassing")

    return world.told(AUDIT, is_creation)


# Warming.


@scenario("image_reference", "created", "resumed")
def nothing_is_there_yet(world: World) -> Delivery:
    world.delete_jobs()
    world.cloud.artifact_registry.repositories.clear()
    return world.ask(world.add_image("team/new", "ghcr.io"))


@scenario("image_reference", "created", "resumed")
def the_mirror_is_there_and_the_image_is_new(world: World) -> Delivery:
    world.delete_jobs()
    return world.ask(world.add_image("team/new"))


@scenario("image_reference", "created")
def the_warmup_has_to_wait_its_turn(world: World) -> Delivery:
    return world.ask(world.add_image("team/new"))


@scenario("image_reference", "known")
def the_image_is_warm(world: World) -> Delivery:
    return world.ask(DONE)


@scenario("image_reference", "waiting", "resumed")
def the_warmup_waits_and_its_turn_has_come(world: World) -> Delivery:
    delivery = world.ask(world.add_image("team/new"))
    world.deliver(delivery)
    world.delete_jobs(but="docker.io/team/new:1")
    return delivery


@scenario("image_reference", "created", "resumed")
def a_failed_warmup_that_was_not_told_is_replaced(world: World) -> Delivery:
    world.delete_jobs(but=FAILED)
    return world.ask(FAILED)


@scenario("image_reference", "created", "resumed")
def a_failed_warmup_that_was_told_is_replaced(world: World) -> Delivery:
    world.delete_jobs(but=FAILED)
    world.deliver(world.told_of_end(FAILED))
    return world.ask(FAILED)


@scenario("image_reference", "created", "resumed")
def an_image_is_warmed_on_every_target(world: World) -> Delivery:
    world.delete_jobs()
    labels = {"cloud.google.com/gke-accelerator": "nvidia-a100-80gb"}
    patch: dict[str, Any] = {"metadata": {"labels": labels}}
    world.api.patch("nodes", "gke-gpu-l4-d", patch, user=ADMIN)
    image = world.add_image("team/new")
    config = "{period_hours: 8760, max_running: 2}"
    return deliver("image_reference", {"image": image, "cluster": world.cloud.cluster}, config)


@scenario("image_reference", "created", "resumed", follows=True)
def somebody_insists(world: World) -> Delivery:
    world.delete_jobs(but=DONE)
    return world.ask(DONE, force=True)


@scenario("image_reference", "published", follows=True)
def a_reference_is_spread(world: World) -> Delivery:
    world.delete_jobs()
    return deliver("image_reference", {"image": world.add_image("team/new")})


@scenario("image_reference", "published", follows=True)
def a_reference_is_spread_on_which_somebody_insists(world: World) -> Delivery:
    world.delete_jobs()
    return deliver("image_reference", {"image": world.add_image("team/new"), "force": True})


@scenario("image_reference", disposition="ignored")
def the_image_is_small(world: World) -> Delivery:
    image = world.add_image("team/small", size=2_000_000)
    return world.ask(image, cause={"kind": "build"})


# Images at fault.


@scenario("image_reference", "outcome", "hint")
def the_image_is_absent(world: World) -> Delivery:
    return world.ask("docker.io/team/absent:1")


@scenario("image_reference", "outcome", "hint")
def its_host_is_not_allowed(world: World) -> Delivery:
    return world.ask("elsewhere.example/team/new:1")


@scenario("image_reference", "outcome", "hint")
def the_mirrors_name_is_taken(world: World) -> Delivery:
    name = "projects/demo/locations/us-central1/repositories/ghcr-io-mirror"
    world.cloud.artifact_registry.repositories[name] = {
        "name": name,
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
        "createTime": "2024-01-01T00:00:00Z",
    }
    return world.ask(world.add_image("team/new", "ghcr.io"))


@scenario("image_reference", "outcome", "hint")
def no_node_can_serve(world: World) -> Delivery:
    selector = {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}
    config = "{period_hours: 8760, ladder: [gpu-node]}"
    return world.ask(world.add_image("team/new"), config, placement={"nodeSelector": selector})


@scenario("image_reference", "created", "resumed")
def the_mirror_lacks_its_credentials(world: World) -> Delivery:
    world.delete_jobs()
    image = world.add_image("team/new", "ghcr.io")
    world.deliver(world.ask(image))
    world.delete_jobs()
    return world.ask(image, CREDENTIALS)


# Prewarming.


@scenario("image_reference", "prewarming")
def artifact_registry_is_to_prewarm(world: World) -> Delivery:
    return world.ask(world.push_image("new"), PREWARM)


@scenario("image_reference", "prewarmed")
def artifact_registry_has_prewarmed(world: World) -> Delivery:
    delivery = artifact_registry_is_to_prewarm(world)
    world.deliver(delivery)
    world.advance(READY_HOURS)
    return delivery


@scenario("image_reference", "prewarmed")
def what_is_prewarmed_expires_soon(world: World) -> Delivery:
    delivery = artifact_registry_is_to_prewarm(world)
    world.deliver(delivery)
    world.advance(60)
    return delivery


@scenario("image_reference", "prewarming")
def somebody_insists_on_what_could_not_be_prewarmed(world: World) -> Delivery:
    image = world.push_image("new")
    switches = world.cloud.artifact_registry.switches
    switches.prewarm_error = "a layer is too large"
    world.deliver(world.ask(image, PREWARM))
    switches.prewarm_error = None
    world.advance(READY_HOURS)
    return world.ask(image, PREWARM, force=True)


@scenario("image_reference", "created", "passed")
def what_could_not_be_prewarmed_goes_to_a_node(world: World) -> Delivery:
    refused = somebody_insists_on_what_could_not_be_prewarmed(world)
    return replace(refused, data=refused.data.replace(b'"force": true', b'"force": false'))
