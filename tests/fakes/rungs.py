"""Rungs of the ladder, and nodes that they can use."""

from collections.abc import Mapping
from typing import Any

from shared.domain.ladder import (
    Rung,
    Strategy,
    WantedImage,
    plan_rung,
    serve_rung,
)
from shared.domain.node import Node
from shared.domain.placement import Placement
from tests.fakes.warmups import DIGEST, L4, MIRRORS

ACCELERATOR = "cloud.google.com/gke-accelerator"
SPOT = "cloud.google.com/gke-spot"
STREAMING = "cloud.google.com/gke-image-streaming"
COMPUTE_CLASS = "cloud.google.com/compute-class"
TPU = "cloud.google.com/gke-tpu-accelerator"
ARM64 = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}
AMD64 = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
SIZE = 9_700_000_000
IMAGE = WantedImage(
    DIGEST,
    SIZE,
    frozenset({"docker.io/anyscale/ray-ml", f"{MIRRORS}/anyscale/ray-ml"}),
)
HELD = f"us-docker.pkg.dev/demo/x/app@{DIGEST}"


def nodes(*bodies: Mapping[str, Any]) -> list[Node]:
    return [Node.from_body(body) for body in bodies]


def plan(
    name: str,
    target: Placement = L4,
    platform: str | None = "linux/amd64",
    *,
    is_autopilot: bool = False,
) -> Rung:
    return plan_rung(name, target, platform, is_autopilot=is_autopilot)


def serve(rung: Rung, *bodies: Mapping[str, Any], platform: str | None = "linux/amd64") -> Strategy:
    return serve_rung(rung, nodes(*bodies), IMAGE, platform=platform)
