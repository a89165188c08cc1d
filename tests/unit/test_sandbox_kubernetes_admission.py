"""Admission in the embedded API server: quotas, priorities, service accounts, Events."""

from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bootstrap import assemble
from sandbox.kubernetes.calls import Call, Caller, Options
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.resources import BY_KEY
from sandbox.kubernetes.statuses import ApiError

USER = "tester"
SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def engine() -> Engine:
    return assemble(Clock())


@pytest.fixture
def api(engine: Engine) -> Api:
    return Api(engine)


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "nginx"}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def refusal(api: Api, resource: str, body: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        api.create(resource, body, "default", user=USER)
    return caught.value


def quota(api: Api, hard: dict[str, str], **spec: Any) -> None:
    body = {"metadata": {"name": "limit"}, "spec": {"hard": hard, **spec}}
    api.create("resourcequotas", body, "default", user=USER)


def used(api: Api) -> dict[str, str]:
    status: dict[str, str] = api.read("resourcequotas", "limit", "default")["status"]["used"]
    return status


def test_pod_quota_holds_until_pod_ends(api: Api) -> None:
    quota(api, {"pods": "2"})
    for name in ("a", "b"):
        api.create("pods", pod(name), "default", user=USER)

    error = refusal(api, "pods", pod("c"))
    api.patch(
        "pods", "a", {"status": {"phase": "Succeeded"}}, "default", user=USER, subresource="status"
    )

    assert (error.code, error.reason) == (403, "Forbidden")
    assert error.message == (
        'pods "c" is forbidden: exceeded quota: limit, requested: pods=1, used: pods=2, limited: '
        "pods=2"
    )
    assert used(api) == {"pods": "1"}
    api.create("pods", pod("c"), "default", user=USER)


def test_quota_counts_objects_and_requests(api: Api) -> None:
    quota(api, {"count/configmaps": "2", "requests.cpu": "1", "limits.memory": "1Gi"})
    resources = {"requests": {"cpu": "600m"}, "limits": {"memory": "512Mi"}}
    containers = [{"name": "main", "image": "nginx", "resources": resources}]

    api.create("pods", pod("a", containers=containers), "default", user=USER)
    too_much = refusal(api, "pods", pod("b", containers=containers))
    unsaid = refusal(api, "pods", pod("c"))
    api.create("configmaps", {"metadata": {"name": "one"}}, "default", user=USER)
    one_more = refusal(api, "configmaps", {"metadata": {"name": "two"}})

    assert "requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1" in (
        too_much.message
    )
    assert unsaid.message == (
        'pods "c" is forbidden: failed quota: limit: must specify limits.memory for: main; '
        "requests.cpu for: main"
    )
    assert "requested: count/configmaps=1, used: count/configmaps=2" in one_more.message
    assert used(api) == {
        "count/configmaps": "2",
        "requests.cpu": "600m",
        "limits.memory": "512Mi",
    }


def test_changed_quota_is_recounted(api: Api) -> None:
    api.create("pods", pod("a"), "default", user=USER)
    quota(api, {"pods": "5", "count/secrets": "5"})

    patch = {"spec": {"hard": {"count/secrets": None, "count/pods": "3"}}}
    api.patch("resourcequotas", "limit", patch, "default", user=USER)
    changed = api.read("resourcequotas", "limit", "default")["status"]
    api.delete("pods", "a", "default", user=USER)

    assert changed == {
        "hard": {"pods": "5", "count/pods": "3"},
        "used": {"pods": "1", "count/pods": "1"},
    }
    assert used(api) == {"pods": "0", "count/pods": "0"}


def test_refused_write_and_dry_run_use_no_quota(engine: Engine, api: Api) -> None:
    quota(api, {"pods": "1"})
    served = BY_KEY["pods"]
    options = Options(dry_run=True)

    refusal(api, "pods", pod("bad", containers=[]))
    engine.execute(
        Call("create", served, Caller(USER), "default", body=pod("dry"), options=options)
    )

    assert used(api) == {"pods": "0"}


def test_quota_of_priority_class_counts_its_pods(api: Api) -> None:
    low = {"metadata": {"name": "low"}, "value": -20}
    api.create("priorityclasses.scheduling.k8s.io", low, user=USER)
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": ["low"]}
    quota(api, {"pods": "0"}, scopeSelector={"matchExpressions": [scope]})

    api.create("pods", pod("any"), "default", user=USER)
    error = refusal(api, "pods", pod("low", priorityClassName="low"))

    assert "exceeded quota: limit" in error.message


def test_pod_gets_priority_of_its_class(api: Api) -> None:
    body = {"metadata": {"name": "low"}, "value": -20, "preemptionPolicy": "Never"}
    api.create("priorityclasses.scheduling.k8s.io", body, user=USER)

    low = api.create("pods", pod("low", priorityClassName="low"), "default", user=USER)
    plain = api.create("pods", pod("plain"), "default", user=USER)
    critical = api.create(
        "pods", pod("critical", priorityClassName="system-node-critical"), "default", user=USER
    )
    unknown = refusal(api, "pods", pod("other", priorityClassName="high"))
    own = refusal(api, "pods", pod("own", priority=7))

    assert (low["spec"]["priority"], low["spec"]["preemptionPolicy"]) == (-20, "Never")
    assert plain["spec"]["priority"] == 0
    assert critical["spec"]["priority"] == 2_000_001_000
    assert unknown.message == (
        'pods "other" is forbidden: no PriorityClass with name high was found'
    )
    assert "the integer value of priority (7) must not be provided in pod spec" in own.message


def test_pod_needs_its_service_account(api: Api) -> None:
    error = refusal(api, "pods", pod(serviceAccountName="worker"))
    quiet = api.create(
        "pods", pod("quiet", automountServiceAccountToken=False), "default", user=USER
    )

    assert error.message == (
        'pods "p" is forbidden: error looking up service account default/worker: serviceaccount '
        '"worker" not found'
    )
    assert "volumes" not in quiet["spec"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({}, 422, id="without-event-time"),
        pytest.param({"eventTime": "2026-01-01T00:00:00.000000Z"}, 201, id="with-event-time"),
    ],
)
def test_event_about_another_namespace_needs_event_time(
    engine: Engine, fields: dict[str, str], code: int
) -> None:
    """A kube-apiserver 1.36 admits such an Event, so its namespace alone proves nothing."""
    about = {"kind": "Pod", "namespace": "ml", "name": "payroll-0"}
    body = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Pulled"}
    body |= {"reportingComponent": "k", "reportingInstance": "n", "action": "Pull", **fields}
    call = Call("create", BY_KEY["events"], Caller(USER), "default", body=body)

    try:
        answered = engine.execute(call).code
    except ApiError as error:
        answered = error.code

    assert answered == code
