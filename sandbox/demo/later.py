"""Two days later: an image in use is warmed again, a tag moves, an image needs no node."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sandbox.catalogue.image import Image
from sandbox.demo.case import APPS, GB200, NAMESPACE, make_deployment
from sandbox.local_cloud import LocalCloud
from sandbox.messaging import SCHEDULE

LADDER = "ladder: [gpu-node, any-node, prewarm-api]\n"
"""The prewarm API serves images that no node can pull."""

_LATER = timedelta(hours=49)
_MOVED = ("docker.io/vllm/vllm-openai", "v0.6.3")
_NEW_VLLM = Image((30_440_000, 1_062_000_000, 2_140_000_000, 1_634_000_000), build="vllm:moved")
_ARM = Image((28_100_000, 1_310_000_000), ("linux/arm64",), index=True, build="trainer-arm:v1")
_TICK_EVERY_S = 3.0
_TIMEOUT_S = 30.0
_PAUSE_S = 0.1
_USER = "dev@example.com"

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sight:
    """An expected result of the later days, and the fact that shows it."""

    title: str
    payload: Payload | None
    say: Callable[[Payload], str]

    @property
    def is_seen(self) -> bool:
        """Whether the fact was written."""
        return self.payload is not None

    @property
    def text(self) -> str:
        """A summary of the fact."""
        return "not seen" if self.payload is None else self.say(self.payload)


def let_time_pass(cloud: LocalCloud) -> list[Sight]:
    """Move a tag and the clock, run the sweep as Cloud Scheduler does, and return the results."""
    cloud.artifact_registry.push(f"{APPS}/trainer-arm", "v1", _ARM)
    body = make_deployment("trainer-arm", f"{APPS}/trainer-arm:v1", node_selector=GB200, replicas=0)
    cloud.kubernetes.api.create("deployments.apps", body, NAMESPACE, user=_USER)
    cloud.catalogue.move_tag(*_MOVED, _NEW_VLLM)
    cloud.clock.advance(_LATER)
    due = time.monotonic() + _TIMEOUT_S
    next_tick = 0.0
    pause = threading.Event()
    while True:
        sights = _look([entry["jsonPayload"] for entry in cloud.facts()])
        if all(sight.is_seen for sight in sights) or time.monotonic() > due:
            return sights
        if time.monotonic() >= next_tick:
            # Cloud Scheduler sends this every hour, which lasts a minute here.
            cloud.messaging.publish(SCHEDULE, b"{}")
            next_tick = time.monotonic() + _TICK_EVERY_S
        pause.wait(_PAUSE_S)


def _look(payloads: list[Payload]) -> list[Sight]:
    return [
        Sight(
            "warmed again, as it is still in use: anyscale/ray-ml:2.7.0",
            _find(payloads, "warmup.finished", _is_again),
            lambda fact: (
                f"{fact['outcome']} on {fact['node']} in {fact['pull_seconds']:.1f} s,"
                f" {fact['streamed']}"
            ),
        ),
        Sight(
            f"a tag that moved: {_MOVED[0]}:{_MOVED[1]}",
            _find(payloads, "tag.moved", lambda fact: "vllm/vllm-openai" in str(fact["mirror"])),
            lambda fact: (
                f"{str(fact['old_digest'])[:19]} still runs in {', '.join(fact['workloads'])}"
            ),
        ),
        Sight(
            f"warmed without a node, as none is arm64: {APPS}/trainer-arm:v1",
            _find(payloads, "warmup.finished", lambda fact: fact["outcome"] == "prewarmed"),
            lambda fact: f"{fact['outcome']} by {fact['strategy']}",
        ),
    ]


def _is_again(fact: Payload) -> bool:
    cause = fact["cause"] or {}
    return cause.get("kind") == "schedule" and "anyscale/ray-ml" in str(fact["mirror"])


def _find(payloads: list[Payload], event: str, fits: Callable[[Payload], bool]) -> Payload | None:
    found = (each for each in payloads if each["event"] == event and fits(each))
    return next(found, None)
