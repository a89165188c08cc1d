"""Deletions in the embedded API server: grace, finalizers, owners, namespaces."""

from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.audit import AuditRecord
from sandbox.kubernetes.bootstrap import assemble
from sandbox.kubernetes.calls import Call, Caller, Deletion
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.resources import BY_KEY
from sandbox.kubernetes.statuses import ApiError

USER = "tester"
RUNNING: dict[str, Any] = {
    "metadata": {"name": "p"},
    "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
}
COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"


@pytest.fixture
def engine() -> Engine:
    return assemble(Clock())


@pytest.fixture
def api(engine: Engine) -> Api:
    return Api(engine)


def owned(name: str, owner: dict[str, Any], *, blocks: bool = True, **spec: Any) -> dict[str, Any]:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": blocks,
    }
    return {
        "metadata": {"name": name, "ownerReferences": [reference]},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


def make_job(api: Api) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "j"}, "spec": {"template": template}}
    return api.create("jobs.batch", body, "default", user=USER)


def names(api: Api, resource: str, namespace: str = "default") -> list[str]:
    return [one["metadata"]["name"] for one in api.list(resource, namespace)]


def delete(engine: Engine, resource: str, name: str, deletion: Deletion) -> Any:
    served = BY_KEY[resource]
    return engine.execute(Call("delete", served, Caller(USER), "default", name, deletion=deletion))


def test_background_deletion_deletes_dependents(api: Api, engine: Engine) -> None:
    records: list[AuditRecord] = []
    api.create("pods", owned("p", make_job(api)), "default", user=USER)
    engine.audit.add_listener(records.append)

    answer = api.delete("jobs.batch", "j", "default", user=USER)

    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"]["kind"] == "jobs"
    assert names(api, "pods") == []
    assert [(one.user, one.verb, one.resource) for one in records] == [
        (USER, "delete", "jobs"),
        (COLLECTOR, "delete", "pods"),
    ]


def test_foreground_deletion_waits_for_dependents(api: Api) -> None:
    api.create("pods", owned("p", make_job(api), nodeName="n"), "default", user=USER)

    answer = api.delete("jobs.batch", "j", "default", user=USER, propagation="Foreground")
    waiting = api.read("jobs.batch", "j", "default")["metadata"]
    going = api.read("pods", "p", "default")["metadata"]
    api.delete("pods", "p", "default", user="system:node:n", grace_period_s=0)

    assert answer["metadata"]["deletionTimestamp"]
    assert waiting["finalizers"] == ["foregroundDeletion"]
    assert going["deletionGracePeriodSeconds"] == 30
    assert (names(api, "pods"), names(api, "jobs.batch")) == ([], [])


def test_dependent_of_deleted_owner_is_deleted(api: Api) -> None:
    job = make_job(api)
    api.delete("jobs.batch", "j", "default", user=USER)

    api.create("pods", owned("late", job), "default", user=USER)

    assert names(api, "pods") == []


def test_running_pod_waits_for_its_node(api: Api) -> None:
    api.create("pods", RUNNING, "default", user=USER)

    marked = api.delete("pods", "p", "default", user=USER)
    again = api.delete("pods", "p", "default", user=USER)
    assert names(api, "pods") == ["p"]
    api.delete("pods", "p", "default", user="system:node:n", grace_period_s=0)

    assert marked["metadata"]["deletionTimestamp"] == again["metadata"]["deletionTimestamp"]
    assert names(api, "pods") == []


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_ended_pod_is_deleted_at_once(api: Api, phase: str) -> None:
    api.create("pods", RUNNING, "default", user=USER)
    status = {"status": {"phase": phase}}
    api.patch("pods", "p", status, "default", user=USER, subresource="status")

    api.delete("pods", "p", "default", user=USER)

    assert names(api, "pods") == []


def test_finalizer_delays_deletion(api: Api) -> None:
    body = {"metadata": {"name": "c", "finalizers": ["prestream.dev/hold"]}}
    api.create("configmaps", body, "default", user=USER)

    api.delete("configmaps", "c", "default", user=USER)
    held = api.read("configmaps", "c", "default")
    more = {"metadata": {"finalizers": ["prestream.dev/hold", "prestream.dev/more"]}}
    with pytest.raises(ApiError) as caught:
        api.patch("configmaps", "c", more, "default", user=USER)
    api.patch("configmaps", "c", {"metadata": {"finalizers": None}}, "default", user=USER)

    assert held["metadata"]["deletionTimestamp"]
    assert "no new finalizers can be added if the object is being deleted" in caught.value.message
    assert "c" not in names(api, "configmaps")


def test_collection_is_deleted_by_selector(api: Api, engine: Engine) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        body = {"metadata": {"name": name, "labels": {"app": label}}}
        api.create("secrets", body, "default", user=USER)
    call = Call(
        "deletecollection",
        BY_KEY["secrets"],
        Caller(USER),
        "default",
        label_selector="app=x",
    )

    answer = engine.execute(call)

    assert [one["metadata"]["name"] for one in answer.body["items"]] == ["a", "b"]
    assert names(api, "secrets") == ["c"]


def test_deleted_namespace_waits_until_empty(api: Api) -> None:
    api.create("namespaces", {"metadata": {"name": "ml"}}, user=USER)
    api.create("pods", RUNNING, "ml", user=USER)

    api.delete("namespaces", "ml", user=USER)
    terminating = api.read("namespaces", "ml")
    with pytest.raises(ApiError) as caught:
        api.create("configmaps", {"metadata": {"name": "c"}}, "ml", user=USER)
    api.delete("pods", "p", "ml", user="system:node:n", grace_period_s=0)

    assert terminating["status"]["phase"] == "Terminating"
    assert caught.value.message == (
        'configmaps "c" is forbidden: unable to create new content in namespace ml because it is '
        "being terminated"
    )
    assert caught.value.status["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert "ml" not in names(api, "namespaces", "")
    assert names(api, "serviceaccounts", "ml") == []


def test_evicted_pod_is_deleted(api: Api) -> None:
    api.create("pods", RUNNING, "default", user=USER)
    eviction = {"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 0}}

    answer = api.create("pods", eviction, "default", user=USER, subresource="eviction", name="p")

    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert names(api, "pods") == []
