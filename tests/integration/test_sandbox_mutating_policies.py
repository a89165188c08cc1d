"""Mutating admission policies in the embedded API server, beyond the recorded cases."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.server import KubernetesServer
from sandbox.kubernetes.statuses import ApiError

ADMIN = "admin@example.com"
POLICIES = "mutatingadmissionpolicies.admissionregistration.k8s.io"
BINDINGS = "mutatingadmissionpolicybindings.admissionregistration.k8s.io"

LABEL = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'seen': 'yes'}}]"
POD: dict[str, Any] = {
    "metadata": {"name": "pod"},
    "spec": {"containers": [{"name": "main", "image": "nginx"}]},
}
FAILS = "[JSONPatch{op: 'remove', path: '/metadata/annotations/absent'}]"


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    yield server
    server.stop()


@pytest.fixture
def api(server: KubernetesServer) -> Api:
    return server.api


def rule(*resources: str, operations: tuple[str, ...] = ("CREATE",), **more: Any) -> dict[str, Any]:
    return {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": list(operations),
        "resources": list(resources),
        **more,
    }


def policy(*expressions: str, name: str = "p", constraints: Any = None, **spec: Any) -> Any:
    mutations = [{"patchType": "JSONPatch", "jsonPatch": {"expression": e}} for e in expressions]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [rule("pods")], **(constraints or {})},
            "mutations": mutations,
            **spec,
        },
    }


def binding(name: str = "b", policy_name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"policyName": policy_name, **spec}}


def apply(api: Api, *bodies: Any) -> None:
    for body in bodies:
        resource = POLICIES if "mutations" in body["spec"] else BINDINGS
        api.create(resource, body, user=ADMIN)


def create_pod(
    api: Api, name: str = "pod", namespace: str = "default", **metadata: Any
) -> dict[str, Any]:
    body = {**POD, "metadata": {"name": name, **metadata}}
    return api.create("pods", body, namespace, user=ADMIN)


def labels(body: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = body["metadata"].get("labels", {})
    return found


def refused(api: Api, body: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        apply(api, body)
    return caught.value


def test_policy_without_binding_changes_nothing(api: Api) -> None:
    apply(api, policy(LABEL))

    assert labels(create_pod(api)) == {}


def test_deleted_policy_changes_nothing(api: Api) -> None:
    apply(api, policy(LABEL), binding())
    api.delete(POLICIES, "p", user=ADMIN)

    assert labels(create_pod(api)) == {}


@pytest.mark.parametrize(
    ("constraints", "is_seen"),
    [
        pytest.param({"namespaceSelector": {"matchLabels": {"team": "a"}}}, True, id="namespace"),
        pytest.param(
            {"namespaceSelector": {"matchLabels": {"team": "b"}}}, False, id="other-namespace"
        ),
        pytest.param({"objectSelector": {"matchLabels": {"app": "x"}}}, True, id="object"),
        pytest.param({"objectSelector": {"matchLabels": {"app": "y"}}}, False, id="other-object"),
        pytest.param({"resourceRules": [rule("*")]}, True, id="every-resource"),
        pytest.param({"resourceRules": [rule("*/*")]}, True, id="every-subresource"),
        pytest.param({"resourceRules": [rule("configmaps")]}, False, id="other-resource"),
        pytest.param({"resourceRules": [rule("pods/status")]}, False, id="subresource"),
        pytest.param(
            {"resourceRules": [rule("pods", operations=("UPDATE",))]}, False, id="other-operation"
        ),
        pytest.param({"resourceRules": [rule("pods", operations=("*",))]}, True, id="every-op"),
        pytest.param({"resourceRules": [rule("pods", apiGroups=["apps"])]}, False, id="group"),
        pytest.param({"resourceRules": [rule("pods", apiVersions=["*"])]}, True, id="version"),
    ],
)
@pytest.mark.parametrize("of", ["policy", "binding"])
def test_policy_and_binding_select_writes(
    api: Api, of: str, constraints: dict[str, Any], *, is_seen: bool
) -> None:
    api.patch("namespaces", "default", {"metadata": {"labels": {"team": "a"}}}, user=ADMIN)
    apply(
        api,
        policy(
            "[JSONPatch{op: 'add', path: '/metadata/labels/seen', value: 'yes'}]",
            constraints=constraints if of == "policy" else None,
        ),
        binding(matchResources=constraints) if of == "binding" else binding(),
    )

    created = create_pod(api, labels={"app": "x"})

    assert labels(created) == {"app": "x", **({"seen": "yes"} if is_seen else {})}


def test_policies_do_not_change_policies(api: Api) -> None:
    every = {"resourceRules": [rule("*", apiGroups=["*"], operations=("*",))]}
    apply(api, policy(FAILS, constraints=every), binding())

    api.delete(BINDINGS, "b", user=ADMIN)
    apply(api, policy(LABEL, name="second"))

    assert "labels" not in api.read(POLICIES, "second")["metadata"]


def test_policy_sees_added_ephemeral_containers(api: Api) -> None:
    constraints = {"resourceRules": [rule("pods/ephemeralcontainers", operations=("UPDATE",))]}
    expression = (
        "size(oldObject.spec.?ephemeralContainers.orValue([])) > 0 ? [] : "
        "[JSONPatch{op: 'replace', path: '/spec/ephemeralContainers/0/image', value: 'mirror/sh'}]"
    )
    apply(api, policy(expression, constraints=constraints), binding())
    body = create_pod(api)
    body["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "sh"}]

    changed = api.replace(
        "pods", "pod", body, "default", user=ADMIN, subresource="ephemeralcontainers"
    )
    api.patch("pods", "pod", {"metadata": {"labels": {"a": "b"}}}, "default", user=ADMIN)

    images = [each["image"] for each in changed["spec"]["ephemeralContainers"]]
    assert images == ["mirror/sh"]
    assert api.read("pods", "pod", "default")["spec"]["containers"][0]["image"] == "nginx"


@pytest.mark.parametrize(
    ("expressions", "is_seen"),
    [
        pytest.param(["true", "object.kind == 'Pod'"], True, id="all-hold"),
        pytest.param(["true", "false"], False, id="one-does-not"),
        pytest.param(["object.absent == 'x'", "false"], False, id="false-outweighs-a-failure"),
        pytest.param(
            [f"request.userInfo.username == '{ADMIN}' && request.operation == 'CREATE'"],
            True,
            id="request",
        ),
        pytest.param(["namespaceObject.metadata.name == 'default'"], True, id="namespace"),
        pytest.param(["oldObject == null"], True, id="nothing-before"),
    ],
)
def test_match_conditions_decide(api: Api, expressions: list[str], *, is_seen: bool) -> None:
    conditions = [{"name": f"c{i}", "expression": text} for i, text in enumerate(expressions)]
    apply(api, policy(LABEL, matchConditions=conditions), binding())

    assert labels(create_pod(api)) == ({"seen": "yes"} if is_seen else {})


def test_variable_is_visible_to_later_variables(api: Api) -> None:
    variables = [
        {"name": "names", "expression": "object.spec.containers.map(c, c.name)"},
        {"name": "joined", "expression": "variables.names.join('-') + '-' + object.metadata.name"},
    ]
    expression = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a': variables.joined}}]"
    apply(api, policy(expression, variables=variables), binding())

    assert labels(create_pod(api)) == {"a": "main-pod"}


@pytest.mark.parametrize("failure_policy", ["Fail", "Ignore"])
def test_changed_object_must_be_valid(api: Api, failure_policy: str) -> None:
    expression = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a': 'no label'}}]"
    apply(api, policy(expression, failurePolicy=failure_policy), binding())

    with pytest.raises(ApiError) as caught:
        create_pod(api)

    assert (caught.value.code, caught.value.reason) == (422, "Invalid")


def test_unused_variable_may_fail(api: Api) -> None:
    variables = [{"name": "unused", "expression": "object.spec.absent"}]
    apply(api, policy(LABEL, variables=variables), binding())

    assert labels(create_pod(api)) == {"seen": "yes"}


def test_mutations_apply_in_order(api: Api) -> None:
    second = (
        "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('acme.com/n'),"
        " value: object.metadata.labels.seen + string(size(variables.found))}]"
    )
    variables = [{"name": "found", "expression": "object.metadata.?labels.orValue({})"}]
    apply(api, policy(LABEL, second, variables=variables), binding())

    assert labels(create_pod(api)) == {"seen": "yes", "acme.com/n": "yes1"}


def test_values_of_all_kinds_reach_the_object(api: Api) -> None:
    expression = (
        "[JSONPatch{op: 'add', path: '/spec/terminationGracePeriodSeconds', value: 5},"
        " JSONPatch{op: 'add', path: '/spec/containers/0/ports',"
        " value: [{'containerPort': 80}]},"
        " JSONPatch{op: 'add', path: '/spec/shareProcessNamespace', value: true},"
        " JSONPatch{op: 'copy', from: '/spec/containers/0/name', path: '/spec/hostname'}]"
    )
    apply(api, policy(expression), binding())

    spec = create_pod(api)["spec"]

    assert spec["terminationGracePeriodSeconds"] == 5
    # What a patch adds gets its defaults too.
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert (spec["shareProcessNamespace"], spec["hostname"]) == (True, "main")


def test_patch_with_failing_test_changes_nothing(api: Api) -> None:
    expression = (
        "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'seen': 'yes'}},"
        " JSONPatch{op: 'test', path: '/metadata/name', value: 'another'}]"
    )
    apply(api, policy(expression), binding())

    assert labels(create_pod(api)) == {}


PARAMETER: dict[str, Any] = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
FROM_PARAMETER = "[JSONPatch{op: 'add', path: '/metadata/labels', value: params.data}]"


def config_map(name: str, namespace: str = "default", **data: str) -> tuple[str, Any, str]:
    metadata = {"name": name, "labels": {"app": name}}
    return "configmaps", {"metadata": metadata, "data": data}, namespace


def test_parameter_is_read_at_every_request(api: Api) -> None:
    reference = {"name": "c", "namespace": "default", "parameterNotFoundAction": "Deny"}
    apply(api, policy(FROM_PARAMETER, **PARAMETER), binding(paramRef=reference))
    api.create(*config_map("c", a="1"), user=ADMIN)

    first = create_pod(api)
    api.patch("configmaps", "c", {"data": {"a": "2"}}, "default", user=ADMIN)
    second = create_pod(api, "second")

    assert (labels(first), labels(second)) == ({"a": "1"}, {"a": "2"})


@pytest.mark.parametrize("action", ["Allow", "Deny"])
def test_absent_parameter_follows_binding(api: Api, action: str) -> None:
    reference = {"name": "c", "namespace": "default", "parameterNotFoundAction": action}
    apply(api, policy(FROM_PARAMETER, **PARAMETER), binding(paramRef=reference))

    if action == "Allow":
        assert labels(create_pod(api)) == {}
        return
    with pytest.raises(ApiError) as caught:
        create_pod(api)

    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    assert caught.value.message == (
        "policy 'p' with binding 'b' denied request: failed to configure binding: "
        "no params found for policy binding with `Deny` parameterNotFoundAction"
    )


@pytest.mark.parametrize("failing", [FAILS, "[JSONPatch{op: 'add', path: object.absent}]"])
def test_failing_policy_follows_failure_policy(api: Api, failing: str) -> None:
    apply(api, policy(failing), binding())

    with pytest.raises(ApiError) as caught:
        create_pod(api)
    api.patch(POLICIES, "p", {"spec": {"failurePolicy": "Ignore"}}, user=ADMIN)
    admitted = create_pod(api)

    assert (caught.value.code, caught.value.reason) == (403, "Invalid")
    assert caught.value.message.startswith("policy 'p' with binding 'b' denied request: ")
    assert labels(admitted) == {}


def test_failure_names_its_variable(api: Api) -> None:
    variables = [{"name": "needed", "expression": "string(object.spec.absent)"}]
    expression = "[JSONPatch{op: 'add', path: variables.needed}]"
    apply(api, policy(expression, variables=variables), binding())

    with pytest.raises(ApiError, match=r'variable "needed" fails to evaluate: .*absent'):
        create_pod(api)


@pytest.mark.parametrize("failure_policy", ["Fail", "Ignore"])
def test_broken_object_is_internal_error_under_either_failure_policy(
    api: Api, failure_policy: str
) -> None:
    expression = "[JSONPatch{op: 'add', path: '/spec/unknown', value: 'x'}]"
    apply(api, policy(expression, failurePolicy=failure_policy), binding())

    with pytest.raises(ApiError) as caught:
        create_pod(api)

    assert (caught.value.code, caught.value.reason) == (500, "InternalError")


@pytest.mark.parametrize(
    ("expression", "detail"),
    [
        pytest.param("[JSONPatch{op: 'add'", "Syntax error", id="syntax"),
        pytest.param("[JSONPatch{operation: 'add'}]", "undefined field", id="field"),
        pytest.param("[absent]", "undeclared reference to 'absent'", id="name"),
        pytest.param("variables.later", "undeclared reference", id="variable"),
        pytest.param("params.data", "undeclared reference to 'params", id="no-parameter"),
        pytest.param("'text'", "must evaluate to list(JSONPatch)", id="type"),
        pytest.param("[]", "must evaluate to list(JSONPatch)", id="empty"),
    ],
)
def test_invalid_expression_is_refused(api: Api, expression: str, detail: str) -> None:
    error = refused(api, policy(expression))

    (cause,) = error.status["details"]["causes"]
    assert (error.code, error.reason) == (422, "Invalid")
    assert cause["field"] == "spec.mutations[0].jsonPatch.expression"
    assert detail in cause["message"]


def test_condition_must_be_boolean(api: Api) -> None:
    conditions = [{"name": "c", "expression": "'text'"}]

    error = refused(api, policy(LABEL, matchConditions=conditions))

    assert "spec.matchConditions[0].expression" in error.message
    assert "must evaluate to bool" in error.message


def test_update_with_invalid_expression_is_refused(api: Api) -> None:
    apply(api, policy(LABEL))
    broken = policy("[absent]")["spec"]["mutations"]

    with pytest.raises(ApiError) as caught:
        api.patch(POLICIES, "p", {"spec": {"mutations": broken}}, user=ADMIN)

    assert caught.value.reason == "Invalid"
