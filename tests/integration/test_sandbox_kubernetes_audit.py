"""Audit records of the embedded API server, and the order of its writes."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.access import ADMIN_TOKEN
from sandbox.kubernetes.audit import AuditRecord
from sandbox.kubernetes.server import KubernetesServer

BOB = secrets.token_hex()
JOBS = "/apis/batch/v1/namespaces/prestream/jobs"
USER = "tester"
JOB: dict[str, Any] = {
    "metadata": {"name": "warm"},
    "spec": {
        "template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
        }
    },
}


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    server.api.create("namespaces", {"metadata": {"name": "prestream"}}, user=USER)
    server.add_user(BOB, "bob", ["devs"])
    yield server
    server.stop()


@pytest.fixture
def records(server: KubernetesServer) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    server.on_audit(records.append)
    return records


def send(
    server: KubernetesServer,
    method: str,
    path: str,
    body: Any = None,
    token: str = BOB,
    **headers: str,
) -> requests.Response:
    all_headers = {"Authorization": f"Bearer {token}", "User-Agent": "test/1", **headers}
    url = f"http://{server.address}{path}"
    return requests.request(method, url, headers=all_headers, json=body, timeout=10)


def test_token_may_be_password_in_url(server: KubernetesServer) -> None:
    url = server.kubeconfig("c", BOB)["clusters"][0]["cluster"]["server"]

    known = requests.get(f"{url}/apis", timeout=10)
    unknown = requests.get(f"{url.replace(BOB, 'other')}/apis", timeout=10)

    assert (known.status_code, unknown.status_code) == (200, 403)


def test_accepted_and_refused_writes_are_audited(
    server: KubernetesServer, records: list[AuditRecord]
) -> None:
    before = datetime.now(UTC)
    send(server, "POST", JOBS, JOB, token=ADMIN_TOKEN)
    send(server, "POST", JOBS, JOB)
    send(server, "POST", f"{JOBS}?dryRun=All", JOB, token=ADMIN_TOKEN)
    send(server, "GET", JOBS, token=ADMIN_TOKEN)

    made, forbidden, exists = records
    assert (made.verb, made.user, made.code) == ("create", "kubernetes-admin", 201)
    assert (made.group, made.version, made.resource) == ("batch", "v1", "jobs")
    assert (made.namespace, made.name, made.subresource) == ("prestream", "warm", "")
    assert made.request == JOB
    assert made.response["metadata"]["uid"]
    assert (made.user_agent, made.source_ip, made.dry_run) == ("test/1", "127.0.0.1", False)
    assert before - timedelta(seconds=1) < made.received_at < datetime.now(UTC)
    assert (forbidden.user, forbidden.code) == ("bob", 403)
    assert forbidden.response["reason"] == "Forbidden"
    assert (exists.code, exists.dry_run) == (409, True)
    assert len({one.audit_id for one in records}) == 3


def test_audit_record_holds_request_as_sent(
    server: KubernetesServer, records: list[AuditRecord]
) -> None:
    server.api.create("configmaps", {"metadata": {"name": "c"}}, "prestream", user=USER)
    patch = {"data": {"a": "b"}}
    path = "/api/v1/namespaces/prestream/configmaps/c"
    merge = {"Content-Type": "application/merge-patch+json"}

    send(server, "PATCH", path, patch, token=ADMIN_TOKEN, **merge)
    send(server, "DELETE", path, {"propagationPolicy": "Background"}, token=ADMIN_TOKEN)

    created, patched, deleted = records
    assert created.user == USER
    assert (patched.verb, patched.content_type) == ("patch", "application/merge-patch+json")
    assert (patched.request, patched.response["data"]) == (patch, {"a": "b"})
    assert (deleted.verb, deleted.response["status"]) == ("delete", "Success")


def test_audit_listener_may_write(server: KubernetesServer, records: list[AuditRecord]) -> None:
    def answer(record: AuditRecord) -> None:
        if record.resource == "configmaps":
            body = {"metadata": {"generateName": "seen-"}}
            server.api.create("secrets", body, "default", user="listener")

    server.on_audit(answer)

    server.api.create("configmaps", {"metadata": {"name": "c"}}, "default", user=USER)

    assert [(one.user, one.resource) for one in records] == [
        (USER, "configmaps"),
        ("listener", "secrets"),
    ]


def test_concurrent_writes_are_ordered(server: KubernetesServer) -> None:
    def create(number: int) -> int:
        body = {"metadata": {"name": f"c{number}"}}
        path = "/api/v1/namespaces/default/configmaps"
        answer = send(server, "POST", path, body, token=ADMIN_TOKEN)
        return int(answer.json()["metadata"]["resourceVersion"])

    with server.api.watch("configmaps") as events, ThreadPoolExecutor(8) as pool:
        revisions = list(pool.map(create, range(40)))
        seen = [events.get(5) for _ in range(40)]

    watched = [int(event[1]["metadata"]["resourceVersion"]) for event in seen if event]
    assert watched == sorted(watched)
    assert sorted(revisions) == watched
