"""Valid messages by the function that reads them, which the tests then break."""

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
from tests.fakes.recorded_events import load_events

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


SHAPES: dict[str, list[Any]] = {
    "audit_log": [*load_events("audit"), *load_events("filter-audit")],
    "build_notification": load_events("build"),
    "image_reference": [
        REFERENCE,
        {**REFERENCE, "image": "team/single:1", "force": True},
        {"image": "nginx"},
    ],
    "pull_event": [
        *load_events("events"),
        *load_events("filter-event"),
        *load_events("filter-line"),
        # Those of the cluster that the tests hold, so that they go all the way.
        log_entry(job_event("Completed")),
        log_entry(node_event(STATEMENT)),
        snapshotter_line(STATEMENT),
        log_entry(pod_event("Pulled", pulled_text(), namespace="ml")),
        log_entry(pod_event("Failed", NOT_FOUND)),
        log_entry(pod_event("Failed", LIMITED, namespace="ml")),
        log_entry(unschedulable_event("0/3 nodes are available")),
    ],
    "registry_push": load_events("push"),
    "scheduled_sweep": [{}, {"cluster": str(GPU_CLUSTER)}],
}
