"""Recorded entries of nodes and Jobs, parsed after a change."""

import json
from collections.abc import Callable
from typing import Any

from shared.domain.cluster_event import (
    NodeEvent,
    Origin,
)
from shared.domain.disposition import Irrelevant
from shared.messages.node_event import parse_log_entry
from tests.fakes.recorded_events import load_event

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
NODE = "gke-gpu-l4-spot-7c1e44d0-x2bq"
DIGEST = "sha256:" + "5f2d" * 16

Change = Callable[[dict[str, Any]], object]


def load_entry(name: str) -> dict[str, Any]:
    entry: dict[str, Any] = load_event(f"events-{name}")
    return entry


def parse(name: str, change: Change = lambda _: None) -> NodeEvent:
    """Parse a recorded entry, after a change to it."""
    entry = load_entry(name)
    change(entry)
    return parse_log_entry(json.dumps(entry).encode())


def origin_of(report: NodeEvent) -> Origin:
    assert not isinstance(report, Irrelevant)
    return report.origin
