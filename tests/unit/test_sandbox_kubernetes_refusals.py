"""What the embedded API server refuses, in the words of the real one."""

from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.assembly import assemble
from sandbox.kubernetes.bodies import clone
from sandbox.kubernetes.statuses import ApiError

USER = "tester"


@pytest.fixture
def api() -> Api:
    return Api(assemble(Clock()))


def container(**rest: Any) -> dict[str, Any]:
    return {"name": "main", "image": "nginx", **rest}


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [container()], **spec}}


def job(*, pod_spec: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    inner = {"restartPolicy": "Never", "containers": [container()], **(pod_spec or {})}
    return {"metadata": {"name": "j"}, "spec": {"template": {"spec": inner}, **spec}}


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container()]}}
    selector = {"matchLabels": {"app": "a"}}
    return {
        "metadata": {"name": "d"},
        "spec": {"selector": selector, "template": template, **spec},
    }


def refusal(api: Api, resource: str, body: dict[str, Any], namespace: str = "default") -> ApiError:
    with pytest.raises(ApiError) as caught:
        api.create(resource, body, namespace, user=USER)
    return caught.value


GPU = "nvidia.com/gpu"
RULE = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
NODE_TERM = {"matchExpressions": [{"key": "a", "operator": "In"}]}


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        pytest.param(pod(containers=[]), "spec.containers: Required value", id="no-container"),
        pytest.param(
            pod(containers=[container(), container()]),
            'spec.containers[1].name: Duplicate value: "main"',
            id="same-name-twice",
        ),
        pytest.param(
            pod(containers=[{"name": "main"}]),
            "spec.containers[0].image: Required value",
            id="no-image",
        ),
        pytest.param(
            pod(containers=[container(volumeMounts=[{"name": "v", "mountPath": "/v"}])]),
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
            id="mount-of-nothing",
        ),
        pytest.param(
            pod(
                containers=[container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})]
            ),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal '
            "to cpu limit of 1",
            id="request-above-limit",
        ),
        pytest.param(
            pod(containers=[container(resources={"requests": {GPU: "1"}})]),
            "spec.containers[0].resources.limits: Required value: Limit must be set for non "
            "overcommitable resources",
            id="gpu-without-limit",
        ),
        pytest.param(
            pod(containers=[container(resources={"limits": {GPU: "500m"}})]),
            'spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be '
            "an integer",
            id="half-a-gpu",
        ),
        pytest.param(
            pod(restartPolicy="Sometimes"),
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", '
            '"OnFailure", "Never"',
            id="restart-policy",
        ),
        pytest.param(
            pod(activeDeadlineSeconds=0),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
            "inclusive",
            id="deadline",
        ),
        pytest.param(
            pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
            "value must be empty when `operator` is 'Exists'",
            id="toleration-with-value",
        ),
        pytest.param(
            pod(tolerations=[{"operator": "Equal"}]),
            "operator must be Exists when `key` is empty",
            id="toleration-without-key",
        ),
        pytest.param(
            pod(tolerations=[{"key": "a", "effect": "Never"}]),
            'spec.tolerations[0].effect: Unsupported value: "Never": supported values: '
            '"NoSchedule", "PreferNoSchedule", "NoExecute"',
            id="toleration-effect",
        ),
        pytest.param(
            pod(
                affinity={
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [NODE_TERM]
                        }
                    }
                }
            ),
            "nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified "
            "when `operator` is 'In' or 'NotIn'",
            id="node-affinity",
        ),
        pytest.param(
            pod(
                affinity={
                    "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}
                }
            ),
            "requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can "
            "not be empty",
            id="anti-affinity",
        ),
        pytest.param(
            pod(nodeSelector={"a/b/c": "x"}),
            'spec.nodeSelector: Invalid value: "a/b/c": a qualified name must consist of',
            id="node-selector",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            id="two-volume-types",
        ),
        pytest.param(
            pod(ephemeralContainers=[{"name": "e", "image": "x"}]),
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
            id="ephemeral",
        ),
        pytest.param(
            pod() | {"metadata": {"name": "UPPER"}},
            'metadata.name: Invalid value: "UPPER": a lowercase RFC 1123 subdomain must consist of',
            id="name",
        ),
        pytest.param(
            pod() | {"metadata": {"name": "p", "labels": {"a": "no spaces"}}},
            'metadata.labels: Invalid value: "no spaces": a valid label must be an empty string',
            id="label",
        ),
        pytest.param(
            pod() | {"metadata": {}},
            "metadata.name: Required value: name or generateName is required",
            id="no-name",
        ),
    ],
)
def test_pods_are_refused(api: Api, body: dict[str, Any], cause: str) -> None:
    error = refusal(api, "pods", body)

    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message.startswith('Pod "')
    assert cause in error.message
    assert all(one["field"] and one["reason"] for one in error.status["details"]["causes"])


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        pytest.param(
            job(pod_spec={"restartPolicy": "Always"}),
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
            id="restart-always",
        ),
        pytest.param(
            job(pod_spec={"restartPolicy": "OnFailure"}, podFailurePolicy={"rules": [RULE]}),
            'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is '
            "supported when podFailurePolicy is specified",
            id="failure-policy-restarting",
        ),
        pytest.param(
            job(backoffLimit=-1),
            "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
            id="negative-backoff",
        ),
        pytest.param(
            job(podFailurePolicy={"rules": [{"action": "Ignore"}]}),
            "specifying one of OnExitCodes and OnPodConditions is required",
            id="failure-rule-without-condition",
        ),
        pytest.param(
            job(
                podFailurePolicy={
                    "rules": [
                        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}
                    ]
                }
            ),
            "onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
            id="failure-rule-on-success",
        ),
        pytest.param(
            job(podFailurePolicy={"rules": [RULE]}, podReplacementPolicy="TerminatingOrFailed"),
            'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported '
            'values: "Failed"',
            id="replacement-policy",
        ),
        pytest.param(
            job(completionMode="Indexed", parallelism=1),
            "spec.completions: Required value: when completion mode is Indexed",
            id="indexed-without-completions",
        ),
        pytest.param(
            job(selector={"matchLabels": {"a": "b"}}),
            "`selector` not auto-generated",
            id="own-selector",
        ),
        pytest.param(
            job() | {"metadata": {"name": "j" * 64}},
            "spec.template.labels: Invalid value",
            id="name-too-long-for-its-label",
        ),
    ],
)
def test_jobs_are_refused(api: Api, body: dict[str, Any], cause: str) -> None:
    error = refusal(api, "jobs.batch", body)

    assert error.code == 422
    assert error.message.startswith('Job.batch "')
    assert cause in error.message


@pytest.mark.parametrize(
    ("resource", "body", "cause"),
    [
        pytest.param(
            "deployments.apps",
            deployment(selector={"matchLabels": {"app": "b"}}),
            'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not '
            "match template `labels`",
            id="selector-mismatch",
        ),
        pytest.param(
            "deployments.apps",
            deployment(selector=None),
            "spec.selector: Required value",
            id="no-selector",
        ),
        pytest.param(
            "priorityclasses.scheduling.k8s.io",
            {"metadata": {"name": "huge"}, "value": 1_000_000_001},
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
            id="priority-too-high",
        ),
        pytest.param(
            "priorityclasses.scheduling.k8s.io",
            {"metadata": {"name": "system-mine"}, "value": 1},
            "priority class names with 'system-' prefix are reserved for system use only",
            id="system-priority",
        ),
        pytest.param(
            "resourcequotas",
            {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1500m"}}},
            'spec.hard[pods]: Invalid value: "1500m": must be an integer',
            id="quota-of-a-part",
        ),
        pytest.param(
            "roles.rbac.authorization.k8s.io",
            {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"]}]},
            "rules[0].verbs: Required value: verbs must contain at least one value",
            id="rule-without-verbs",
        ),
        pytest.param(
            "rolebindings.rbac.authorization.k8s.io",
            {"metadata": {"name": "b"}, "roleRef": {"kind": "Rule", "name": "r"}},
            'roleRef.kind: Unsupported value: "Rule": supported values: "Role", "ClusterRole"',
            id="binding-to-nothing",
        ),
        pytest.param(
            "cronjobs.batch",
            {
                "metadata": {"name": "c"},
                "spec": {"schedule": "often", "jobTemplate": {"spec": job()["spec"]}},
            },
            'spec.schedule: Invalid value: "often": expected exactly 5 fields, found 1',
            id="schedule",
        ),
        pytest.param(
            "events",
            {"metadata": {"name": "e"}, "involvedObject": {"namespace": "other"}},
            'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
            id="event-elsewhere",
        ),
    ],
)
def test_other_objects_are_refused(
    api: Api, resource: str, body: dict[str, Any], cause: str
) -> None:
    error = refusal(api, resource, body)

    assert error.code == 422
    assert cause in error.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            job(backoffLimit="none"),
            'Job in version "v1" cannot be handled as a Job: json: cannot unmarshal string into Go '
            "struct field JobSpec.spec.backoffLimit of type int32",
            id="type",
        ),
        pytest.param(
            job(pod_spec={"containers": [container(env=[{"name": "A", "value": 1}])]}),
            "json: cannot unmarshal number into Go struct field "
            "EnvVar.spec.template.spec.containers.env.value of type string",
            id="type-in-a-list",
        ),
        pytest.param(
            job(pod_spec={"containers": [container(resources={"limits": {"cpu": "much"}})]}),
            "quantities must match the regular expression",
            id="quantity",
        ),
        pytest.param(
            job(foo=1, pod_spec={"containers": [container(bar=2)]}),
            'strict decoding error: unknown field "spec.template.spec.containers[0].bar", unknown '
            'field "spec.foo"',
            id="unknown-fields",
        ),
        pytest.param(
            job() | {"apiVersion": "apps/v1"},
            "the API version in the data (apps/v1) does not match the expected API version "
            "(batch/v1)",
            id="other-version",
        ),
        pytest.param(
            job() | {"metadata": {"name": "j", "namespace": "other"}},
            "the namespace of the provided object does not match the namespace sent on the request",
            id="other-namespace",
        ),
    ],
)
def test_what_cannot_be_decoded_is_a_bad_request(
    api: Api, body: dict[str, Any], message: str
) -> None:
    error = refusal(api, "jobs.batch", body)

    assert (error.code, error.reason) == (400, "BadRequest")
    assert message in error.message


def test_a_namespace_must_exist(api: Api) -> None:
    error = refusal(api, "pods", pod(), "nowhere")

    assert (error.code, error.message) == (404, 'namespaces "nowhere" not found')


def test_a_name_is_taken_once(api: Api) -> None:
    api.create("jobs.batch", job(), "default", user=USER)

    error = refusal(api, "jobs.batch", job())

    assert (error.code, error.reason) == (409, "AlreadyExists")
    assert error.message == 'jobs.batch "j" already exists'
    assert error.status["details"] == {"name": "j", "group": "batch", "kind": "jobs"}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        pytest.param(
            {"completions": 3},
            "spec.completions: Invalid value: 3: field is immutable",
            id="completions",
        ),
        pytest.param(
            {"template": {"spec": {"terminationGracePeriodSeconds": 9}}},
            "spec.template: Invalid value",
            id="template",
        ),
        pytest.param(
            {"template": {"spec": {"nodeSelector": {"a": "b"}}}},
            "field is immutable",
            id="scheduling-while-running",
        ),
        pytest.param(
            {"selector": {"matchLabels": {"a": "b"}}}, "field is immutable", id="selector"
        ),
    ],
)
def test_a_running_job_keeps_its_shape(api: Api, change: dict[str, Any], cause: str) -> None:
    api.create("jobs.batch", job(), "default", user=USER)

    with pytest.raises(ApiError) as caught:
        api.patch("jobs.batch", "j", {"spec": change}, "default", user=USER)

    assert caught.value.code == 422
    assert cause in caught.value.message


def test_a_suspended_job_that_never_started_may_be_placed_elsewhere(api: Api) -> None:
    api.create("jobs.batch", job(suspend=True), "default", user=USER)
    change = {"spec": {"template": {"spec": {"nodeSelector": {"pool": "gpu"}}}}}

    placed = api.patch("jobs.batch", "j", change, "default", user=USER)
    api.patch(
        "jobs.batch",
        "j",
        {"status": {"startTime": "2026-01-01T00:00:00Z"}},
        "default",
        user=USER,
        subresource="status",
    )
    change["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "cpu"}
    with pytest.raises(ApiError) as caught:
        api.patch("jobs.batch", "j", change, "default", user=USER)

    assert placed["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "gpu"}
    assert "spec.template: Invalid value" in caught.value.message


def test_a_pod_changes_its_images_and_little_else(api: Api) -> None:
    api.create("pods", pod(), "default", user=USER)
    read = api.read("pods", "p", "default")

    read["spec"]["containers"][0]["image"] = "nginx:2"
    changed = api.replace("pods", "p", read, "default", user=USER)
    other = clone(changed)
    other["spec"]["dnsPolicy"] = "Default"
    with pytest.raises(ApiError) as caught:
        api.replace("pods", "p", other, "default", user=USER)

    assert changed["spec"]["containers"][0]["image"] == "nginx:2"
    assert "spec: Forbidden: pod updates may not change fields other than" in caught.value.message


@pytest.mark.parametrize(
    ("resource", "body", "change", "cause"),
    [
        pytest.param(
            "deployments.apps",
            deployment(),
            {
                "spec": {
                    "selector": {"matchLabels": {"app": "b"}},
                    "template": {"metadata": {"labels": {"app": "b"}}},
                }
            },
            'spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable',
            id="deployment-selector",
        ),
        pytest.param(
            "priorityclasses.scheduling.k8s.io",
            {"metadata": {"name": "low"}, "value": -20},
            {"value": -30},
            "value: Forbidden: may not be changed in an update.",
            id="priority-value",
        ),
        pytest.param(
            "configmaps",
            {"metadata": {"name": "c"}, "immutable": True, "data": {"a": "b"}},
            {"data": {"a": "c"}},
            "data: Forbidden: field is immutable when `immutable` is set",
            id="immutable-data",
        ),
    ],
)
def test_what_is_immutable_stays(
    api: Api, resource: str, body: dict[str, Any], change: dict[str, Any], cause: str
) -> None:
    name = api.create(resource, body, "default", user=USER)["metadata"]["name"]

    with pytest.raises(ApiError) as caught:
        api.patch(resource, name, change, "default", user=USER)

    assert cause in caught.value.message


def test_metadata_that_identifies_an_object_stays(api: Api) -> None:
    made = api.create("configmaps", {"metadata": {"name": "c"}}, "default", user=USER)

    with pytest.raises(ApiError) as caught:
        api.patch("configmaps", "c", {"metadata": {"uid": "other"}}, "default", user=USER)
    kept = api.patch(
        "configmaps", "c", {"metadata": {"creationTimestamp": None}}, "default", user=USER
    )

    assert caught.value.code == 409
    assert "Precondition failed: UID in precondition: other" in caught.value.message
    assert kept["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]


def test_an_unknown_resource_is_not_found(api: Api) -> None:
    with pytest.raises(ApiError) as caught:
        api.list("rayclusters.ray.io")

    assert caught.value.message == "the server could not find the requested resource"
