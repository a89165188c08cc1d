"""Facts as they are saved and stored, made by what makes them in earnest."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.fact import (
    Fact,
    NodeDetails,
    PullObserved,
    StreamObserved,
    Subject,
    WarmupFinished,
)
from shared.domain.streaming_verdict import Evidence, Streamed, Verdict
from shared.domain.timestamp import format_time

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
RAY = "docker.io/anyscale/ray-ml:2.7.0"
RAY_MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml:2.7.0"
RAY_BYTES = 9_697_278_139
KUBELET = Evidence("pull", "Successfully pulled image", "projects/demo/logs/events", "kubelet-1")


def subject(image: str = RAY, mirror: str | None = RAY_MIRROR, cluster: str = CLUSTER) -> Subject:
    return Subject(image=image, mirror=mirror, cluster=cluster)


def pull(
    streamed: Streamed,
    seconds: float | None,
    *,
    after_s: float = 0.0,
    about: Subject | None = None,
    node: str = "node-1",
    node_pool: str = "l4",
    accelerator: str | None = "nvidia-l4",
    pod: str | None = None,
    hint: str | None = None,
) -> Fact:
    """A workload's pull that ended so long after noon."""
    at = NOON + timedelta(seconds=after_s)
    return PullObserved(
        subject=about or subject(),
        at=at,
        verdict=Verdict(streamed, (KUBELET,), hint),
        pod_uid=pod or f"pod-{format_time(at)}-{node}",
        container="main",
        event_uid="event",
        workload="core/v1/namespaces/ml/pods/trainer",
        node=NodeDetails(name=node, node_pool=node_pool, accelerator=accelerator),
        pull_seconds=seconds,
        image_bytes=RAY_BYTES,
    ).as_fact()


def warmup(
    seconds: float | None,
    *,
    outcome: Any = "pulled",
    streamed: Streamed | None = "not_streamed",
    after_s: float = -3600.0,
    about: Subject | None = None,
    strategy: str | None = "gpu-node",
    target: str | None = "l4",
    node: str | None = "node-0",
    accelerator: str | None = "nvidia-l4",
    reason: str | None = None,
    hint: str | None = None,
    proof: tuple[Evidence, ...] = (),
) -> Fact:
    """A warmup that ended so long after noon, half a minute after its pull."""
    at = NOON + timedelta(seconds=after_s)
    return WarmupFinished(
        subject=about or subject(),
        outcome=outcome,
        at=at,
        job=f"warm-{format_time(at)}",
        job_uid=f"job-{format_time(at)}-{target}-{outcome}",
        strategy=strategy,
        target=target,
        node=NodeDetails(
            name=node, node_pool=None if node is None else "l4", accelerator=accelerator
        ),
        pull_seconds=seconds,
        total_seconds=None if seconds is None else seconds + 30.0,
        image_bytes=RAY_BYTES,
        verdict=None if streamed is None else Verdict(streamed, (KUBELET, *proof)),
        reason=reason,
        hint=hint,
    ).as_fact()


def statement(
    *,
    after_s: float = 0.0,
    about: Subject | None = None,
    node: str = "node-1",
    layers: int | None = None,
    text: str = "is backed by image streaming",
) -> Fact:
    """Return the fact of a snapshotter's statement, so many seconds after noon."""
    return StreamObserved(
        subject=about or subject(),
        at=NOON + timedelta(seconds=after_s),
        node=node,
        text=text,
        layers=None if layers is None else 9,
        streamed_layers=layers,
    ).as_fact()


def as_line(fact: Fact) -> str:
    """As the demo saves it."""
    body = {
        **fact.payload,
        "insertId": fact.insert_id,
        "timestamp": format_time(fact.timestamp),
    }
    return json.dumps(body)


def as_entry(fact: Fact) -> dict[str, Any]:
    """As Cloud Logging returns it, all numbers being doubles."""
    payload = json.loads(json.dumps(fact.payload), parse_int=float)
    return {
        "logName": "projects/demo/logs/prestream",
        "insertId": fact.insert_id,
        "timestamp": format_time(fact.timestamp).replace("Z", ".000000123Z")
        if fact.timestamp.microsecond == 0
        else format_time(fact.timestamp),
        "severity": fact.severity,
        "resource": {"type": "global", "labels": {"project_id": "demo"}},
        "jsonPayload": payload,
    }


def as_lines(facts: Iterable[Fact]) -> str:
    return "".join(f"{as_line(fact)}\n" for fact in facts)
