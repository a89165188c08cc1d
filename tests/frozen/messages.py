"""Messages that reach what the recorded ones do not: images that exist, warmups that ended."""

from collections.abc import Mapping
from typing import Any

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
DIGEST = f"sha256:{'a' * 64}"
NODE = "gke-gpu-l4-spot-7c1e44d0-x2bq"
_L4 = {"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}
_JOB = "warm-anyscale-ray-ml-3f9c1d20"
_MISSING = "warm-missing-0000000000000001"


def _reference(image: str, **fields: Any) -> dict[str, Any]:
    cause = {"kind": "audit_log", "id": "k3v0zf1d", "resource": "apps/v1/namespaces/ml/pods/p"}
    return {"image": image, "cluster": CLUSTER, "placement": _L4, "cause": cause, **fields}


def _event(
    kind: str, name: str, reason: str, message: str = "text", *, uid: str = "", namespace: str = ""
) -> dict[str, Any]:
    """Return the log entry of an event shortly before the cloud's time."""
    about = {"kind": kind, "name": name, "uid": uid}
    about["apiVersion"] = "batch/v1" if kind == "Job" else "v1"
    about |= {"namespace": namespace} if namespace else {}
    about |= {"fieldPath": "spec.containers{image}"} if kind == "Pod" else {}
    type_ = {"Pod": "k8s_pod", "Node": "k8s_node"}.get(kind, "k8s_cluster")
    labels = {"project_id": "demo", "location": "us-central1", "cluster_name": "gpu"}
    labels |= {"node_name": name} if kind == "Node" else {}
    component = {"Pod": "kubelet", "Node": "gcfs-snapshotter"}.get(kind, "job-controller")
    return {
        "logName": "projects/demo/logs/events",
        "insertId": f"entry-{kind}-{reason}",
        "timestamp": "2026-05-04T09:39:00Z",
        "severity": "INFO",
        "resource": {"type": type_, "labels": labels},
        "jsonPayload": {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{name}.1",
                "namespace": namespace or "default",
                "uid": f"event-of-{name}-{reason}",
                "creationTimestamp": "2026-05-04T09:39:00Z",
            },
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": {"component": component, **({"host": NODE} if kind == "Pod" else {})},
            "type": "Normal",
            "lastTimestamp": "2026-05-04T09:39:00Z",
        },
    }


def _pulled(image: str) -> str:
    return (
        f'Successfully pulled image "{image}" in 42s (42s including waiting).'
        " Image size: 9700000000 bytes."
    )


_WARM = f"{MIRROR}/anyscale/ray-ml@{DIGEST}"
_PLACEMENTS = {
    "l4 with tolerations": {
        **_L4,
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"},
            {"key": "other", "operator": "Exists"},
        ],
    },
    "accelerator without nodes": {
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}
    },
}
_FAULTS = {
    "not found": f'Failed to pull image "{_WARM}": {_WARM}: not found',
    "limited": f'Failed to pull image "{_WARM}": toomanyrequests: You have reached your limit',
    "denied": f'Failed to pull image "{_WARM}": failed to authorize: 403 Forbidden',
    "unavailable": f'Failed to pull image "{_WARM}": unexpected status code 503',
    "no space": f'Failed to pull image "{_WARM}": write /var/lib: no space left on device',
}

_REFERENCES: dict[str, Any] = {
    "mirror is made": _reference("anyscale/ray-ml:2.7.0"),
    "other upstream": _reference("ghcr.io/huggingface/text-generation-inference:2.4.0"),
    "quay": _reference("quay.io/jupyter/pytorch-notebook:2024-10-28"),
    "small": _reference("alpine:3.20"),
    "small by hand": _reference("alpine:3.20", cause={"kind": "manual"}),
    "forced": _reference("anyscale/ray-ml:2.7.0", force=True),
    "forced by another message": _reference("anyscale/ray-ml:2.7.0", force=True, forced_by="m-0"),
    "other architecture": _reference("prestream/arm-only:1.0"),
    "platform given": _reference(
        "quay.io/jupyter/pytorch-notebook:2024-10-28", platform="linux/arm64"
    ),
    "schema 1": _reference("prestream/schema-1:1.0"),
    "repeated layer": _reference("prestream/repeated-layer:1.0"),
    "no such tag": _reference("anyscale/ray-ml:none"),
    "no such repository": _reference("nobody/nothing:1"),
    "digest that does not exist": _reference(f"anyscale/ray-ml@{DIGEST}"),
    "upstream not on the list": _reference("registry.example.com/team/model:1"),
    "no reference": _reference("No Image"),
    "own registry": _reference("us-central1-docker.pkg.dev/demo/apps/app:1"),
    "own mirror": _reference(f"{MIRROR}/anyscale/ray-ml:2.7.0"),
    "other region": _reference("europe-west4-docker.pkg.dev/demo/apps/app:1"),
    "gcr": _reference("gcr.io/demo/app:1"),
    "no placement": {"image": "anyscale/ray-ml:2.7.0", "cluster": CLUSTER},
    "no cluster": {"image": "anyscale/ray-ml:2.7.0"},
    "no cluster but forced": {"image": "anyscale/ray-ml:2.7.0", "force": True},
    "unknown cluster": _reference("nginx", cluster=CLUSTER.replace("gpu", "none")),
    "broken cluster": _reference("nginx", cluster="gpu"),
    **{
        f"placement: {name}": _reference("vllm/vllm-openai:v0.6.3", placement=placement)
        for name, placement in _PLACEMENTS.items()
    },
}

_REPORTS: dict[str, Any] = {
    "warmup completed": _event("Job", _JOB, "Completed", namespace="prestream"),
    "warmup failed": _event("Job", _MISSING, "DeadlineExceeded", namespace="prestream"),
    "warmup of another uid": _event("Job", _JOB, "Completed", uid="other", namespace="prestream"),
    "warmup that does not exist": _event("Job", "warm-none", "Completed", namespace="prestream"),
    "node streams": _event(
        "Node",
        NODE,
        "ImageStreaming",
        f"Image {_WARM} is backed by image streaming by 100.0% (14/14 layers).",
    ),
    "node streams another image": _event(
        "Node",
        NODE,
        "ImageStreaming",
        "Image docker.io/library/nginx:1 is backed by image streaming.",
    ),
    "pod pulled": _event(
        "Pod",
        "trainer-6d9f7c5b8-qk4zt",
        "Pulled",
        _pulled(f"{MIRROR}/anyscale/ray-ml:2.7.0"),
        namespace="ml",
    ),
    "pod pulled upstream": _event(
        "Pod", "trainer-6d9f7c5b8-qk4zt", "Pulled", _pulled("docker.io/a/b:1"), namespace="ml"
    ),
    "pod that does not exist": _event("Pod", "none", "Pulled", _pulled(_WARM), namespace="ml"),
    "warmup is unschedulable": _event(
        "Pod", f"{_JOB}-7lq2p", "FailedScheduling", "0/3 nodes are available", namespace="prestream"
    ),
    **{
        f"warmup's pull: {name}": _event(
            "Pod", f"{_MISSING}-abcde", "Failed", text, namespace="prestream"
        )
        for name, text in _FAULTS.items()
    },
    **{
        f"workload's pull: {name}": _event(
            "Pod", "trainer-6d9f7c5b8-qk4zt", "Failed", text, namespace="ml"
        )
        for name, text in _FAULTS.items()
    },
}

MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "audit_log": {},
    "build_notification": {},
    "image_reference": _REFERENCES,
    "pull_event": _REPORTS,
    "registry_push": {},
    "scheduled_sweep": {
        "all clusters": {},
        "one cluster": {"cluster": CLUSTER},
        "unknown cluster": {"cluster": CLUSTER.replace("gpu", "none")},
        "broken cluster": {"cluster": "gpu"},
    },
}
"""By function and name."""
