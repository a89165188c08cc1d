"""Audit entries: the object, the request and the cause that are read from them, and poison."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.placement import Placement
from shared.domain.request import Cause
from shared.domain.workload import find_pod_specs
from shared.errors import InvalidEventError
from shared.messages.audit_entry import AuditEntry
from tests.fakes.audit_entries import DEPLOYMENT, log_entry, read_entry, reason_to_ignore, workload


def images_of(entry: AuditEntry) -> list[str]:
    return [image.text for pod in find_pod_specs(entry.body) for image in pod.images]


Change = Callable[[dict[str, Any]], object]
CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
STATUS = {"@type": "core.k8s.io/v1.Status", "kind": "Status", "status": "Success"}
DELTA = {"@type": "k8s.io/Patch", **workload("from/patch")}


@pytest.mark.parametrize(
    ("verb", "payload", "expected"),
    [
        pytest.param(
            "create",
            {"request": workload("from/request"), "response": workload("from/response")},
            ["from/response"],
            id="response-first",
        ),
        pytest.param(
            "create",
            {"request": workload("from/request"), "response": None},
            ["from/request"],
            id="no-response",
        ),
        pytest.param(
            "update",
            {"request": workload("from/request"), "response": STATUS},
            ["from/request"],
            id="another-answer",
        ),
        pytest.param(
            "create",
            {"request": workload("from/request"), "response": {"kind": "Table", "rows": []}},
            ["from/request"],
            id="table",
        ),
        pytest.param(
            "create",
            {"request": workload("from/request"), "response": {"spec": workload("x/y")["spec"]}},
            ["x/y"],
            id="response-without-kind",
        ),
        pytest.param(
            "patch",
            {"request": DELTA, "response": workload("from/response")},
            ["from/response"],
            id="patch",
        ),
        pytest.param("patch", {"request": DELTA, "response": None}, [], id="delta-alone"),
        pytest.param("patch", {"request": DELTA, "response": STATUS}, [], id="delta-and-status"),
        pytest.param(
            "patch", {"request": [{"op": "replace"}], "response": None}, [], id="JSON-patch"
        ),
    ],
)
def test_object_is_the_response_or_else_the_request(
    verb: str, payload: dict[str, Any], expected: list[str]
) -> None:
    entry = read_entry(log_entry(f"io.k8s.apps.v1.deployments.{verb}", **payload))

    assert images_of(entry) == expected


def test_patch_without_the_object_is_ignored() -> None:
    entry = log_entry("io.k8s.apps.v1.deployments.patch", request=DELTA, response=None)

    assert reason_to_ignore(entry) == "the entry holds no object"


def test_request_has_the_placement_reduced_to_the_keys() -> None:
    body = workload("anyscale/ray-ml:2.7.0")
    body["spec"]["template"]["spec"] |= {
        "nodeSelector": {"accelerator": "l4", "team": "vision", "kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "team", "operator": "Exists"}, {"operator": "Exists"}],
    }
    entry = read_entry(log_entry(response=body))

    (request,) = entry.requests(find_pod_specs(entry.body), frozenset({"accelerator"}))

    assert request.image == "anyscale/ray-ml:2.7.0"
    assert request.cluster == CLUSTER
    assert request.placement == Placement.of({"accelerator": "l4"})
    assert request.platform == "linux/amd64"
    assert request.cause == Cause("audit_log", "i-1", DEPLOYMENT)
    assert not request.force


def test_principal_is_not_kept() -> None:
    assert "ada@example.com" not in repr(read_entry(log_entry()))


def test_entry_without_insert_id_is_known_by_its_message() -> None:
    entry = log_entry()
    del entry["insertId"]

    assert read_entry(entry).cause.id == "m-1"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "not a LogEntry", id="empty"),
        pytest.param(b"text", "not a LogEntry", id="text"),
        pytest.param(b"\xff", "not a LogEntry", id="binary"),
        pytest.param(b'{"insertId": "\xff"}', "not a LogEntry", id="not-utf-8"),
        pytest.param(b'{"insertId": "\\ud800"}', "not a LogEntry", id="half-a-surrogate"),
        pytest.param([], "object", id="list"),
        pytest.param(None, "object", id="null"),
        pytest.param({}, "resource", id="no-fields"),
        pytest.param({"insertId": "i"}, "resource", id="no-resource"),
        pytest.param({"resource": {"type": "k8s_cluster"}}, "it has no payload", id="no-payload"),
        pytest.param(
            b'{"resource": {"type": "k8s_cluster"}, "protoPayload": {"request": ' + b"[" * 100_000,
            "not a LogEntry",
            id="nested-without-end",
        ),
    ],
)
def test_invalid_log_entry_is_poison(data: Any, problem: str) -> None:
    with pytest.raises(InvalidEventError, match=problem):
        read_entry(data)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda e: e.update(insertId=5), r"\$\.insertId", id="insertId"),
        pytest.param(lambda e: e.update(labels=[]), r"\$\.labels", id="labels"),
        pytest.param(lambda e: e.update(split="1/2"), r"\$\.split", id="split"),
        pytest.param(lambda e: e.update(resource="x"), r"\$\.resource", id="resource"),
        pytest.param(lambda e: e["resource"].pop("type"), "type", id="no-type"),
        pytest.param(lambda e: e["resource"].update(type=1), r"resource\.type", id="type"),
        pytest.param(lambda e: e["resource"].update(labels=1), "labels", id="resource-labels"),
        pytest.param(lambda e: e.update(protoPayload=[]), r"\$\.protoPayload", id="payload"),
        pytest.param(lambda e: e["protoPayload"].update(status="x"), "status", id="status"),
        pytest.param(lambda e: e["protoPayload"].update(methodName=1), "methodName", id="method"),
        pytest.param(lambda e: e["protoPayload"].pop("methodName"), "lacks", id="no-method"),
        pytest.param(lambda e: e["protoPayload"].pop("resourceName"), "lacks", id="no-name"),
        pytest.param(
            lambda e: e["protoPayload"].update(resourceName="x"), "does not fit", id="odd-name"
        ),
        pytest.param(
            lambda e: e["protoPayload"].update(resourceName="apps/v1/namespaces/a/daemonsets/b"),
            "does not fit",
            id="name-of-another",
        ),
        pytest.param(
            lambda e: e["protoPayload"].update(resourceName="apps/v2/namespaces/a/deployments/b"),
            "does not fit",
            id="name-of-another-version",
        ),
    ],
)
def test_entry_with_impossible_fields_is_poison(change: Change, problem: str) -> None:
    entry = log_entry()
    change(entry)

    with pytest.raises(InvalidEventError, match=problem):
        read_entry(entry)
