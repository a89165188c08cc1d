"""A burst of audit entries through several instances: exactly the Jobs that it asks for."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.local_cloud import LocalCloud
from sandbox.messaging import AUDIT
from tests.integration.fleets import Fleet, Peaks
from tests.integration.pipelines import L4, TIMEOUT_S
from tests.integration.test_soak import QUOTA, SCALE, write
from tests.integration.warmup_jobs import annotation, is_finished, is_reported

MAX_RUNNING = 5
CONFIG = f"period_hours: 8760\nmax_running: {MAX_RUNNING}\n"
A100 = {"cloud.google.com/gke-accelerator": "nvidia-a100-80gb"}


def run(
    archives: Path,
    python: Path,
    instances: dict[str, int],
    *,
    images: int,
    entries: int,
    time_limit_s: float,
) -> dict[str, Any]:
    """Let a burst through a fleet that has no sweep: each turn must come by itself."""
    fleet = Fleet(LocalCloud(scale=SCALE, config=CONFIG), archives, python, instances).start()
    try:
        return burst(fleet, images, entries, time_limit_s)
    finally:
        fleet.stop()


def burst(fleet: Fleet, images: int, entries: int, time_limit_s: float) -> dict[str, Any]:
    for letter in "abc":
        fleet.add_gpu_node(f"gke-gpu-l4-{letter}", "l4-spot", accelerator="nvidia-l4")
        fleet.add_gpu_node(f"gke-gpu-a100-{letter}", "a100-spot")
    names = [fleet.add_image(f"team/load-{number}") for number in range(images)]
    # Every other one is asked for on both kinds of nodes.
    wanted = [(name, L4) for name in names] + [(name, A100) for name in names[::2]]
    written = list(record(fleet, wanted))
    began = time.monotonic()
    with ExitStack() as stack:
        peaks = Peaks(
            *(stack.enter_context(fleet.api.watch(kind)) for kind in ("jobs.batch", "pods"))
        )
        fleet.publish_all(AUDIT, repeat(written, entries))
        while not has_ended(fleet, len(wanted)) and time.monotonic() - began < time_limit_s:
            fleet.pause(timedelta(seconds=0.5))
        peaks.read()
    fleet.read_lines()
    jobs = fleet.jobs()
    told = Counter(entry["jsonPayload"]["job"] for entry in fleet.facts(event="warmup.finished"))
    return {
        "entries": entries,
        "images": images,
        "jobs_expected": len(wanted),
        "jobs": len(jobs),
        "distinct": len({(annotation(job, "image"), str(selector(job))) for job in jobs}),
        "finished": sum(is_finished(job) and is_reported(job) for job in jobs),
        "facts": sum(told.values()),
        "jobs_with_one_fact": sum(told[job["metadata"]["name"]] == 1 for job in jobs),
        "turns": len(peaks.turns),
        "running_at_most": peaks.jobs,
        "pods_at_most": peaks.pods,
        "deliveries": len(fleet.pubsub.deliveries),
        "dispositions": {
            f"{function} {disposition}": count
            for (function, disposition), count in sorted(fleet.dispositions.items())
        },
        "dead_letters": len(fleet.dead_letters()),
        "seconds": round(time.monotonic() - began, 1),
    }


def record(fleet: Fleet, wanted: list[tuple[str, dict[str, str]]]) -> Iterator[dict[str, Any]]:
    """Deploy workloads, and yield their audit entries, unpublished."""
    router = fleet.cloud.router
    router.lose = lambda _: True
    for number, (image, node_selector) in enumerate(wanted):
        fleet.deploy(f"load-{number}", image, node_selector, replicas=0)
    assert router.flush(TIMEOUT_S)
    router.lose = None
    for entry in list(fleet.cloud.logging.entries):
        if entry.get("protoPayload", {}).get("methodName") == "io.k8s.apps.v1.deployments.create":
            yield entry


def repeat(written: list[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    """Yield so many entries in no order: most are of one more workload, each tenth comes twice."""
    for number in range(count):
        entry = written[number * 7919 % len(written)]
        yield {**entry, "insertId": f"load-{number - number % 10 if number % 10 == 1 else number}"}


def selector(job: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = job["metadata"]["labels"]["prestream.dev/target"]
    return found


def has_ended(fleet: Fleet, expected: int) -> bool:
    """Whether all messages are settled, and all Jobs reported."""
    if not (fleet.is_quiet() and fleet.cloud.router.flush(0)):
        return False
    jobs = fleet.jobs()
    return len(jobs) >= expected and all(is_finished(job) and is_reported(job) for job in jobs)


def check(figures: dict[str, Any]) -> None:
    expected = figures["jobs_expected"]
    exact = ("jobs", "distinct", "finished", "facts", "jobs_with_one_fact", "turns")
    assert {name: figures[name] for name in exact} == dict.fromkeys(exact, expected)
    assert figures["dead_letters"] == 0
    assert 1 <= figures["pods_at_most"] <= QUOTA
    # Two instances that take turns at the same moment may exceed the limit for a moment.
    assert 1 <= figures["running_at_most"] <= 2 * MAX_RUNNING
    assert figures["deliveries"] >= 2 * figures["entries"]


def test_burst_makes_exactly_the_jobs_that_it_asks_for(
    archives: Path, deployed_python: Path
) -> None:
    instances = {"audit_log": 2, "image_reference": 2, "pull_event": 2}

    figures = run(archives, deployed_python, instances, images=12, entries=150, time_limit_s=60.0)

    check(figures)


@pytest.mark.soak
def test_ten_thousand_audit_entries_make_exactly_the_jobs_that_they_ask_for(
    archives: Path, deployed_python: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instances = {"audit_log": 3, "image_reference": 3, "pull_event": 2}

    figures = run(
        archives, deployed_python, instances, images=50, entries=10_000, time_limit_s=480.0
    )

    write("load", figures, capsys)
    check(figures)
