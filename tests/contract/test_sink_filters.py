"""The entries that pass the two log sinks, as Terraform and as the sandbox render their filters."""

import copy
import re
import string
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.log_filter import parse_filter
from tests.contract.terraform_files import PRESTREAM
from tests.fakes.recorded_events import load_event

Entry = dict[str, Any]
Passes = Callable[[Entry], bool]

SYSTEM_NAMESPACES = ("kube-system", "gmp-system", "gke-managed-system", "gke-managed-cim")
VARIABLES = {"namespace": "prestream", "system_namespaces": "|".join(SYSTEM_NAMESPACES)}


def render_as_python(text: str) -> str:
    return string.Template(text).substitute(VARIABLES)


def render_as_terraform(text: str) -> str:
    """Replace interpolations only: a dollar sign before anything but a brace is itself."""
    return re.sub(r"\$\{(\w+)\}", lambda match: VARIABLES[match[1]], text)


READERS = [
    pytest.param(render_as_python, id="python"),
    pytest.param(render_as_terraform, id="terraform"),
]


def read_template(name: str) -> str:
    return (PRESTREAM / "filters" / f"{name}.filter.tftpl").read_text("utf-8")


def load(name: str) -> Entry:
    entry: Entry = load_event(f"filter-{name}")
    return entry


@pytest.fixture(params=READERS)
def audit_passes(request: pytest.FixtureRequest) -> Passes:
    return parse_filter(request.param(read_template("audit_log")))


@pytest.fixture(params=READERS)
def event_passes(request: pytest.FixtureRequest) -> Passes:
    return parse_filter(request.param(read_template("gke_events")))


def written(
    method: str, resource: str, principal: str = "dev@example.com", **entry_fields: Any
) -> Entry:
    """An audit entry of a call, like the recorded one in all else."""
    entry = load("audit-raycluster")
    entry["protoPayload"]["methodName"] = method
    entry["protoPayload"]["resourceName"] = resource
    entry["protoPayload"]["authenticationInfo"]["principalEmail"] = principal
    return entry | entry_fields


def changed(entry: Entry, path: str, value: object) -> Entry:
    """The entry with another value at a dotted path."""
    copied = copy.deepcopy(entry)
    *parents, last = path.split(".")
    target = copied
    for name in parents:
        target = target[name]
    target[last] = value
    return copied


def pod_event(reason: str, namespace: str) -> Entry:
    entry = changed(load("event-pod-pulled"), "jsonPayload.reason", reason)
    entry = changed(entry, "jsonPayload.involvedObject.namespace", namespace)
    return changed(entry, "resource.labels.namespace_name", namespace)


def job_event(reason: str, namespace: str = "prestream") -> Entry:
    entry = changed(load("event-job-completed"), "jsonPayload.reason", reason)
    return changed(entry, "jsonPayload.involvedObject.namespace", namespace)


@pytest.mark.parametrize("name", ["audit_log", "gke_events"])
def test_filter_is_short_enough_for_a_sink_and_uses_the_two_variables_only(name: str) -> None:
    text = read_template(name)

    assert set(re.findall(r"\$\{([^}]*)\}", text)) <= set(VARIABLES)
    assert "%{" not in text
    assert len(render_as_terraform(text)) < 20_000


BUILT_IN = (
    *("core/v1/pods", "core/v1/podtemplates", "core/v1/replicationcontrollers"),
    *("apps/v1/deployments", "apps/v1/statefulsets", "apps/v1/daemonsets", "apps/v1/replicasets"),
    *("batch/v1/jobs", "batch/v1/cronjobs"),
)
VERBS = ("create", "update", "patch")


@pytest.mark.parametrize(
    ("method", "resource"),
    [
        (f"io.k8s.{group}.v1.{kind}.{verb}", f"{group}/v1/namespaces/ml/{kind}/x")
        for group, _, kind in (each.split("/") for each in BUILT_IN)
        for verb in VERBS
    ]
    + [
        ("io.k8s.core.v1.pods.create", f"core/v1/namespaces/{namespace_and_name}")
        for namespace_and_name in (
            "gke-training/pods/x",
            "gke-managed-system-of-ours/pods/x",
            "my-kube-system/pods/x",
            "prestream-demo/pods/x",
            "not-prestream/pods/x",
            "ml/pods/kube-system",
            "ml/pods/prestream",
        )
    ]
    + [
        (
            "io.k8s.core.v1.pods.ephemeralcontainers.patch",
            "core/v1/namespaces/ml/pods/x/ephemeralcontainers",
        ),
        ("io.ray.v1.rayclusters.create", "ray.io/v1/namespaces/ml/rayclusters/x"),
        ("io.ray.v1.rayjobs.create", "ray.io/v1/namespaces/ml/rayjobs/x"),
        ("io.ray.v1alpha1.rayservices.patch", "ray.io/v1alpha1/namespaces/ml/rayservices/x"),
        (
            "io.x-k8s.jobset.v1alpha2.jobsets.create",
            "jobset.x-k8s.io/v1alpha2/namespaces/ml/jobsets/x",
        ),
        (
            "io.x-k8s.leaderworkerset.v1.leaderworkersets.update",
            "leaderworkerset.x-k8s.io/v1/namespaces/ml/leaderworkersets/x",
        ),
        (
            "io.kserve.serving.v1beta1.inferenceservices.create",
            "serving.kserve.io/v1beta1/namespaces/ml/inferenceservices/x",
        ),
        ("org.kubeflow.v1.pytorchjobs.create", "kubeflow.org/v1/namespaces/ml/pytorchjobs/x"),
        ("io.argoproj.v1alpha1.rollouts.create", "argoproj.io/v1alpha1/namespaces/ml/rollouts/x"),
        ("io.argoproj.v1alpha1.workflows.create", "argoproj.io/v1alpha1/namespaces/ml/workflows/x"),
        (
            "dev.knative.serving.v1.services.create",
            "serving.knative.dev/v1/namespaces/ml/services/x",
        ),
    ],
)
def test_write_of_a_workload_passes(audit_passes: Passes, method: str, resource: str) -> None:
    assert audit_passes(written(method, resource))


@pytest.mark.parametrize(
    ("method", "resource"),
    [
        ("io.k8s.core.v1.pods.status.patch", "core/v1/namespaces/ml/pods/x/status"),
        ("io.k8s.core.v1.pods.exec.create", "core/v1/namespaces/ml/pods/x/exec"),
        ("io.k8s.core.v1.pods.binding.create", "core/v1/namespaces/ml/pods/x/binding"),
        ("io.k8s.core.v1.pods.eviction.create", "core/v1/namespaces/ml/pods/x/eviction"),
        ("io.k8s.core.v1.pods.resize.patch", "core/v1/namespaces/ml/pods/x/resize"),
        ("io.k8s.apps.v1.deployments.scale.update", "apps/v1/namespaces/ml/deployments/x/scale"),
        ("io.k8s.apps.v1.deployments.status.update", "apps/v1/namespaces/ml/deployments/x/status"),
        ("io.ray.v1.rayclusters.status.update", "ray.io/v1/namespaces/ml/rayclusters/x/status"),
        ("io.k8s.core.v1.pods.delete", "core/v1/namespaces/ml/pods/x"),
        ("io.k8s.batch.v1.jobs.deletecollection", "batch/v1/namespaces/ml/jobs"),
        ("io.k8s.core.v1.services.create", "core/v1/namespaces/ml/services/x"),
        ("io.k8s.core.v1.configmaps.update", "core/v1/namespaces/ml/configmaps/x"),
        ("io.k8s.coordination.v1.leases.update", "coordination.k8s.io/v1/namespaces/ml/leases/x"),
        (
            "io.argoproj.v1alpha1.workflowtemplates.create",
            "argoproj.io/v1alpha1/namespaces/ml/workflowtemplates/x",
        ),
        (
            "io.k8s.policy.v1.poddisruptionbudgets.create",
            "policy/v1/namespaces/ml/poddisruptionbudgets/x",
        ),
    ]
    + [
        ("io.k8s.apps.v1.daemonsets.patch", f"apps/v1/namespaces/{namespace}/daemonsets/x")
        for namespace in SYSTEM_NAMESPACES
    ],
)
def test_write_without_an_image_or_of_the_system_is_dropped(
    audit_passes: Passes, method: str, resource: str
) -> None:
    assert not audit_passes(written(method, resource))


@pytest.mark.parametrize(
    ("method", "resource"),
    [
        ("io.k8s.batch.v1.jobs.create", "batch/v1/namespaces/prestream/jobs/warm-x"),
        ("io.k8s.batch.v1.jobs.patch", "batch/v1/namespaces/prestream/jobs/warm-x"),
        ("io.k8s.core.v1.pods.create", "core/v1/namespaces/prestream/pods/warm-x-9mq2l"),
        ("io.k8s.core.v1.pods.create", "core/v1/namespaces/prestream/pods"),
        ("io.k8s.core.v1.pods.create", "core/v1/namespaces/prestream"),
        ("io.ray.v1.rayclusters.create", "ray.io/v1/namespaces/prestream/rayclusters/x"),
        (
            "io.k8s.core.v1.pods.ephemeralcontainers.patch",
            "core/v1/namespaces/prestream/pods/x/ephemeralcontainers",
        ),
    ],
)
@pytest.mark.parametrize(
    "principal",
    [
        "prestream-image-reference@demo.iam.gserviceaccount.com",
        "system:serviceaccount:kube-system:job-controller",
        "dev@example.com",
    ],
)
def test_write_in_our_namespace_is_dropped(
    audit_passes: Passes, method: str, resource: str, principal: str
) -> None:
    assert not audit_passes(written(method, resource, principal))


@pytest.mark.parametrize(
    ("path", "value", "passes"),
    [
        ("protoPayload.status", {}, True),
        ("protoPayload.status", {"code": 0}, True),
        ("protoPayload.status", {"message": "OK"}, True),
        ("protoPayload.status", {"code": 3}, False),
        ("protoPayload.status", {"code": 7}, False),
        ("protoPayload.status", {"code": 9}, False),
        ("labels", {"command.gke.io/dryRun": "All"}, False),
        ("logName", "projects/demo/logs/cloudaudit.googleapis.com%2Fdata_access", False),
        ("logName", "projects/demo/logs/events", False),
        ("resource.type", "gke_cluster", False),
        ("protoPayload.methodName", "google.container.v1.ClusterManager.CreateNodePool", False),
    ],
)
def test_field_of_an_audit_entry_decides(
    audit_passes: Passes, path: str, value: object, *, passes: bool
) -> None:
    # A controller of kube-system created this pod for a user.
    assert audit_passes(changed(load("audit-pod-by-replicaset"), path, value)) is passes


def test_audit_entry_without_status_and_labels_passes(audit_passes: Passes) -> None:
    entry = load("audit-pod-by-replicaset")
    assert audit_passes(entry)
    del entry["protoPayload"]["status"], entry["labels"]

    assert audit_passes(entry)


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        *((reason, True) for reason in ("Pulled", "Failed", "BackOff", "FailedScheduling")),
        *((reason, False) for reason in ("Pulling", "Created", "Started", "Killing")),
        *((reason, False) for reason in ("Scheduled", "Unhealthy", "Preempted")),
    ],
)
def test_pull_event_of_a_pod_passes_outside_the_system(
    event_passes: Passes, reason: str, *, passes: bool
) -> None:
    for namespace in ("ml", "prestream", "gke-training", "default"):
        assert event_passes(pod_event(reason, namespace)) is passes
    for namespace in SYSTEM_NAMESPACES:
        assert not event_passes(pod_event(reason, namespace))


@pytest.mark.parametrize(("namespace", "passes"), [("prestream", True), ("ml", False)])
def test_eviction_of_a_warmup_passes(event_passes: Passes, namespace: str, *, passes: bool) -> None:
    assert event_passes(pod_event("Evicted", namespace)) is passes


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        ("Completed", True),
        ("BackoffLimitExceeded", True),
        ("DeadlineExceeded", True),
        ("FailedCreate", True),
        ("Failed", True),
        ("PodFailurePolicy", True),
        ("SuccessfulCreate", False),
        ("Suspended", False),
        ("Resumed", False),
    ],
)
def test_end_of_a_job_of_ours_passes(event_passes: Passes, reason: str, *, passes: bool) -> None:
    ours = job_event(reason)

    assert event_passes(ours) is passes
    assert not event_passes(job_event(reason, namespace="ml"))
    assert not event_passes(changed(ours, "jsonPayload.involvedObject.kind", "ReplicaSet"))


@pytest.mark.parametrize(
    ("name", "path", "value", "passes"),
    [
        ("event-node-streaming", "jsonPayload.source.component", "gcfs-snapshotter", True),
        ("event-node-streaming", "jsonPayload.source.component", "gcfsd", True),
        ("event-node-streaming", "jsonPayload.reason", "NodeReady", False),
        ("event-node-streaming", "jsonPayload.reason", "GcfsdUnhealthy", False),
        ("event-node-streaming", "jsonPayload.reason", "NodeSysctlChange", False),
        ("line-snapshotter", "logName", "projects/demo/logs/kubelet", False),
    ],
)
def test_field_of_a_node_s_entry_decides(
    event_passes: Passes, name: str, path: str, value: str, *, passes: bool
) -> None:
    assert event_passes(changed(load(name), path, value)) is passes


def test_line_of_the_snapshotter_passes_in_any_field(event_passes: Passes) -> None:
    entry = load("line-snapshotter")
    text = entry.pop("jsonPayload")["MESSAGE"]

    assert event_passes(entry | {"jsonPayload": {"MESSAGE": text}})
    assert event_passes(entry | {"jsonPayload": {"message": text}})
    assert event_passes(entry | {"textPayload": text})
    assert not event_passes(entry | {"textPayload": "serving snapshots"})


def test_exporter_s_own_line_is_dropped(event_passes: Passes) -> None:
    entry = load("event-pod-pulled")
    del entry["jsonPayload"]
    entry["textPayload"] = "Event exporter started watching. Some events may have been lost."

    assert not event_passes(entry)


def test_filters_drop_each_others_entries(audit_passes: Passes, event_passes: Passes) -> None:
    audited = [load("audit-pod-by-replicaset"), load("audit-raycluster")]
    reported = [load("event-pod-pulled"), load("event-job-completed"), load("line-snapshotter")]

    assert not any(map(event_passes, audited))
    assert not any(map(audit_passes, reported))


def test_filter_without_system_namespaces_passes_all_others() -> None:
    variables = {"namespace": "prestream", "system_namespaces": ""}
    audit, events = (
        parse_filter(string.Template(read_template(name)).substitute(variables))
        for name in ("audit_log", "gke_events")
    )

    assert audit(written("io.k8s.core.v1.pods.create", "core/v1/namespaces/ml/pods/x"))
    assert events(pod_event("Pulled", "kube-system"))
