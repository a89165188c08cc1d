"""Default values of absent fields."""

import base64
from collections.abc import Callable
from typing import Any

from sandbox.kubernetes.bodies import Body, containers, items, mapping


def _fill(body: Body, **values: Any) -> None:
    for key, value in values.items():
        if body.get(key) in (None, ""):
            body[key] = value


def set_defaults(key: str, body: Body) -> None:
    """Fill in an object of the resource ``key``."""
    fill = _BY_RESOURCE.get(key)
    if fill is not None:
        fill(body)


def pull_policy(image: str) -> str:
    """
    Return the default imagePullPolicy of an image.

    >>> pull_policy("nginx"), pull_policy("nginx:1.27"), pull_policy("localhost:5000/nginx")
    ('Always', 'IfNotPresent', 'Always')
    """
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if colon and tag != "latest" else "Always"


def fill_pod_spec(spec: Body) -> None:
    """Fill in a pod's specification, in a pod or in a template."""
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        securityContext={},
    )
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for field, _, container in containers(spec):
        _fill_container(container, field)
    for volume in items(spec, "volumes"):
        _fill_volume(volume)


def _fill_container(container: Body, field: str) -> None:
    _fill(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=pull_policy(str(container.get("image", ""))),
    )
    if field != "ephemeralContainers":
        container.setdefault("resources", {})
    for port in items(container, "ports"):
        _fill(port, protocol="TCP")
    limits = mapping(container, "resources", "limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def _fill_volume(volume: Body) -> None:
    if list(volume) == ["name"]:
        volume["emptyDir"] = {}
    for source in ("configMap", "secret", "projected", "downwardAPI"):
        if isinstance(volume.get(source), dict):
            _fill(volume[source], defaultMode=420)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    if isinstance(volume.get("image"), dict):
        _fill(volume["image"], pullPolicy=pull_policy(str(volume["image"].get("reference", ""))))


def _fill_template(spec: Body) -> None:
    template = spec.get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        fill_pod_spec(template.setdefault("spec", {}))


def _pod(body: Body) -> None:
    spec = body.setdefault("spec", {})
    fill_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)


def _workload(body: Body) -> None:
    spec = body.setdefault("spec", {})
    _fill_template(spec)
    if body["kind"] != "DaemonSet":
        _fill(spec, replicas=1)


def _deployment(body: Body) -> None:
    _workload(body)
    _fill(body["spec"], revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = body["spec"].setdefault("strategy", {})
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")


def _replication_controller(body: Body) -> None:
    _workload(body)
    if labels := mapping(body, "spec", "template", "metadata", "labels"):
        body["spec"].setdefault("selector", dict(labels))
        body["metadata"].setdefault("labels", dict(labels))


def _job(body: Body) -> None:
    spec = body.setdefault("spec", {})
    spec.setdefault("template", {})
    _fill_template(spec)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _fill(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
    _fill(spec, backoffLimit=6)
    rules = items(spec, "podFailurePolicy", "rules")
    _fill(spec, podReplacementPolicy="Failed" if rules else "TerminatingOrFailed")
    for rule in rules:
        for pattern in items(rule, "onPodConditions"):
            _fill(pattern, status="True")


def _cron_job(body: Body) -> None:
    # The Job made from it gets the other defaults.
    _fill_template(mapping(body, "spec", "jobTemplate", "spec"))


def _priority_class(body: Body) -> None:
    body.setdefault("value", 0)
    _fill(body, preemptionPolicy="PreemptLowerPriority")


def _binding(body: Body) -> None:
    reference = body.get("roleRef")
    if isinstance(reference, dict):
        _fill(reference, apiGroup="rbac.authorization.k8s.io")
    for subject in items(body, "subjects"):
        if subject.get("kind") != "ServiceAccount":
            _fill(subject, apiGroup="rbac.authorization.k8s.io")


def _secret(body: Body) -> None:
    _fill(body, type="Opaque")
    texts = body.pop("stringData", None)
    if texts:
        data = body.setdefault("data", {})
        data.update({key: base64.b64encode(text.encode()).decode() for key, text in texts.items()})


def _namespace(body: Body) -> None:
    # An update that omits the label does not remove it.
    name = body["metadata"].get("name")
    if name:
        body["metadata"].setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", name)


def _mutating_policy(body: Body) -> None:
    spec = body.setdefault("spec", {})
    _fill(spec, failurePolicy="Fail")
    if isinstance(spec.get("matchConstraints"), dict):
        _fill_match(spec["matchConstraints"])


def _mutating_binding(body: Body) -> None:
    resources = mapping(body, "spec", "matchResources")
    if resources:
        _fill_match(resources)


def _fill_match(constraints: Body) -> None:
    _fill(constraints, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for rule in items(constraints, "resourceRules"):
        _fill(rule, scope="*")


_BY_RESOURCE: dict[str, Callable[[Body], None]] = {
    "namespaces": _namespace,
    "pods": _pod,
    "secrets": _secret,
    "replicationcontrollers": _replication_controller,
    "deployments.apps": _deployment,
    "statefulsets.apps": _workload,
    "daemonsets.apps": _workload,
    "replicasets.apps": _workload,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
    "mutatingadmissionpolicies.admissionregistration.k8s.io": _mutating_policy,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": _mutating_binding,
}
