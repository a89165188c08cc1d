"""Warmups, nodes and placements as tests need them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from shared.domain.image_reference import Digest, parse_reference
from shared.domain.ladder import Strategy
from shared.domain.placement import PRIORITY_CLASS, Placement, Toleration
from shared.domain.request import Cause
from shared.domain.warmup_job import JobName, Warmup
from shared.pipeline.execute import Executor
from shared.pipeline.plan_resume import plan_resume, read_queue
from shared.settings.keys import Settings

DIGEST = Digest("sha256:" + "a" * 64)
HELPER_DIGEST = Digest("sha256:" + "b" * 64)
MIRRORS = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
GPU_TOLERATION = Toleration("nvidia.com/gpu", "Exists", effect="NoSchedule")
L4 = Placement.of({"cloud.google.com/gke-accelerator": "nvidia-l4"})


def make_strategy(**changes: Any) -> Strategy:
    fields: dict[str, Any] = {
        "rung": "gpu-node",
        "platform": "linux/amd64",
        "node_selector": {
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
        },
        "tolerations": (GPU_TOLERATION,),
        "priority_class": PRIORITY_CLASS,
    }
    return Strategy(**fields | changes)


def make_warmup(name: str = "warm-ray-ml-2-7-0-0123456789", **changes: Any) -> Warmup:
    fields: dict[str, Any] = {
        "name": JobName(name),
        "namespace": "prestream",
        "image": "anyscale/ray-ml:2.7.0",
        "mirror": parse_reference(f"{MIRRORS}/anyscale/ray-ml@{DIGEST}"),
        "digest": DIGEST,
        "helper": parse_reference(f"{MIRRORS}/library/busybox@{HELPER_DIGEST}"),
        "image_bytes": 9_700_000_000,
        "target_name": "nvidia-l4-6af5d1",
        "strategy": make_strategy(),
        "cause": Cause("audit_log", "id-1", "apps/v1/namespaces/ml/deployments/trainer"),
        "deadline_s": 3600,
        "time_to_live_s": 262_800,
        "queued_at": datetime(2026, 11, 24, 7, tzinfo=UTC),
    }
    return Warmup(**fields | changes)


def make_node(
    name: str = "gpu-1",
    *,
    accelerator: str | None = "nvidia-l4",
    streaming: bool = True,
    ready: str = "True",
    arch: str = "amd64",
    cordoned: bool = False,
    labels: Mapping[str, str] | None = None,
    taints: Iterable[Mapping[str, str]] | None = None,
    images: Iterable[str] = (),
    image_size: int = 1,
    storage: str | None = None,
) -> dict[str, Any]:
    """Return a node of GKE, tainted as GKE taints it unless ``taints`` says otherwise."""
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch}
    if accelerator:
        own["cloud.google.com/gke-accelerator"] = accelerator
    if streaming:
        own["cloud.google.com/gke-image-streaming"] = "true"
    if taints is None:
        taints = [GPU_TAINT] if accelerator else []
    spec: dict[str, Any] = {"taints": [dict(taint) for taint in taints]}
    if cordoned:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**own, **(labels or {})}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "images": [{"names": [image], "sizeBytes": image_size} for image in images],
            **({"allocatable": {"ephemeral-storage": storage}} if storage else {}),
        },
    }


def resume_next(cluster: Any, max_running: int) -> list[str]:
    """Resume the next warmups of a cluster, as a step does, and return their names."""
    settings = Settings(
        project="demo",
        deployment_project="demo",
        max_running=max_running,
    )
    done = Executor().resume(
        cluster, lambda: plan_resume(read_queue(cluster), settings, cluster.name)
    )
    return list(done["resumed"])
