"""The written rules of the embedded API server, field by field."""

from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.assembly import assemble
from sandbox.kubernetes.statuses import ApiError

USER = "tester"
RBAC = "rbac.authorization.k8s.io"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@pytest.fixture(scope="module")
def api() -> Api:
    return Api(assemble(Clock()))


def container(**rest: Any) -> dict[str, Any]:
    return {"name": "main", "image": "nginx", **rest}


def causes(api: Api, resource: str, body: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with an object, by field."""
    with pytest.raises(ApiError) as caught:
        api.create(resource, dict(body), "default", user=USER)
    assert caught.value.code == 422
    return {one["field"]: one["message"] for one in caught.value.status["details"]["causes"]}


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        pytest.param({"name": "A_b"}, "name", 'Invalid value: "A_b"', id="name"),
        pytest.param({"name": ""}, "name", "Required value", id="no-name"),
        pytest.param({"image": " x"}, "image", "leading or trailing whitespace", id="image"),
        pytest.param(
            {"imagePullPolicy": "Often"},
            "imagePullPolicy",
            'Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"',
            id="pull-policy",
        ),
        pytest.param(
            {"ports": [{"containerPort": 70000}]},
            "ports[0].containerPort",
            "must be between 1 and 65535, inclusive",
            id="port",
        ),
        pytest.param(
            {"ports": [{"containerPort": 1, "protocol": "ICMP"}]},
            "ports[0].protocol",
            'supported values: "SCTP", "TCP", "UDP"',
            id="protocol",
        ),
        pytest.param(
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            "ports[1].name",
            'Duplicate value: "a"',
            id="port-name-twice",
        ),
        pytest.param({"env": [{"name": "A=B"}]}, "env[0].name", "other than '='", id="env-name"),
        pytest.param({"env": [{"name": ""}]}, "env[0].name", "Required value", id="env-no-name"),
        pytest.param(
            {"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
            "env[0].valueFrom",
            "may not be specified when `value` is not empty",
            id="env-twice",
        ),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {}}]},
            "env[0].valueFrom",
            "must specify one of",
            id="env-from-nothing",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "v"}]},
            "volumeMounts[0].mountPath",
            "Required value",
            id="mount-path",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]},
            "volumeMounts[1].mountPath",
            "must be unique",
            id="mounts-at-one-place",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]},
            "volumeMounts[0].subPath",
            "must not contain '..'",
            id="sub-path",
        ),
        pytest.param(
            {"livenessProbe": {"periodSeconds": 1}},
            "livenessProbe",
            "must specify a handler type",
            id="probe",
        ),
        pytest.param(
            {"livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}},
            "livenessProbe.tcpSocket",
            "may not specify more than 1 handler type",
            id="probe-handlers",
        ),
        pytest.param(
            {"resources": {"requests": {"disk": "1"}}},
            "resources.requests",
            "must be a standard resource for containers",
            id="resource",
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "-1"}}},
            "resources.requests[cpu]",
            "must be greater than or equal to 0",
            id="negative-request",
        ),
        pytest.param(
            {"resources": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}}},
            "resources.requests",
            'Invalid value: "1": must be equal to nvidia.com/gpu limit of 2',
            id="gpus-differ",
        ),
        pytest.param(
            {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
            "securityContext",
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            id="privileged",
        ),
        pytest.param(
            {"securityContext": {"runAsUser": -1}},
            "securityContext.runAsUser",
            "must be between 0 and 2147483647, inclusive",
            id="user",
        ),
        pytest.param(
            {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
            "securityContext.seccompProfile.localhostProfile",
            "must be set when seccomp type is Localhost",
            id="seccomp",
        ),
    ],
)
def test_containers_are_checked(api: Api, fields: dict[str, Any], field: str, message: str) -> None:
    spec = {"containers": [container(**fields)], "volumes": [{"name": "v"}]}

    found = causes(api, "pods", {"metadata": {"name": "p"}, "spec": spec})

    assert message in found[f"spec.containers[0].{field}"]


def affinity(kind: str, **rules: Any) -> dict[str, Any]:
    return {"affinity": {kind: rules}}


def node_terms(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": list(expressions)}]
    return affinity("nodeAffinity", **{REQUIRED: {"nodeSelectorTerms": terms}})


NODE_TERM = f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0]"


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        pytest.param(
            {"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}]},
            "tolerations[0].effect",
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
            id="toleration-seconds",
        ),
        pytest.param(
            {"tolerations": [{"key": "a", "operator": "Like"}]},
            "tolerations[0].operator",
            'Unsupported value: "Like": supported values: "Equal", "Exists"',
            id="toleration-operator",
        ),
        pytest.param(
            node_terms({"key": "a", "operator": "Gt", "values": ["1", "2"]}),
            f"{NODE_TERM}.values",
            "must be specified single value when `operator` is 'Lt' or 'Gt'",
            id="node-affinity-greater",
        ),
        pytest.param(
            node_terms({"key": "a", "operator": "Exists", "values": ["1"]}),
            f"{NODE_TERM}.values",
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            id="node-affinity-exists",
        ),
        pytest.param(
            node_terms({"key": "a", "operator": "Is", "values": ["1"]}),
            f"{NODE_TERM}.operator",
            'Invalid value: "Is": not a valid selector operator',
            id="node-affinity-operator",
        ),
        pytest.param(
            affinity("nodeAffinity", **{REQUIRED: {"nodeSelectorTerms": []}}),
            f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms",
            "must have at least one node selector term",
            id="node-affinity-empty",
        ),
        pytest.param(
            affinity("nodeAffinity", **{PREFERRED: [{"weight": 101, "preference": {}}]}),
            f"affinity.nodeAffinity.{PREFERRED}[0].weight",
            "must be in the range 1-100",
            id="weight",
        ),
        pytest.param(
            affinity(
                "podAntiAffinity",
                **{
                    PREFERRED: [
                        {
                            "weight": 1,
                            "podAffinityTerm": {
                                "topologyKey": "zone",
                                "labelSelector": {
                                    "matchExpressions": [{"key": "a", "operator": "In"}]
                                },
                            },
                        }
                    ]
                },
            ),
            f"affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector"
            ".matchExpressions[0].values",
            "must be specified when `operator` is 'In' or 'NotIn'",
            id="pod-affinity-selector",
        ),
        pytest.param(
            {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 0}]},
            "topologySpreadConstraints[0].maxSkew",
            "must be greater than zero",
            id="spread",
        ),
        pytest.param(
            {"nodeSelector": {"a": "b c"}}, "nodeSelector", "a valid label must be", id="selector"
        ),
        pytest.param(
            {"terminationGracePeriodSeconds": -1},
            "terminationGracePeriodSeconds",
            "must be greater than or equal to 0",
            id="grace",
        ),
        pytest.param(
            {"os": {"name": "plan9"}}, "os.name", 'supported values: "linux", "windows"', id="os"
        ),
        pytest.param(
            {"volumes": [{"name": "v", "secret": {}}]},
            "volumes[0].secret.secretName",
            "Required value",
            id="volume-source",
        ),
        pytest.param(
            {"volumes": [{"name": "v"}, {"name": "v"}]},
            "volumes[1].name",
            'Duplicate value: "v"',
            id="volume-twice",
        ),
        pytest.param(
            {"initContainers": [container(name="i", readinessProbe={"exec": {}})]},
            "initContainers[0].readinessProbe",
            "may not be set for init containers without restartPolicy=Always",
            id="init-container",
        ),
        pytest.param(
            {"securityContext": {"supplementalGroups": [-1]}},
            "securityContext.supplementalGroups[0]",
            "must be between 0 and 2147483647, inclusive",
            id="groups",
        ),
    ],
)
def test_pods_are_checked(api: Api, fields: dict[str, Any], field: str, message: str) -> None:
    spec = {"containers": [container()], **fields}

    found = causes(api, "pods", {"metadata": {"name": "p"}, "spec": spec})

    assert message in found[f"spec.{field}"]


TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container()]}}
SELECTOR = {"matchLabels": {"app": "a"}}


@pytest.mark.parametrize(
    ("kind", "fields", "field", "message"),
    [
        pytest.param("deployments", {"replicas": -1}, "spec.replicas", "greater", id="replicas"),
        pytest.param(
            "deployments",
            {"selector": {}},
            "spec.selector",
            "empty selector is invalid for deployment",
            id="empty-selector",
        ),
        pytest.param(
            "deployments",
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
            id="recreate",
        ),
        pytest.param(
            "deployments",
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            "spec.strategy.rollingUpdate.maxUnavailable",
            "may not be 0 when `maxSurge` is 0",
            id="no-progress",
        ),
        pytest.param(
            "statefulsets",
            {"updateStrategy": {"type": "Recreate"}},
            "spec.updateStrategy.type",
            'supported values: "RollingUpdate", "OnDelete"',
            id="strategy",
        ),
        pytest.param(
            "daemonsets",
            {
                "template": TEMPLATE
                | {"spec": {"containers": [container()], "restartPolicy": "Never"}}
            },
            "spec.template.spec.restartPolicy",
            'Unsupported value: "Never": supported values: "Always"',
            id="restart",
        ),
        pytest.param(
            "replicasets", {"template": None}, "spec.template", "Required value", id="no-template"
        ),
    ],
)
def test_workloads_are_checked(
    api: Api, kind: str, fields: dict[str, Any], field: str, message: str
) -> None:
    spec = {"selector": SELECTOR, "template": TEMPLATE, **fields}

    found = causes(api, f"{kind}.apps", {"metadata": {"name": "w"}, "spec": spec})

    assert message in found[field]


def test_a_stateful_set_changes_in_few_fields(api: Api) -> None:
    spec = {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "db"}
    api.create(
        "statefulsets.apps", {"metadata": {"name": "db"}, "spec": spec}, "default", user=USER
    )

    scaled = api.patch("statefulsets.apps", "db", {"spec": {"replicas": 2}}, "default", user=USER)
    with pytest.raises(ApiError) as caught:
        api.patch("statefulsets.apps", "db", {"spec": {"serviceName": "x"}}, "default", user=USER)

    assert scaled["spec"]["replicas"] == 2
    assert caught.value.message == (
        'StatefulSet.apps "db" is invalid: spec: Forbidden: updates to statefulset spec for fields '
        "other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
        "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )


def version(**rest: Any) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {"name": "v1", "served": True, "storage": True, "schema": schema, **rest}


def definition(**spec: Any) -> dict[str, Any]:
    names = {"plural": "gigs", "kind": "Gig"}
    full = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version()]}
    return {"metadata": {"name": "gigs.example.com"}, "spec": full | spec}


@pytest.mark.parametrize(
    ("resource", "body", "field", "message"),
    [
        pytest.param(
            CRDS,
            definition(group="other.com"),
            "metadata.name",
            'must be spec.names.plural+"."+spec.group',
            id="definition-name",
        ),
        pytest.param(
            CRDS,
            definition(versions=[version(storage=False)]),
            "spec.versions",
            "must have exactly one version marked as storage version",
            id="definition-storage",
        ),
        pytest.param(
            CRDS,
            definition(versions=[version(schema=None)]),
            "spec.versions[0].schema.openAPIV3Schema",
            "schemas are required",
            id="definition-schema",
        ),
        pytest.param(
            CRDS,
            definition(scope="World"),
            "spec.scope",
            'supported values: "Cluster", "Namespaced"',
            id="definition-scope",
        ),
        pytest.param(
            f"roles.{RBAC}",
            {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            "rules[0].nonResourceURLs",
            "namespaced rules cannot apply to non-resource URLs",
            id="role-of-paths",
        ),
        pytest.param(
            f"clusterroles.{RBAC}",
            {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "resources": ["pods"]}]},
            "rules[0].apiGroups",
            "resource rules must supply at least one api group",
            id="role-without-group",
        ),
        pytest.param(
            f"clusterrolebindings.{RBAC}",
            {
                "metadata": {"name": "b"},
                "roleRef": {"kind": "ClusterRole", "name": "r"},
                "subjects": [{"kind": "ServiceAccount", "name": "s"}],
            },
            "subjects[0].namespace",
            "Required value",
            id="subject-without-namespace",
        ),
        pytest.param(
            "configmaps",
            {"metadata": {"name": "c"}, "data": {"a b": "x"}},
            "data[a b]",
            "a valid config key must consist of alphanumeric characters",
            id="data-key",
        ),
        pytest.param(
            "services",
            {"metadata": {"name": "s"}, "spec": {}},
            "spec.ports",
            "Required value",
            id="service-without-ports",
        ),
        pytest.param(
            "services",
            {"metadata": {"name": "1s"}, "spec": {"ports": [{"port": 1}]}},
            "metadata.name",
            "a DNS-1035 label must consist of",
            id="service-name",
        ),
        pytest.param(
            "networkpolicies.networking.k8s.io",
            {"metadata": {"name": "n"}, "spec": {"podSelector": {}, "policyTypes": ["Both"]}},
            "spec.policyTypes[0]",
            'supported values: "Egress", "Ingress"',
            id="network-policy",
        ),
        pytest.param(
            "configmaps",
            {"metadata": {"name": "c", "ownerReferences": [{"kind": "Job", "name": "j"}]}},
            "metadata.ownerReferences[0].uid",
            "must not be empty",
            id="owner-without-uid",
        ),
        pytest.param(
            "configmaps",
            {"metadata": {"name": "c", "finalizers": ["hold"]}},
            "metadata.finalizers",
            "name is neither a standard finalizer name nor is it fully qualified",
            id="finalizer",
        ),
        pytest.param(
            "configmaps",
            {"metadata": {"name": "c", "annotations": {"a": "x" * (256 * 1024)}}},
            "metadata.annotations",
            "may not be more than 262144 bytes",
            id="annotations-too-large",
        ),
        pytest.param(
            "namespaces",
            {"metadata": {"name": "a.b"}},
            "metadata.name",
            "a lowercase RFC 1123 label must consist of",
            id="namespace-name",
        ),
        pytest.param(
            "priorityclasses.scheduling.k8s.io",
            {"metadata": {"name": "p"}, "value": 1, "preemptionPolicy": "Maybe"},
            "preemptionPolicy",
            'supported values: "PreemptLowerPriority", "Never"',
            id="preemption",
        ),
    ],
)
def test_other_objects_are_checked(
    api: Api, resource: str, body: dict[str, Any], field: str, message: str
) -> None:
    assert message in causes(api, resource, body)[field]


def test_a_binding_keeps_its_role(api: Api) -> None:
    reference = {"kind": "ClusterRole", "name": "view"}
    body = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": []}
    made = api.create(f"rolebindings.{RBAC}", body, "default", user=USER)

    change = {"roleRef": {"name": "edit"}}
    with pytest.raises(ApiError) as caught:
        api.patch(f"rolebindings.{RBAC}", "b", change, "default", user=USER)

    assert made["roleRef"]["apiGroup"] == RBAC
    assert "cannot change roleRef" in caught.value.message


@pytest.mark.parametrize(
    ("resource", "spec", "expected"),
    [
        pytest.param(
            "deployments.apps",
            {"selector": SELECTOR, "template": TEMPLATE},
            {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
            id="deployment",
        ),
        pytest.param(
            "statefulsets.apps",
            {"selector": SELECTOR, "template": TEMPLATE},
            {"replicas": 1, "podManagementPolicy": "OrderedReady"},
            id="stateful-set",
        ),
        pytest.param(
            "daemonsets.apps",
            {"selector": SELECTOR, "template": TEMPLATE},
            {
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
                }
            },
            id="daemon-set",
        ),
        pytest.param(
            "replicationcontrollers",
            {"template": TEMPLATE},
            {"replicas": 1, "selector": {"app": "a"}},
            id="replication-controller",
        ),
        pytest.param(
            "cronjobs.batch",
            {
                "schedule": "*/5 * * * *",
                "jobTemplate": {
                    "spec": {
                        "template": {
                            "spec": {"restartPolicy": "Never", "containers": [container()]}
                        }
                    }
                },
            },
            {"concurrencyPolicy": "Allow", "suspend": False, "failedJobsHistoryLimit": 1},
            id="cron-job",
        ),
        pytest.param(
            "services",
            {"ports": [{"port": 80}], "selector": {"app": "a"}},
            {"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]},
            id="service",
        ),
        pytest.param(
            "networkpolicies.networking.k8s.io",
            {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]},
            {"policyTypes": ["Ingress", "Egress"]},
            id="network-policy",
        ),
    ],
)
def test_what_is_left_out_is_filled_in(
    api: Api, resource: str, spec: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = {"metadata": {"generateName": "made-"}, "spec": spec}

    made = api.create(resource, body, "default", user=USER)

    assert {key: made["spec"][key] for key in expected} == expected
