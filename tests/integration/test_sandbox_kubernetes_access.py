"""Who may do what in the embedded API server, what is recorded, and what can go wrong."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.kubernetes.access import ADMIN_TOKEN
from sandbox.kubernetes.audit import AuditRecord
from sandbox.kubernetes.server import KubernetesServer

BOB = secrets.token_hex()
JOBS = "/apis/batch/v1/namespaces/prestream/jobs"
RBAC = "rbac.authorization.k8s.io"
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
def faults() -> Faults:
    return Faults()


@pytest.fixture
def server(faults: Faults) -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), faults).start()
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


def grant(server: KubernetesServer, rules: list[dict[str, Any]], subject: dict[str, Any]) -> None:
    role = {"metadata": {"name": "r"}, "rules": rules}
    server.api.create(f"roles.{RBAC}", role, "prestream", user=USER)
    reference = {"apiGroup": RBAC, "kind": "Role", "name": "r"}
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
    server.api.create(f"rolebindings.{RBAC}", binding, "prestream", user=USER)


def test_health_and_version_need_no_credentials(server: KubernetesServer) -> None:
    url = f"http://{server.address}"

    assert requests.get(f"{url}/readyz", timeout=10).text == "ok"
    assert requests.get(f"{url}/version", timeout=10).json()["gitVersion"] == "v1.36.0"
    assert requests.get(f"{url}/apis", timeout=10).status_code == 403


def test_token_may_be_password_in_url(server: KubernetesServer) -> None:
    url = server.kubeconfig("c", BOB)["clusters"][0]["cluster"]["server"]

    known = requests.get(f"{url}/apis", timeout=10)
    unknown = requests.get(f"{url.replace(BOB, 'other')}/apis", timeout=10)

    assert (known.status_code, unknown.status_code) == (200, 403)


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param({"kind": "User", "name": "bob"}, id="user"),
        pytest.param({"kind": "Group", "name": "devs"}, id="group"),
    ],
)
def test_role_allows_its_rules(server: KubernetesServer, subject: dict[str, Any]) -> None:
    create = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
    read = create | {"verbs": ["get"], "resourceNames": ["warm"]}
    grant(server, [create, read], subject)

    assert send(server, "POST", JOBS, JOB).status_code == 201
    assert send(server, "GET", f"{JOBS}/warm").status_code == 200
    assert send(server, "GET", f"{JOBS}/other").status_code == 403
    assert send(server, "GET", JOBS).status_code == 403
    assert send(server, "PUT", f"{JOBS}/warm/status", JOB).status_code == 403
    assert send(server, "POST", JOBS.replace("prestream", "default"), JOB).status_code == 403


def test_service_account_is_subject(server: KubernetesServer) -> None:
    account = secrets.token_hex()
    server.add_user(account, "system:serviceaccount:prestream:worker")
    rule = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["*"]}
    grant(server, [rule], {"kind": "ServiceAccount", "name": "worker"})

    pods = "/api/v1/namespaces/prestream/pods"
    assert send(server, "GET", pods, token=account).status_code == 200
    # The role allows the log; that nothing serves it here is another matter.
    assert send(server, "GET", f"{pods}/p/log", token=account).status_code == 404
    assert send(server, "GET", f"{pods}/p/status", token=account).status_code == 403


def test_known_user_may_discover_and_review_access(server: KubernetesServer) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    attributes = {"namespace": "prestream", "verb": "create", "group": "batch", "resource": "jobs"}
    review = {"spec": {"resourceAttributes": attributes}}

    before = send(server, "POST", path, review)
    rule = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
    grant(server, [rule], {"kind": "User", "name": "bob"})
    after = send(server, "POST", path, review)

    assert send(server, "GET", "/apis").status_code == 200
    assert send(server, "GET", "/readyz").text == "ok"
    assert before.json()["status"] == {"allowed": False}
    assert after.json()["status"]["allowed"] is True


def test_impersonation_needs_a_role(server: KubernetesServer) -> None:
    header = {"Impersonate-User": "bob"}

    as_bob = send(server, "GET", JOBS, token=ADMIN_TOKEN, **header)
    as_admin = send(server, "GET", JOBS, **{"Impersonate-User": "kubernetes-admin"})

    assert 'User "bob" cannot list resource "jobs"' in as_bob.json()["message"]
    assert 'User "bob" cannot impersonate resource "users"' in as_admin.json()["message"]


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


def test_fault_answers_like_server_and_ends(server: KubernetesServer, faults: Faults) -> None:
    faults.add(Fault("kubernetes", r"POST .*/jobs", status=429, times=1))

    limited = send(server, "POST", JOBS, JOB, token=ADMIN_TOKEN)
    served = send(server, "POST", JOBS, JOB, token=ADMIN_TOKEN)

    assert (limited.status_code, limited.json()["reason"]) == (429, "TooManyRequests")
    assert limited.headers["Retry-After"] == "1"
    assert served.status_code == 201


def test_lost_answer_keeps_the_write(server: KubernetesServer, faults: Faults) -> None:
    faults.add(Fault("kubernetes", r"POST .*/jobs", status=503, applied=True, times=1))

    answer = send(server, "POST", JOBS, JOB, token=ADMIN_TOKEN)

    assert answer.status_code == 503
    assert server.api.read("jobs.batch", "warm", "prestream")["metadata"]["uid"]


def test_connection_can_be_cut(server: KubernetesServer, faults: Faults) -> None:
    faults.add(Fault("kubernetes", status=0, times=1))

    with pytest.raises(requests.ConnectionError):
        send(server, "GET", JOBS, token=ADMIN_TOKEN)

    assert send(server, "GET", JOBS, token=ADMIN_TOKEN).status_code == 200


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
