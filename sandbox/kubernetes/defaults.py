"""Default values of absent fields, by the type that has them."""

import base64
from collections.abc import Callable

from sandbox.kubernetes.bodies import Body, clone, items, mapping
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import walk

_VALUES: dict[str, Body] = {
    "ConfigMapVolumeSource": {"defaultMode": 420},
    "ContainerPort": {"protocol": "TCP"},
    "DeploymentSpec": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {},
    },
    "DeploymentStrategy": {"type": "RollingUpdate"},
    "DownwardAPIVolumeSource": {"defaultMode": 420},
    "HostPathVolumeSource": {"type": ""},
    "MatchResources": {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
    },
    "MutatingAdmissionPolicySpec": {"failurePolicy": "Fail"},
    "NamedRuleWithOperations": {"scope": "*"},
    "PodFailurePolicyOnPodConditionsPattern": {"status": "True"},
    "PodSpec": {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
    },
    "PodTemplateSpec": {"metadata": {}, "spec": {}},
    "PriorityClass": {"value": 0, "preemptionPolicy": "PreemptLowerPriority"},
    "ProjectedVolumeSource": {"defaultMode": 420},
    "ReplicaSetSpec": {"replicas": 1},
    "ReplicationControllerSpec": {"replicas": 1},
    "RollingUpdateDeployment": {"maxUnavailable": "25%", "maxSurge": "25%"},
    "Secret": {"type": "Opaque"},
    "SecretVolumeSource": {"defaultMode": 420},
    "StatefulSetSpec": {"replicas": 1},
}


def set_defaults(resource: Resource, body: Body) -> None:
    """Fill in an object."""
    for definition, part, _ in walk(resource, body):
        kind = definition.rpartition(".")[2]
        _fill(part, _VALUES.get(kind, {}))
        rule = _RULES.get(kind)
        if rule is not None:
            rule(part)


def _fill(part: Body, values: Body) -> None:
    for key, value in values.items():
        if part.get(key) in (None, ""):
            part[key] = clone(value)


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


def _pod(body: Body) -> None:
    body.setdefault("spec", {}).setdefault("enableServiceLinks", True)


def _pod_spec(spec: Body) -> None:
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def _ephemeral_container(container: Body) -> None:
    policy = pull_policy(str(container.get("image", "")))
    values = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
    _fill(container, values | {"imagePullPolicy": policy})


def _container(container: Body) -> None:
    _ephemeral_container(container)
    requests = dict(mapping(container.setdefault("resources", {}), "limits"))
    if requests:
        container["resources"]["requests"] = requests | mapping(container, "resources", "requests")


def _volume(volume: Body) -> None:
    if list(volume) == ["name"]:
        volume["emptyDir"] = {}


def _image_volume(source: Body) -> None:
    _fill(source, {"pullPolicy": pull_policy(str(source.get("reference", "")))})


def _strategy(strategy: Body) -> None:
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {})


def _job(body: Body) -> None:
    # The API server leaves the Jobs of a CronJob as they are; the Job made from it gets these.
    spec = body.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    has_rules = items(spec, "podFailurePolicy", "rules")
    values = {
        "template": {},
        "parallelism": 1,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "backoffLimit": 6,
        "podReplacementPolicy": "Failed" if has_rules else "TerminatingOrFailed",
    }
    _fill(spec, values)


def _role_of(value: Body) -> None:
    if value.get("kind") != "ServiceAccount":
        _fill(value, {"apiGroup": "rbac.authorization.k8s.io"})


def _secret(body: Body) -> None:
    texts = body.pop("stringData", None)
    if texts:
        data = body.setdefault("data", {})
        data.update({key: base64.b64encode(text.encode()).decode() for key, text in texts.items()})


def _namespace(body: Body) -> None:
    # An update that omits the label does not remove it.
    name = body["metadata"].get("name")
    if name:
        body["metadata"].setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", name)


_RULES: dict[str, Callable[[Body], None]] = {
    "Container": _container,
    "DeploymentStrategy": _strategy,
    "EphemeralContainer": _ephemeral_container,
    "ImageVolumeSource": _image_volume,
    "Job": _job,
    "Namespace": _namespace,
    "Pod": _pod,
    "PodSpec": _pod_spec,
    "RoleRef": _role_of,
    "Secret": _secret,
    "Subject": _role_of,
    "Volume": _volume,
}
