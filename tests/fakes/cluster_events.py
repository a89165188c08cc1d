"""Events of the pods and the Job of one warmup."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.cluster_event import (
    ContainerFailed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    JobReported,
    Origin,
    PodUnschedulable,
)
from shared.domain.kubelet_messages import Pulled
from shared.domain.pull_failure import classify_pull_failure

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
END = START + timedelta(hours=1)
NODE = "gke-l4-1"
IMAGE = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml@sha256:" + "5f2d" * 16

NOT_FOUND = f'Failed to pull image "{IMAGE}": rpc error: code = NotFound desc = {IMAGE}: not found'
NO_ROOM = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."


def origin(
    at_s: float = 0,
    message: str = "said",
    *,
    container: str | None = "image",
    init: bool = False,
    pod: int = 1,
    node: str | None = NODE,
) -> Origin:
    kind = "initContainers" if init else "containers"
    return Origin(
        cluster="projects/demo/locations/us-central1/clusters/gpu",
        kind="Pod",
        name=f"warm-1-{pod}",
        uid=f"pod-{pod}",
        field_path=f"spec.{kind}{{{container}}}" if container else None,
        node=node,
        timestamp=START + timedelta(seconds=at_s),
        message=message,
        log="projects/demo/logs/events",
        insert_id=f"e{at_s:g}",
    )


def pulled(at_s: float = 0, *, seconds: float = 42.0, **where: Any) -> ImagePulled:
    return ImagePulled(origin(at_s, **where), Pulled(IMAGE, seconds=seconds))


def present(at_s: float = 0, **where: Any) -> ImagePulled:
    return ImagePulled(origin(at_s, **where), Pulled(IMAGE, already_present=True))


def failed(at_s: float = 0, message: str = NOT_FOUND, **where: Any) -> ImagePullFailed:
    return ImagePullFailed(origin(at_s, message, **where), IMAGE, classify_pull_failure(message))


def pulling(at_s: float = 0, **where: Any) -> ImagePulling:
    return ImagePulling(origin(at_s, f'Pulling image "{IMAGE}"', **where), IMAGE)


def unschedulable(at_s: float = 0, **where: Any) -> PodUnschedulable:
    return PodUnschedulable(origin(at_s, NO_ROOM, container=None, node=None, **where))


def not_started(at_s: float = 0, **where: Any) -> ContainerFailed:
    text = 'Error: failed to create containerd task: exec: "/.prestream-warmup/true": permission'
    return ContainerFailed(origin(at_s, text, **where), "start")


def job_said(at_s: float, reason: Any, message: str) -> JobReported:
    said = origin(at_s, message, container=None, node=None)
    return JobReported(replace(said, kind="Job", name="warm-1", uid="job-1"), reason)


HELPER: dict[str, Any] = {"container": "helper", "init": True}
