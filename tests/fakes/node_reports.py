"""Events as a cluster's API lists them, and as GKE's exporter writes them into Cloud Logging."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fakes.clusters import GPU_CLUSTER, Body, FakeCluster
from tests.fakes.warmups import DIGEST, MIRRORS, make_node, make_warmup

NODE = "gke-gpu-l4-1"
JOB = "warm-ray-ml-2-7-0-0123456789"
POD = f"{JOB}-x7k2p"
MIRROR = f"{MIRRORS}/anyscale/ray-ml@{DIGEST}"
IMAGE_BYTES = 9_700_000_000
CREATED = datetime(2026, 11, 24, 7, 0, 1, tzinfo=UTC)
"""When the fake cluster creates its first Job."""

STATEMENT = (
    f"Image {MIRROR} is backed by secondary boot disk caching by 0.0% (0/14 layers),"
    " by image streaming by 100.0% (14/14 layers)."
)
NOT_FOUND = (
    f'Failed to pull image "{MIRROR}": rpc error: code = NotFound desc = failed to resolve'
    f' reference "{MIRROR}": {MIRROR}: not found'
)
LIMITED = f'Failed to pull image "{MIRROR}": toomanyrequests: You have reached your pull rate limit'


def at(seconds: float) -> str:
    """Return the time so many seconds after the first Job was created."""
    moment = CREATED + timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


def pulled_text(seconds: float = 42.0, image: str = MIRROR) -> str:
    return (
        f'Successfully pulled image "{image}" in {seconds}s ({seconds}s including waiting).'
        f" Image size: {IMAGE_BYTES} bytes."
    )


def make_event(
    kind: str,
    name: str,
    reason: str,
    message: str,
    seconds: float = 60,
    *,
    component: str,
    uid: str | None = None,
    namespace: str = "prestream",
    field_path: str | None = None,
    host: str | None = None,
) -> Body:
    """Return a core/v1 Event; one about a node has no namespace of its own."""
    about = {
        "kind": kind,
        "name": name,
        "uid": uid or f"uid-of-{name}",
        "apiVersion": "batch/v1" if kind == "Job" else "v1",
        **({} if kind == "Node" else {"namespace": namespace}),
        **({"fieldPath": field_path} if field_path else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{name}.{reason}.{seconds:g}".lower(),
            "namespace": "default" if kind == "Node" else namespace,
            "uid": f"event-{name}-{reason}-{seconds:g}",
            "creationTimestamp": at(seconds),
        },
        "involvedObject": about,
        "reason": reason,
        "message": message,
        "source": {"component": component, **({"host": host} if host else {})},
        "type": "Warning" if reason in {"Failed", "FailedScheduling"} else "Normal",
        "firstTimestamp": at(seconds),
        "lastTimestamp": at(seconds),
        "count": 1,
    }


def pod_event(
    reason: str,
    message: str,
    seconds: float = 60,
    *,
    pod: str = POD,
    uid: str | None = None,
    container: str = "image",
    init: bool = False,
    node: str = NODE,
    namespace: str = "prestream",
) -> Body:
    """Return an event of the kubelet about a container."""
    path = f"spec.{'initContainers' if init else 'containers'}{{{container}}}"
    return make_event(
        "Pod",
        pod,
        reason,
        message,
        seconds,
        component="kubelet",
        uid=uid,
        namespace=namespace,
        field_path=path,
        host=node,
    )


def unschedulable_event(message: str, seconds: float = 60, *, pod: str = POD) -> Body:
    return make_event(
        "Pod", pod, "FailedScheduling", message, seconds, component="default-scheduler"
    )


def job_event(reason: str, message: str = "said", seconds: float = 90, **change: Any) -> Body:
    return make_event("Job", JOB, reason, message, seconds, component="job-controller", **change)


def node_event(
    message: str, seconds: float = 60, *, node: str = NODE, component: str = "gcfs-snapshotter"
) -> Body:
    return make_event("Node", node, "ImageStreaming", message, seconds, component=component)


def log_entry(event: Mapping[str, Any], insert_id: str = "entry-1") -> dict[str, Any]:
    """Return the LogEntry that GKE's exporter makes of an event."""
    about = event["involvedObject"]
    labels = {
        "project_id": GPU_CLUSTER.project,
        "location": GPU_CLUSTER.location,
        "cluster_name": GPU_CLUSTER.name,
    }
    kind = {"Pod": "k8s_pod", "Node": "k8s_node"}.get(about["kind"], "k8s_cluster")
    if kind == "k8s_node":
        labels["node_name"] = about["name"]
    dropped = {"count", "firstTimestamp"}
    return {
        "logName": "projects/demo/logs/events",
        "insertId": insert_id,
        "timestamp": event["lastTimestamp"],
        "severity": "INFO",
        "resource": {"type": kind, "labels": labels},
        "jsonPayload": {name: value for name, value in event.items() if name not in dropped},
    }


def snapshotter_line(text: str, seconds: float = 60, *, node: str = NODE) -> dict[str, Any]:
    """Return the LogEntry of a line in a node's own log."""
    entry = log_entry(node_event(text, seconds, node=node), "line-1")
    message = f'time="{at(seconds)}" level=info msg="{text}"'
    log = {"logName": "projects/demo/logs/gcfs-snapshotter"}
    return entry | log | {"jsonPayload": {"MESSAGE": message}}


def place_warmup(cluster: FakeCluster, name: str = JOB, **changes: Any) -> Body:
    """Put a warmup Job that runs into a cluster."""
    body = make_warmup(name, **changes).body()
    body["spec"]["suspend"] = False
    body["metadata"]["labels"]["prestream.dev/queue"] = "running"
    body["status"] = {"startTime": at(2)}
    body["metadata"]["uid"] = f"uid-of-{name}"
    return cluster.place(body)


def place_pod(
    cluster: FakeCluster, name: str = POD, *, job: str = JOB, seconds: float = 3, **changes: Any
) -> Body:
    """Put a pod of a warmup Job into a cluster, on its node."""
    node = changes.pop("node", NODE)
    return cluster.place(
        {
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "prestream",
                "uid": f"uid-of-{name}",
                "creationTimestamp": at(seconds),
                "labels": {
                    "batch.kubernetes.io/job-name": job,
                    "prestream.dev/content": DIGEST.removeprefix("sha256:")[:32],
                },
                "ownerReferences": [{"kind": "Job", "name": job, "uid": f"uid-of-{job}"}],
            },
            "spec": {"nodeName": node} if node else {},
            "status": {},
            **changes,
        }
    )


def place_node(cluster: FakeCluster, name: str = NODE, **changes: Any) -> Body:
    return cluster.place(
        make_node(name, labels={"cloud.google.com/gke-nodepool": "l4-spot"}, **changes)
    )


def end(job: Body, reason: str = "CompletionsReached", seconds: float = 90) -> Body:
    """Let a Job end as the Job controller does, for that reason."""
    kind = "Complete" if reason == "CompletionsReached" else "Failed"
    condition = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": f"Job ended: {reason}",
        "lastTransitionTime": at(seconds),
    }
    job["status"]["conditions"] = [condition]
    if kind == "Complete":
        job["status"]["completionTime"] = at(seconds)
    return job


def mark(job: Body, outcome: str = "pulled", *, fills_cache: bool = True) -> Body:
    """Mark a Job that ended as reported, as a function does."""
    job["metadata"]["annotations"] |= {
        "prestream.dev/reported": "id-1",
        "prestream.dev/outcome": outcome,
        "prestream.dev/fills-cache": "true" if fills_cache else "false",
    }
    return job
