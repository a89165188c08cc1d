"""The second hop of the floor: each message is one Job, and nothing is looked at."""

from typing import Any

import functions_framework
from cloudevents.http import CloudEvent
from kubernetes import client, config

config.load_kube_config()
_batch = client.BatchV1Api()

_POD = {
    "restartPolicy": "Never",
    "containers": [{"name": "main", "image": "busybox", "command": ["true"]}],
}


@functions_framework.cloud_event
def handle_image_reference(event: CloudEvent) -> None:
    """Make a Job, suspended, so that it does nothing."""
    name = f"floor-{event['id']}"
    job: Any = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"suspend": True, "template": {"spec": _POD}},
    }
    _batch.create_namespaced_job("prestream", job)
