"""A tenant with the role ``edit`` attacks, while the images of another tenant become warm."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.local_cloud import LocalCloud
from tests.integration.fleets import Fleet
from tests.integration.pipelines import ADMIN, BIG, MEDIUM
from tests.integration.test_soak import write
from tests.integration.warmup_jobs import annotation, is_finished, is_reported

BUDGET = 12
CONFIG = f"max_running: 5\nnamespace_budget: {BUDGET}\nperiod_hours: 8760\n"
INSTANCES = {"image_reference": 2, "pull_event": 2}
SCALE = 20.0
WAIT_S = 60.0
HUGE = BIG
"""Bytes; pulled in ten seconds, during which its warmup keeps its place."""


@contextmanager
def running(archives: Path, python: Path) -> Iterator[Fleet]:
    fleet = Fleet(LocalCloud(scale=SCALE, config=CONFIG), archives, python, INSTANCES).start()
    try:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "evil"}}
        fleet.api.create("namespaces", body, user=ADMIN)
        for letter in "abcdef":
            fleet.add_gpu_node(f"gke-gpu-l4-{letter}", "l4-spot", accelerator="nvidia-l4")
        warm(fleet, fleet.add_image("victim/first"))
        yield fleet
    finally:
        fleet.stop()


def ask(fleet: Fleet, image: str, namespace: str, kind: str = "audit_log") -> None:
    resource = f"apps/v1/namespaces/{namespace}/deployments/app" if kind == "audit_log" else None
    fleet.ask(image, cause={"kind": kind, "id": f"{namespace}-{image}", "resource": resource})


def warm(fleet: Fleet, image: str) -> float:
    """Let the victim request an image, and return the seconds until it is warm."""
    began = time.monotonic()
    ask(fleet, image, "victim")
    while not any(is_finished(job) and is_reported(job) for job in fleet.jobs(image)):
        assert time.monotonic() - began < WAIT_S, f"{image} does not become warm"
        fleet.pause(timedelta(seconds=0.02))
    return time.monotonic() - began


def attack(fleet: Fleet, count: int, wanted: list[str]) -> None:
    """Send everything that a tenant can send; ``wanted`` are the images of the victim."""
    for number in range(count):
        ask(fleet, fleet.add_image(f"evil/huge-{number}", HUGE), "evil")
        ask(fleet, fleet.add_image(f"evil/pushed-{number}", HUGE), "evil", "push")
        ask(fleet, f"docker.io/evil/absent-{number}:1", "evil")
        ask(fleet, f"registry.evil.example/app-{number}:1", "evil")
        ask(fleet, f"docker.io/Evil/UPPER-{number}:1", "evil")
        fleet.api.create("events", forge(number), "evil", user=ADMIN)
    for image in wanted:
        ask(fleet, image, "evil")


def forge(number: int) -> dict[str, Any]:
    """Return an Event that claims a failed pull on a node that no path may be built from."""
    about = {"apiVersion": "v1", "kind": "Pod", "name": f"warm-{number}", "namespace": "evil"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"forged-{number}", "namespace": "evil"},
        "involvedObject": {**about, "uid": f"uid-{number}"},
        "type": "Warning",
        "reason": "Failed",
        "message": 'Failed to pull image "docker.io/victim/first:1": not found',
        "source": {"component": "kubelet", "host": ".."},
        "firstTimestamp": "2026-11-24T09:41:00Z",
        "lastTimestamp": "2026-11-24T09:41:00Z",
        "count": 1,
    }


def add_images(fleet: Fleet, name: str, count: int) -> list[str]:
    return [fleet.add_image(f"victim/{name}-{number}", MEDIUM) for number in range(count)]


def evil_jobs(fleet: Fleet) -> list[dict[str, Any]]:
    return [job for job in fleet.jobs() if "/evil/" in f"/{annotation(job, 'image')}"]


def test_images_become_warm_while_another_tenant_attacks(
    archives: Path, deployed_python: Path
) -> None:
    with running(archives, deployed_python) as fleet:
        images = add_images(fleet, "during", 3)
        attack(fleet, 15, images)

        for image in images:
            warm(fleet, image)

        jobs = evil_jobs(fleet)
        pending = [job for job in jobs if not is_finished(job)]
        # A budget of the namespace, and one of its repository; two instances may see room at once.
        assert BUDGET < len(jobs) <= 2 * (BUDGET + 1)
        assert len(pending) > len(jobs) / 2
        assert {outcome for _, outcome in find_ends(fleet, "victim-")} == {"pulled"}
        assert "postponed" in {outcome for _, outcome in find_ends(fleet, "evil-")}
        assert fleet.dead_letters() == []
        fleet.read_lines()
        assert {"blocked", "failed"}.isdisjoint(end for _, end in fleet.dispositions)


def find_ends(fleet: Fleet, cause: str) -> set[tuple[str, str]]:
    """Return the images that a tenant requested first, with their outcomes."""
    facts = [entry["jsonPayload"] for entry in fleet.facts(event="warmup.finished")]
    return {
        (fact["image"], fact["outcome"])
        for fact in facts
        if str(fact["cause"]["id"]).startswith(cause)
    }


@pytest.mark.soak
def test_time_to_warm_with_and_without_an_attacker(
    archives: Path, deployed_python: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(archives, deployed_python) as fleet:
        alone = [warm(fleet, image) for image in add_images(fleet, "alone", 15)]
        images = add_images(fleet, "during", 15)
        attack(fleet, 40, images[::3])
        attacked = [warm(fleet, image) for image in images]
        figures = {
            "images": len(images),
            "attacker_jobs": len(evil_jobs(fleet)),
            "seconds_alone": round(statistics.median(alone), 2),
            "seconds_attacked": round(statistics.median(attacked), 2),
            "ratio": round(statistics.median(attacked) / statistics.median(alone), 2),
            "dead_letters": len(fleet.dead_letters()),
        }

    write("attacker", figures, capsys)
    assert figures["dead_letters"] == 0
