"""What the topics really carry, by the function that reads it; every broken message begins so."""

import json
from pathlib import Path
from typing import Any

from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.node_reports import (
    LIMITED,
    NOT_FOUND,
    STATEMENT,
    job_event,
    log_entry,
    node_event,
    pod_event,
    pulled_text,
    snapshotter_line,
    unschedulable_event,
)

PAYLOADS = Path(__file__).parents[1] / "contract" / "payloads"

REFERENCE = {
    "image": "anyscale/ray-ml:2.7.0",
    "cluster": str(GPU_CLUSTER),
    "placement": {
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"},
        ],
    },
    "platform": "linux/amd64",
    "cause": {
        "kind": "audit_log",
        "id": "k3v0zf1d",
        "resource": "apps/v1/namespaces/ml/deployments/trainer",
    },
    "force": False,
}
"""A message of ``prestream-image-references`` with every field."""


def payloads(prefix: str) -> list[Any]:
    """Return the recorded messages whose names begin alike."""
    return [json.loads(path.read_text()) for path in sorted(PAYLOADS.glob(f"{prefix}-*.json"))]


SHAPES: dict[str, list[Any]] = {
    "audit_log": [*payloads("audit"), *payloads("filter-audit")],
    "build_notification": payloads("build"),
    "image_reference": [
        REFERENCE,
        {**REFERENCE, "image": "team/single:1", "force": True},
        {"image": "nginx"},
    ],
    "pull_event": [
        *payloads("events"),
        *payloads("filter-event"),
        *payloads("filter-line"),
        # Those of the cluster that the tests hold, so that they go all the way.
        log_entry(job_event("Completed")),
        log_entry(node_event(STATEMENT)),
        snapshotter_line(STATEMENT),
        log_entry(pod_event("Pulled", pulled_text(), namespace="ml")),
        log_entry(pod_event("Failed", NOT_FOUND)),
        log_entry(pod_event("Failed", LIMITED, namespace="ml")),
        log_entry(unschedulable_event("0/3 nodes are available")),
    ],
    "registry_push": payloads("push"),
    "scheduled_sweep": [{}, {"cluster": str(GPU_CLUSTER)}],
}
