"""Five hundred Job names, targets, periods and insert IDs, computed from fixed inputs."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.frozen.seam import identify_fact, name_warmup

FILE = Path(__file__).parent / "names.json"
COUNT = 500

_START = datetime(2026, 1, 1, tzinfo=UTC)
_IMAGES = (
    "nginx",
    "anyscale/ray-ml:2.7.0",
    "ghcr.io/huggingface/text-generation-inference:2.4.0",
    "localhost:5000/a/b_c.d--e",
    "[2001:db8::1]:443/app",
    "us-central1-docker.pkg.dev/demo/apps/team/An_Image:1".lower(),
    "nvcr.io/nvidia/" + "very-long-name-" * 6 + "x",
    "quay.io/a/b__c",
)
_CLUSTERS = (
    "projects/demo/locations/us-central1/clusters/gpu",
    "projects/demo/locations/europe-west4/clusters/pilot",
    "projects/example.com:demo/locations/us-central1-a/clusters/a",
)
_SELECTORS: tuple[dict[str, str], ...] = (
    {},
    {"cloud.google.com/gke-accelerator": "nvidia-l4"},
    {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb", "cloud.google.com/gke-spot": "true"},
    {"cloud.google.com/gke-nodepool": "pool-1"},
    {"cloud.google.com/compute-class": "gpu-class"},
    {"cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice"},
    {"b": "2", "a": "1"},
)
_TOLERATIONS: tuple[list[dict[str, str]], ...] = (
    [],
    [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"},
    ],
    [{"key": "a", "operator": "Equal", "value": "b"}],
)
_EVENTS = (
    "warmup.finished",
    "pull.observed",
    "stream.observed",
    "tag.moved",
    "mirror.bypassed",
    "mirror.distrusted",
)
_PERIODS = (1, 24, 48, 48, 168, 8760)


def record() -> list[dict[str, Any]]:
    """Return the table: the inputs of each row, and the names that follow."""
    return [_make_row(number) for number in range(COUNT)]


def _make_row(number: int) -> dict[str, Any]:
    chosen = hashlib.sha256(f"row {number}".encode()).digest()
    given: dict[str, Any] = {
        "image": _IMAGES[chosen[0] % len(_IMAGES)],
        "digest": f"sha256:{hashlib.sha256(str(number // 4).encode()).hexdigest()}",
        "cluster": _CLUSTERS[chosen[1] % len(_CLUSTERS)],
        "placement": {
            "nodeSelector": _SELECTORS[chosen[2] % len(_SELECTORS)],
            "tolerations": _TOLERATIONS[chosen[3] % len(_TOLERATIONS)],
        },
        "published": (_START + timedelta(minutes=977 * number)).isoformat(),
        "period_hours": _PERIODS[chosen[4] % len(_PERIODS)],
        "forced_by": f"m-{number}" if chosen[5] % 4 == 0 else None,
    }
    event = _EVENTS[number % len(_EVENTS)]
    subject = [given["cluster"], given["image"], given["forced_by"], given["published"]]
    names = name_warmup(given)
    return {**given, **names, "event": event, "insert_id": identify_fact(event, subject)}
