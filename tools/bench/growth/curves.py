"""The sizes that grow, and the measurements at each size."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from sandbox.demo.case import make_deployment
from sandbox.function_process import FunctionProcess
from tools.bench.budgets import prepare
from tools.bench.calls import count_services
from tools.bench.crowds import IMAGES, send_crowd
from tools.bench.measuring import peak_bytes, sum_pss
from tools.bench.rates import measure_rate
from tools.bench.scenarios import CLUSTER, L4, Scenario, make_reference
from tools.bench.stages import Stage

_USER = "bench@example.com"
_LAUNCHES = 5
"""At each size; the median is taken."""


@dataclass(frozen=True, slots=True)
class Point:
    """The measurement at one size."""

    size: int
    calls: float
    services: dict[str, int]
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A growing size and its measured points."""

    title: str
    size: str
    """The unit of the size."""
    per: str
    """The unit of calls and seconds."""
    memory: str
    points: tuple[Point, ...]
    straight: float = 1.0
    """The power with which it may grow: 0 for what one more of many costs."""

    def exponent(self, field: str) -> float:
        """
        Return the power of the size with which a figure grows between the last two points.

        1 is in proportion, 0 not at all, and 2 that twice the size costs four times as much.
        """
        before, last = self.points[-2:]
        low, high = getattr(before, field), getattr(last, field)
        if not low or not high:
            return 0.0
        return math.log(high / low) / math.log(last.size / before.size)

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down."""
        powers = {each: round(self.exponent(each), 2) for each in ("calls", "seconds", "bytes")}
        return asdict(self) | {"exponents": powers}


Step = Callable[[str], None]

EVENTS: Final = (100, 500, 2_000, 10_000)
IMAGES_IN_USE: Final = (10, 100, 1_000, 10_000)
WAITING: Final = (10, 100, 1_000, 5_000)
CLUSTERS: Final = (1, 10, 100, 500)


def grow_events(step: Step, sizes: Sequence[int] = EVENTS) -> Curve:
    """More events of the same images, to one instance."""
    points = []
    with Stage() as stage:
        stage.prepare("image_reference")
        for size in sizes:
            step(f"{size:,} events")
            crowd = send_crowd(stage, size, min(IMAGES, size))
            services = dict(crowd.services)
            points.append(Point(size, crowd.calls, services, crowd.seconds, crowd.pss_bytes))
    return Curve(
        f"events of {IMAGES} images", "events", "all events", "of the instance", tuple(points)
    )


def grow_images(step: Step, sizes: Sequence[int] = IMAGES_IN_USE) -> Curve:
    """More images in use in a cluster, and a sweep of it: nothing was warmed, so all is due."""
    points = []
    with Stage() as stage:
        prepare(stage)
        made = 1
        for size in sizes:
            step(f"{size:,} images in use")
            for number in range(made, size):
                body = make_deployment(f"app-{number}", stage.add_image(), node_selector=L4)
                body["spec"]["replicas"] = 0
                stage.cloud.kubernetes.api.create("deployments.apps", body, "ml", user=_USER)
            made = size
            sweep = Scenario(
                "scheduled_sweep", "cluster swept", {"cluster": CLUSTER}, "handled", "images"
            )
            points.append(_measure_one(stage, sweep, size))
    return Curve("a sweep of a cluster", "images in use", "the sweep", "peak", tuple(points))


def grow_waiting(step: Step, sizes: Sequence[int] = WAITING) -> Curve:
    """More existing warmups in a cluster, and the launch of one more."""
    points = []
    with Stage() as stage:
        stage.prepare("image_reference")
        api = stage.cloud.kubernetes.api
        (body,) = api.list("jobs.batch", "prestream")
        standing = 1
        with _served(stage, "image_reference") as process:
            launch = Scenario(
                "image_reference", "new reference", make_reference(""), "handled", "created"
            )
            stage.deliver(process, stage.next_of(launch))
            for size in sizes:
                step(f"{size:,} warmups waiting")
                for number in range(standing, size):
                    api.create("jobs.batch", _copy(body, number), "prestream", user=_USER)
                standing = size
                points.append(_measure_launches(stage, process, launch, size))
    return Curve(
        "one more warmup",
        "existing warmups",
        "one launch",
        "of the instance",
        tuple(points),
        straight=0.0,
    )


def grow_clusters(step: Step, sizes: Sequence[int] = CLUSTERS) -> Iterator[Curve]:
    """More watched clusters: the tick for all of them, and a reference to each."""
    ticks, references = [], []
    for size in sizes:
        step(f"{size} clusters")
        with Stage() as stage:
            stage.prepare("image_reference")
            names = [_add_cluster(stage, number) for number in range(size)]
            tick = Scenario("scheduled_sweep", "ticks sent", {}, "handled", "published")
            ticks.append(_measure_one(stage, tick, size))
            references.append(_measure_clusters(stage, names))
    yield Curve("a tick for all clusters", "clusters", "the tick", "peak", tuple(ticks))
    yield Curve(
        "one image in each cluster",
        "clusters",
        "all references",
        "of the instance",
        tuple(references),
    )


def _measure_one(stage: Stage, scenario: Scenario, size: int) -> Point:
    """Measure one delivery to an instance that has just started."""
    with _served(stage, scenario.function) as process:
        stage.calls.take()
        started = time.perf_counter()
        stage.deliver(process, scenario)
        seconds = time.perf_counter() - started
        calls = stage.calls.take()
        return Point(size, len(calls), count_services(calls), seconds, peak_bytes(process.pid))


def _measure_launches(stage: Stage, process: FunctionProcess, launch: Scenario, size: int) -> Point:
    taken: list[float] = []
    stage.calls.take()
    for _ in range(_LAUNCHES):
        each = stage.next_of(launch)
        started = time.perf_counter()
        stage.deliver(process, each)
        taken.append(time.perf_counter() - started)
    calls = stage.calls.take()
    return Point(
        size,
        len(calls) / _LAUNCHES,
        {name: round(count / _LAUNCHES) for name, count in count_services(calls).items()},
        statistics.median(taken),
        sum_pss(process.pid),
    )


def _measure_clusters(stage: Stage, names: Sequence[str]) -> Point:
    """
    Send a reference to one image for each cluster, all to one instance.

    It is too small to be warmed: all clusters are one here, and would hold the warmups of all.
    """
    image = stage.add_image(layers=(1_000_000,))
    scenarios = [
        Scenario("image_reference", "ignored", make_reference(image, name), "ignored", "reason")
        for name in names
    ]
    with _served(stage, "image_reference") as process:
        stage.calls.take()
        rate = measure_rate(process, stage.bodies(scenarios), seconds=None, senders=1)
        calls = stage.calls.take()
        memory = sum_pss(process.pid)
    return Point(len(names), len(calls), count_services(calls), rate.seconds, memory)


def _add_cluster(stage: Stage, number: int) -> str:
    pool = {
        "name": "l4-spot",
        "config": {
            "accelerators": [{"acceleratorType": "nvidia-l4", "acceleratorCount": "1"}],
            "gcfsConfig": {"enabled": True},
        },
    }
    return stage.cloud.container.add_cluster(
        {"name": f"gpu-{number}" if number else "gpu", "location": "us-central1"}
        | {"nodePools": [pool]}
    )


def _copy(body: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a warmup like another one, which waits as well."""
    metadata = body["metadata"]
    kept = {"labels": metadata["labels"], "annotations": metadata["annotations"]}
    spec = {
        key: value
        for key, value in body["spec"].items()
        if key not in {"selector", "manualSelector"}
    }
    template = {
        "metadata": {
            "labels": metadata["labels"],
            "annotations": body["spec"]["template"]["metadata"].get("annotations", {}),
        },
        "spec": body["spec"]["template"]["spec"],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"warm-copy-{number}", **kept},
        "spec": spec | {"suspend": True, "template": template},
    }


@contextmanager
def _served(stage: Stage, function: str) -> Iterator[FunctionProcess]:
    process = stage.start(function)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.stop()
