"""Scenarios, and the history that all of them share."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.messaging import GKE_EVENTS
from tests.integration.crashes.worlds import HUB, TIMEOUT_S, Delivery, World
from tests.integration.warmup_jobs import is_finished

DONE = "docker.io/team/done:1"
"""Its warmup is complete and not reported."""
FAILED = "docker.io/team/failed:1"
"""Its warmup failed and is not reported."""
HOPELESS = "docker.io/team/hopeless:1"
"""Its warmup runs, and its node cannot pull it."""
USED = "docker.io/team/used:1"
"""A pod pulled it from the mirror."""
BYPASSING = "docker.io/team/bypassing:1"
"""A pod pulled it from its upstream."""
UNREACHED = tuple(f"docker.io/team/unreached-{number}:1" for number in range(2))
"""Rewritten pods that could not pull them, as the mirror does not reach its upstream."""
DENIED_WARMUP = "docker.io/team/denied-warmup:1"
"""Its warmup runs, and its node may not pull it."""

PREWARM = "{period_hours: 8760, max_running: 1, ladder: [prewarm-api, gpu-node, any-node]}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A delivery to a function, and the preparation of its world."""

    name: str
    function: str
    prepare: Callable[[World], Delivery]
    says: tuple[str, ...]
    """Fields of its log line if it is not disturbed."""
    disposition: str = "handled"
    follows: bool = False
    """Whether the references that it publishes are delivered as well, repetitions included."""
    weighs: bool = False
    """
    Whether it ranks images. A registry that does not answer for one image then changes the result
    for the others, and only the requests have to be the same in the end.
    """


SCENARIOS: list[Scenario] = []


def scenario(
    function: str,
    *says: str,
    disposition: str = "handled",
    follows: bool = False,
    weighs: bool = False,
) -> Callable[[Callable[[World], Delivery]], Callable[[World], Delivery]]:
    """Register a scenario: a function that prepares the world and returns the delivery."""

    def register(prepare: Callable[[World], Delivery]) -> Callable[[World], Delivery]:
        name = prepare.__name__.replace("_", " ")
        SCENARIOS.append(Scenario(name, function, prepare, says, disposition, follows, weighs))
        return prepare

    return register


def make_history(world: World) -> None:
    """Make the history of all scenarios on simulated nodes, and freeze the world."""
    cloud = world.cloud
    # Nothing may reach its deadline on a busy machine.
    config = "{period_hours: 8760, max_running: 9, deadline_minutes: 600}"
    for image in (DONE, FAILED, HOPELESS, USED, BYPASSING, *UNREACHED, DENIED_WARMUP):
        world.add_image(image.removeprefix("docker.io/").removesuffix(":1"))
    with (
        world.refusing("HEAD .*/(failed|hopeless)/", 404),
        world.refusing("HEAD .*/denied-", 403),
        world.refusing("HEAD .*/unreached-", 502),
    ):
        world.deliver(world.ask(DONE, config))
        world.told_of_end(DONE)
        world.deliver(world.ask(FAILED, config))
        world.told_of_failure(FAILED)
        world.patch_job(FAILED, {"spec": {"activeDeadlineSeconds": 1}})
        world.told_of_end(FAILED)
        world.deploy("used", f"{HUB}/team/used:1")
        world.deploy("bypassing", BYPASSING)
        assert cloud.gke.wait_for(
            lambda: all(_runs(world, name) for name in ("used", "bypassing")),
            TIMEOUT_S,
        )
        world.prove(HUB)
        for number, image in enumerate(UNREACHED):
            world.deploy(f"unreached-{number}", image)
            world.told_of_failure(image)
        world.prove(None)
        world.deliver(world.ask(HOPELESS, config))
        world.told_of_failure(HOPELESS)
        world.deliver(world.ask(DENIED_WARMUP, config))
        world.told_of_failure(DENIED_WARMUP)
        world.told(GKE_EVENTS, is_pull_of_used)
        world.told(GKE_EVENTS, is_stream)
        failing = (HOPELESS, DENIED_WARMUP, *UNREACHED)
        assert cloud.gke.wait_for(lambda: _count_failed(world) >= len(failing), TIMEOUT_S)
        assert cloud.router.flush(TIMEOUT_S)
        # The registry still refuses here, since the nodes retry.
        cloud.freeze()
    assert is_finished(world.job(DONE))
    assert not is_finished(world.job(HOPELESS))


def _count_failed(world: World) -> int:
    """Return the number of pods whose status shows a failed pull."""
    return sum(
        "ErrImagePull" in json.dumps(pod["status"])
        for namespace in ("ml", "prestream")
        for pod in world.api.list("pods", namespace)
    )


def _runs(world: World, app: str) -> bool:
    pods = world.api.list("pods", "ml", label_selector=f"app={app}")
    return bool(pods) and all(pod["status"].get("phase") == "Running" for pod in pods)


def is_pull_of_used(entry: object) -> bool:
    """Whether an entry reports the pull of the pod."""
    text = str(entry)
    return "'Pulled'" in text and "Successfully pulled" in text and "/team/used" in text


def is_stream(entry: object) -> bool:
    """Whether an entry reports that a node streams an image."""
    return "'ImageStreaming'" in str(entry)
