"""A soak: many references under all faults at once, and where each of them ended."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sandbox.fault import Fault, at_rate, every
from sandbox.messaging import SCHEDULE
from tests.integration.fleets import SETTLED, Fleet, Peaks
from tests.integration.pipelines import MEDIUM
from tests.integration.warmup_jobs import is_finished, is_reported

SEED = 20_260
SMALL = 50_000_000
"""Bytes; below ``min_image_bytes``."""

CONFIG = """
max_running: 8
period_hours: 8760
upstreams:
  docker.io:
  ghcr.io:
  quay.io:
  limited.example:
  doomed.example:
"""

NODES = "abcdefghij"

PAGE = b"<html><body>502 Bad Gateway</body></html>"
BY_TAG = "GET .*/manifests/1$"
"""Only functions ask so; nodes ask by digest."""

_KINDS = (
    *(["new"] * 5),
    *(["again"] * 9),
    *(["small"] * 2),
    "absent",
    "not-allowed",
    "limited",
    "doomed",
)
"""Kinds of references, in turn; one in a hundred is malformed instead."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One of the messages that are published."""

    number: int
    kind: str
    image: str
    message_id: str


def make_faults(stall_s: float) -> Iterator[Fault]:
    """Yield all faults; each hits a share of the calls, or every n-th one."""
    gateway: dict[str, Any] = {"status": 502, "content": PAGE}
    page: dict[str, Any] = {"status": 200, "content": PAGE}
    lost: dict[str, Any] = {"status": 0, "applied": True}
    limited: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "1"}}
    stalled: dict[str, Any] = {"stall_s": stall_s}
    table: list[tuple[str, str, float | int, dict[str, Any]]] = [
        ("registry", "", 0.01, {}),
        ("registry", BY_TAG, 0.02, limited),
        ("registry", BY_TAG, 0.01, {"status": 401}),
        ("registry", "", 0.01, {"status": 0}),
        *[
            ("registry", BY_TAG, 0.01, {"damage": each})
            for each in ("cut", "truncated", "mistyped", "emptied")
        ],
        ("registry", BY_TAG, 0.01, page),
        ("registry", BY_TAG, 400, stalled),
        ("kubernetes", "", 0.003, {}),
        ("kubernetes", "", 0.001, {"status": 429}),
        ("kubernetes", "", 0.001, {"status": 401}),
        ("kubernetes", "(POST|PATCH) ", 0.005, {"status": 409}),
        ("kubernetes", "", 0.001, {"status": 0}),
        ("kubernetes", "(POST|PATCH) ", 0.005, lost),
        *[
            ("kubernetes", "", 0.001, {"damage": each})
            for each in ("cut", "truncated", "mistyped", "emptied")
        ],
        ("kubernetes", "", 0.001, gateway),
        ("kubernetes", "", 2000, stalled),
        ("artifact-registry", "/doomed-example-mirror", 1, {}),
        ("artifact-registry", "", 0.1, {}),
        ("artifact-registry", "", 0.05, {"status": 429}),
        ("artifact-registry", "", 0.05, {"damage": "cut"}),
        ("artifact-registry", "", 0.05, page),
        ("artifact-registry", "POST ", 0.2, lost),
        ("logging", "write", 0.01, {}),
        ("logging", "write", 0.01, lost),
        ("logging", "write", 0.01, {"damage": "cut"}),
        ("logging", "write", 0.01, gateway),
        ("logging", "write", 150, stalled),
        ("container", "", 3, {}),
        ("container", "", 2, {"damage": "truncated"}),
        ("pubsub", "^Publish ", 0.02, {}),
        ("pubsub", "^Publish .*references", 0.02, lost),
        ("pubsub", "^Push ", 0.02, {"status": 503}),
        ("pubsub", "^Push ", 0.02, {"status": 503, "applied": True}),
    ]
    for number, (service, call, share, fields) in enumerate(table):
        pattern = every(share) if isinstance(share, int) else at_rate(share, SEED + number)
        yield Fault(service, call, **fields, when=pattern)


@dataclass
class Soak:
    """A run."""

    fleet: Fleet
    count: int
    time_limit_s: float
    tick_s: float
    disturb_every: int
    """After so many references the API server restarts, and after as many more a node goes."""
    references: list[Reference] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    ticks: int = 0
    restarts: int = 0
    preemptions: int = 0

    def run(self, stall_s: float) -> dict[str, Any]:
        """Publish all references, wait until each has ended, and return the figures."""
        fleet, began = self.fleet, time.monotonic()
        self._disturb(stall_s)
        with ExitStack() as stack:
            api = fleet.api
            peaks = Peaks(
                stack.enter_context(api.watch("jobs.batch")), stack.enter_context(api.watch("pods"))
            )
            for number in range(self.count):
                self.references.append(self._publish(number))
                self._disrupt(number)
            published_s = time.monotonic() - began
            while self.open_ends() and time.monotonic() - began < self.time_limit_s:
                fleet.publish(SCHEDULE, {})
                self.ticks += 1
                fleet.pause(timedelta(seconds=self.tick_s))
            peaks.read()
        ends = self.ends()
        return {
            "references": self.count,
            "ends": dict(Counter(ends.values())),
            "lost": [asdict(each) for each in self.references if ends[each.number] == "lost"],
            "unfinished": self.open_ends(),
            "jobs": len(fleet.jobs()),
            "facts": len(fleet.facts(event="warmup.finished")),
            "running_at_most": peaks.jobs,
            "pods_at_most": peaks.pods,
            "faults_hit": sum(fault.hits for fault in self.faults),
            "faults": {
                service: sum(fault.hits for fault in self.faults if fault.service == service)
                for service in sorted({fault.service for fault in self.faults})
            },
            "faults_never_hit": sum(not fault.hits for fault in self.faults),
            "restarts": self.restarts,
            "preemptions": self.preemptions,
            "sweeps_asked_for": self.ticks,
            "deliveries": len(fleet.pubsub.deliveries),
            "dispositions": {
                f"{function} {disposition}": count
                for (function, disposition), count in sorted(fleet.dispositions.items())
            },
            "dead_letters": len(fleet.dead_letters()),
            "published_s": round(published_s, 1),
            "seconds": round(time.monotonic() - began, 1),
        }

    def _publish(self, number: int) -> Reference:
        kind = "none" if number % 100 == 99 else _KINDS[number % len(_KINDS)]
        image = self._image_of(kind, number)
        cause = {"kind": "audit_log", "id": f"soak-{number}", "resource": "soak"}
        return Reference(number, kind, image, self.fleet.ask(image, cause=cause))

    def _image_of(self, kind: str, number: int) -> str:
        name = f"soak/{kind}-{number}"
        match kind:
            case "new" | "small":
                registry = ("docker.io", "ghcr.io", "quay.io")[number % 3]
                size = MEDIUM if kind == "new" else SMALL
                return self.fleet.add_image(name, size, registry=registry)
            case "again":
                earlier = [each for each in self.references if each.kind == "new"]
                return earlier[(number * 7) % len(earlier)].image
            case "limited" | "doomed":
                return self.fleet.add_image(name, registry=f"{kind}.example")
            case "absent":
                return f"docker.io/{name}:1"
            case "not-allowed":
                return f"registry.example.com/{name}:1"
            case _:
                return f"docker.io/Soak/UPPER-{number}:1"

    def _disturb(self, stall_s: float) -> None:
        fleet, cloud = self.fleet, self.fleet.cloud
        self.faults = [cloud.faults.add(fault) for fault in make_faults(stall_s)]
        cloud.catalogue.limit("limited.example", after=0)
        cloud.artifact_registry.switches.operation_delay_s = 120.0
        for service, minutes in {"kubernetes": 10, "logging": -10, "pubsub": -5}.items():
            cloud.clocks[service].skew = timedelta(minutes=minutes)
        router = cloud.router
        router.lose = lambda entry: _drawn(entry, "lose") < 0.03
        router.duplicate = lambda entry: _drawn(entry, "duplicate") < 0.05
        router.delay = lambda entry: _drawn(entry, "delay") < 0.05
        router.fold = lambda entry: _drawn(entry, "fold") < 0.05
        for letter in NODES:
            fleet.add_gpu_node(f"gke-gpu-l4-{letter}", "l4-spot", accelerator="nvidia-l4")

    def _disrupt(self, number: int) -> None:
        step, rest = divmod(number + 1, self.disturb_every)
        if rest:
            return
        if step % 2:
            self.restarts += 1
            self.fleet.cloud.kubernetes.restart(timedelta(seconds=400))
        else:
            self.preemptions += 1
            self.fleet.cloud.gke.preempt_node(f"gke-gpu-l4-{NODES[self.preemptions - 1]}")
            self.fleet.add_gpu_node(f"gke-gpu-l4-new-{step}", "l4-spot", accelerator="nvidia-l4")

    # The ends of the references.

    def open_ends(self) -> int:
        """Return how many references, Jobs and messages have not ended yet."""
        self.fleet.read_lines()
        jobs = [job for job in self.fleet.jobs() if not (is_finished(job) and is_reported(job))]
        lost = sum(end == "lost" for end in self.ends().values())
        # References of running sweeps end like all others.
        return lost + len(jobs)

    def ends(self) -> dict[int, str]:
        """Return how each reference ended so far; ``lost`` if nothing is known of it."""
        jobs = {job["metadata"]["name"]: job for job in self.fleet.jobs()}
        facts = [entry["jsonPayload"] for entry in self.fleet.facts(event="warmup.finished")]
        told = Counter(fact["job"] for fact in facts)
        without_job = {fact["cause"]["id"] for fact in facts if fact["job"] is None}
        dead = {_cause_of(message.data) for message in self.fleet.dead_letters()}
        return {
            each.number: self._end_of(each, jobs, told, without_job, dead)
            for each in self.references
        }

    def _end_of(
        self,
        reference: Reference,
        jobs: Mapping[str, Any],
        told: Mapping[str, int],
        without_job: set[str],
        dead: set[str | None],
    ) -> str:
        line = self.fleet.last_line(reference.message_id)
        cause = f"soak-{reference.number}"
        if line is None or line["disposition"] not in SETTLED:
            return "dead letter with its reason" if cause in dead and _reason(line) else "lost"
        if line["disposition"] != "handled":
            return f"{line['disposition']} with its reason" if _reason(line) else "lost"
        names = [*line.get("created", ()), *line.get("waiting", ()), *line.get("known", ())]
        if names:
            once = all(name in jobs and told[name] == 1 for name in names)
            return "Job with its one fact" if once else "lost"
        return f"fact without a Job: {line['outcome']}" if cause in without_job else "lost"


def asdict(reference: Reference) -> dict[str, Any]:
    """Return the fields that identify a reference."""
    return {"number": reference.number, "kind": reference.kind, "id": reference.message_id}


def _reason(line: Mapping[str, Any] | None) -> str:
    return str((line or {}).get("reason") or "")


def _cause_of(data: bytes) -> str | None:
    message = json.loads(data)
    cause = message.get("cause") if isinstance(message, dict) else None
    return cause.get("id") if isinstance(cause, dict) else None


def _drawn(entry: Mapping[str, Any], salt: str) -> float:
    """Return a number from 0 to 1 that is derived from the text of an entry."""
    payload = entry.get("jsonPayload") or entry.get("protoPayload") or {}
    about = payload.get("involvedObject") or {}
    text = f"{salt} {about.get('name')} {payload.get('reason')} {payload.get('resourceName')}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
