"""
The API server answers recorded requests as recorded.

The same requests go to the recordings themselves, to the embedded API server, and to the cluster
of ``PRESTREAM_CONFORMANCE_KUBECONFIG``, which must be disposable.
"""

import copy
import json
import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
import yaml
from kubernetes import client, config

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.resources import find_kind
from sandbox.kubernetes.server import KubernetesServer
from tests.contract.kubernetes_recordings import (
    FOLDER,
    TOPICS,
    Answer,
    Values,
    compare,
    example,
    lengthen,
    read_topic,
    run_topic,
)

Body = dict[str, Any]

VARIABLE = "PRESTREAM_CONFORMANCE_KUBECONFIG"
MANIFESTS = Path(__file__).parents[2] / "infra" / "kubernetes"
ADMISSION = json.loads((FOLDER / "admission.json").read_text())
OPTED_IN = "golden-ml"
ADMIN = "admin@example.com"

UNUSED = "Prestream sets no such value"
UNSENT = "no client sends it"
EXACT = "no client lists the state at an exact version"
CONTROLLERS = "controllers write it; the tests of the sandbox's controllers cover it"
GRANTED = "recorded before the manifests granted namespaces, nodes, and all pods and events"
VERSIONED = "recorded before the manifests had a version"
OUT_OF_SCOPE: dict[str, dict[str, str]] = {
    "config-maps": {"get": "the recorded cluster had another proven mirror"},
    "delete": {
        "no-options-read": "the embedded server removes the orphan finalizer at once",
        "running-pods": CONTROLLERS,
        "collection-left": CONTROLLERS,
    },
    "discovery": {
        "apis": "the embedded server serves only the groups in use",
        "/apis/a*": "the embedded server serves only the resources in use",
        "aggregated": "clients fall back to the other form",
    },
    "events": {"new-api": "nothing reads events.k8s.io"},
    "invalid": {
        "name-dot": "a warning that nothing reads",
        "grace-negative": "a warning that nothing reads",
        "host-network*": "a warning that nothing reads",
        "pod-secrets-empty-name": "a warning that nothing reads",
        "field-twice-*": "no client writes a field twice",
        "body-nul": "no client sends a NUL",
        **dict.fromkeys(
            (
                "gpu-fraction",
                "gpu-request-only*",
                "empty-dir-size-negative",
                "volume-two-sources",
                "sub-path-above",
                "env-name-*",
                "port",
                "probe",
                "run-as-user-negative",
                "seccomp-*",
                "dns-policy",
                "completion-mode",
                "failure-policy-container",
                "failure-policy-zero",
                "failure-policy-condition-status",
                "managed-by",
                "pod-os",
                "pod-hostname",
            ),
            UNUSED,
        ),
    },
    "list": {
        "version-match-*": EXACT,
        "version-exact": EXACT,
        "version-old": EXACT,
        "send-initial-events-without-watch": UNSENT,
        "limit-text": UNSENT,
        "timeout-text": UNSENT,
        "version-future": UNSENT,
        "version-garbage": UNSENT,
        "version-negative": UNSENT,
        "one-as-*": "kubectl needs the first columns only, and no PartialObjectMetadata",
    },
    "objects": {
        "namespace": VERSIONED,
        "namespaces": VERSIONED,
        "node*": CONTROLLERS,
        "deployments-everywhere": CONTROLLERS,
        "cluster-role": GRANTED,
        "role": GRANTED,
    },
    "paging": {
        "version-too-old": EXACT,
        "with-version": "no client sends a version with a continue token",
    },
    "patch": {
        "ended-events": CONTROLLERS,
        "type-apply": "nothing uses server-side apply",
        "type-json-patch-bad": "nothing replaces an absent field",
    },
    "pod-security": {
        "windows-host-process": "no Windows nodes",
        "job-only-warns": "a warning that nothing reads",
        "job-events": CONTROLLERS,
        **dict.fromkeys(
            ("host-port", "app-armor", "se-linux", "proc-mount", "sysctls", "host-probe"), UNUSED
        ),
    },
    "protocol": {
        "accept-application": UNSENT,
        "accept-garbage": UNSENT,
        "accept-html": UNSENT,
        "accept-xml": UNSENT,
        "*version": "the version of the recorded build",
        "get-with-body": "the version of the recorded build",
        "impersonate-refused": "only administrators impersonate",
        "*-yaml": "kubectl and all other clients send and request JSON",
        "root": "no client reads the list of paths",
        "double-slash": UNSENT,
        "method-*": "no client sends other methods",
    },
    "quota": {"job-events": CONTROLLERS},
    "reviews": {
        "own-rules-*": "nothing asks for SelfSubjectRulesReview",
        "subject-none": "prestream doctor always names a user",
        "*-attributes": "prestream doctor always sends one kind of attributes",
        "who-am-i": "the time of a review is of no use",
    },
    "rights": {
        "pull-event-events-list-everywhere": GRANTED,
        "pull-event-nodes-list": GRANTED,
        "pull-event-pods-get": GRANTED,
        "pull-event-pods-list-everywhere": GRANTED,
        "scheduled-sweep-namespaces-list": GRANTED,
        "scheduled-sweep-nodes-list": GRANTED,
        "scheduled-sweep-namespaces-get": GRANTED,
    },
    "watch": {
        "bookmarks": "no client needs a bookmark on the way",
        "initial-events-no-match": UNSENT,
        "of-one": "clients watch one object by a field selector",
    },
}
"""Recorded exchanges that the embedded server need not reproduce, by topic, with the reason."""


class HttpServer:
    """The API server of a kubeconfig's current context."""

    def __init__(self, kubeconfig: Body, embedded: KubernetesServer | None = None) -> None:
        api = config.new_client_from_config_dict(copy.deepcopy(kubeconfig))
        settings = api.configuration
        self._embedded = embedded
        self._host = settings.host
        self._pool = api.rest_client.pool_manager
        self._credentials: dict[str, str] = {}
        api.update_params_for_auth(self._credentials, [], ["BearerToken"], "", "GET", None)
        self._anonymous = urllib3.PoolManager(ca_certs=settings.ssl_ca_cert)

    def send(
        self, method: str, path: str, user: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Send a request; all users but the administrator are impersonated."""
        is_anonymous = "Authorization" in headers or user == "nobody"
        sent = ({} if is_anonymous else self._credentials) | dict(headers)
        if user not in ("admin", "nobody"):
            sent |= {"Impersonate-User": user, "Impersonate-Group": "system:authenticated"}
        pool = self._anonymous if is_anonymous else self._pool
        where = urlsplit(self._host)
        url = f"{where.scheme}://{where.netloc.rpartition('@')[2]}{path}"
        answer = pool.request(method, url, body=body, headers=sent, redirect=False)
        text = answer.data.decode(errors="replace")
        shown = {name.lower(): answer.headers[name] for name in answer.headers}
        if "watch=" in path and answer.status == 200:
            events = [json.loads(line) for line in text.splitlines() if line]
            # A single event is recorded without a list around it.
            return Answer(200, shown, events if len(events) != 1 else events[0])
        try:
            return Answer(answer.status, shown, json.loads(text))
        except ValueError:
            return Answer(answer.status, shown, text)

    def compact(self) -> None:
        """Forget the history of the embedded server; a cluster is left to itself."""
        if self._embedded is not None:
            self._embedded.compact()


class RecordedServer:
    """Answers each request with its recorded answer."""

    def __init__(self, topic: str) -> None:
        self._exchanges = iter([each for each in read_topic(topic) if each.request])

    def send(
        self, _method: str, _path: str, _user: str, _headers: Mapping[str, str], _body: bytes | None
    ) -> Answer:
        """Return the next answer, with a value for each placeholder."""
        exchange = next(self._exchanges)
        if exchange.answer is None:
            kept = {path.rpartition(".")[2]: example(text) for path, text in exchange.kept.items()}
            return Answer(200, {}, {"metadata": kept})
        body = json.loads(example(json.dumps(exchange.answer.body)))
        return Answer(exchange.answer.status, exchange.answer.headers, body)

    def compact(self) -> None:
        """Do nothing."""


def read_manifests() -> Iterator[Body]:
    files = [*sorted(MANIFESTS.glob("base/*.yaml")), *sorted(MANIFESTS.glob("rewriting/*.yaml"))]
    bodies = [
        body
        for file in files
        for body in yaml.safe_load_all(file.read_text().replace("PROJECT_ID", "demo"))
        if body and body["kind"] != "Kustomization"
    ]
    return iter(sorted(bodies, key=lambda body: body["kind"] != "Namespace"))


@pytest.fixture
def embedded() -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    for body in read_manifests():
        resource = find_kind(body["apiVersion"], body["kind"])
        assert resource is not None
        server.api.create(resource.key, body, user=ADMIN)
    yield server
    server.stop()


def in_scope(topic: str, name: str) -> bool:
    return not any(fnmatch(name, pattern) for pattern in OUT_OF_SCOPE.get(topic, {}))


@pytest.mark.parametrize("topic", TOPICS)
def test_embedded_server_answers_as_recorded(topic: str, embedded: KubernetesServer) -> None:
    differences = run_topic(topic, HttpServer(embedded.kubeconfig("embedded"), embedded))

    assert {name: each for name, each in differences.items() if in_scope(topic, name)} == {}
    for pattern in OUT_OF_SCOPE.get(topic, {}):
        assert any(fnmatch(name, pattern) for name in differences), f"{pattern} is in scope by now"


@pytest.mark.parametrize("topic", TOPICS)
def test_recordings_agree_with_themselves(topic: str) -> None:
    assert run_topic(topic, RecordedServer(topic)) == {}


RECORDED = Answer(
    409,
    {"retry-after": "1"},
    {"code": 409, "message": "no {uid:1}", "items": ["{uid:1}"], "details": {"kind": "jobs"}},
)
UID = "11111111-2222-3333-4444-555555555555"
SAME: Body = {"code": 409, "message": f"no {UID}", "items": [UID], "details": {"kind": "jobs"}}


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        pytest.param(Answer(409, {"retry-after": "1"}, SAME), 0, id="same"),
        pytest.param(Answer(404, {"retry-after": "1"}, SAME), 1, id="status"),
        pytest.param(Answer(409, {}, SAME), 1, id="header"),
        pytest.param(Answer(409, {"retry-after": "1"}, SAME | {"code": 410}), 1, id="number"),
        pytest.param(Answer(409, {"retry-after": "1"}, SAME | {"message": "x"}), 1, id="text"),
        pytest.param(Answer(409, {"retry-after": "1"}, SAME | {"items": []}), 1, id="items"),
        pytest.param(Answer(409, {"retry-after": "1"}, SAME | {"more": 1}), 1, id="added"),
        pytest.param(Answer(409, {"retry-after": "1"}, SAME | {"details": None}), 1, id="absent"),
        pytest.param(
            Answer(409, {"retry-after": "1"}, SAME | {"items": [UID.replace("1", "2")]}),
            1,
            id="another-uid",
        ),
    ],
)
def test_comparison_finds_difference(actual: Answer, expected: int) -> None:
    assert len(list(compare(RECORDED, actual, Values()))) == expected


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"needs {VARIABLE}: a disposable cluster")
@pytest.mark.parametrize("topic", TOPICS)
def test_cluster_answers_as_recorded(topic: str) -> None:
    kubeconfig = yaml.safe_load(Path(os.environ[VARIABLE]).read_text())
    api = config.new_client_from_config_dict(copy.deepcopy(kubeconfig))
    jobs = client.BatchV1Api(api)
    jobs.delete_collection_namespaced_job("prestream", propagation_policy="Background")

    differences = run_topic(topic, HttpServer(kubeconfig))

    assert {name: each for name, each in differences.items() if in_scope(topic, name)} == {}


POLICY_OUT_OF_SCOPE = {
    "own-around:*": "its steps are not recorded; the binding has a test of its own",
    "own-image:nul": "the evaluator ends a text at a NUL",
    "own-pod:static": "only kubelets create the pods of static pods",
    "own-pod:secrets-of-account*": "the account is not recorded",
    "own-pod:containers-*": "the pod is recorded in short; it is about the cost budget",
    "own-pod:same-image-*": "the pod is recorded in short; it is about the cost budget",
    "own-table:hundred-patterns-each": "the table is recorded in short",
}
"""Recorded cases of the policy that the embedded server need not reproduce, with the reason."""
CREATED = [
    case
    for case in ADMISSION["cases"]
    if case["operation"] == "create"
    and not any(fnmatch(case["name"], pattern) for pattern in POLICY_OUT_OF_SCOPE)
]


@pytest.fixture(scope="module")
def rewriting() -> Iterator[HttpServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    for body in read_manifests():
        resource = find_kind(body["apiVersion"], body["kind"])
        assert resource is not None
        server.api.create(resource.key, body, user=ADMIN)
    for case in CREATED:
        labels = {"prestream.dev/rewrite": "enabled"}
        name = case.get("namespace", OPTED_IN)
        if not any(one["metadata"]["name"] == name for one in server.api.list("namespaces")):
            body = {"metadata": {"name": name, "labels": labels if name == OPTED_IN else {}}}
            server.api.create("namespaces", body, user=ADMIN)
    yield HttpServer(server.kubeconfig("embedded"))
    server.stop()


def test_policy_changes_pods_as_recorded(rewriting: HttpServer) -> None:
    """One test for all cases: each only sends a request with ``dryRun=All``."""
    table, wrong = "", []
    for case in CREATED:
        if case["table"] != table:
            table = case["table"]
            set_table(rewriting, ADMISSION["tables"][table])
        path = f"/api/v1/namespaces/{case.get('namespace', OPTED_IN)}/pods?dryRun=All"
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        body = json.dumps(lengthen(case["sent"])).encode()
        answer = rewriting.send("POST", path, "admin", headers, body)
        if answer.status != case["status"] or not is_as_recorded(answer, case):
            wrong.append((case["name"], answer.status, answer.body.get("message")))

    assert wrong == []


def set_table(server: HttpServer, data: dict[str, str] | None) -> None:
    path = "/api/v1/namespaces/prestream/configmaps/proven-mirrors"
    body = server.send("GET", path, "admin", {}, None).body
    body.pop("data", None)
    body |= {} if data is None else {"data": lengthen(data)}
    headers = {"Content-Type": "application/json"}
    answer = server.send("PUT", path, "admin", headers, json.dumps(body).encode())
    assert answer.status == 200, answer.body


def is_as_recorded(answer: Answer, case: Body) -> bool:
    if case["status"] != 201:
        return True
    annotations = answer.body["metadata"].get("annotations", {})
    ours = {key: text for key, text in annotations.items() if key.startswith("prestream.dev/")}
    recorded = lengthen(case["annotations"])
    recorded = {key: text for key, text in recorded.items() if key.startswith("prestream.dev/")}
    return images(answer.body) == lengthen(case["images"]) and ours == recorded


def images(pod: Body) -> dict[str, str]:
    spec, found = pod["spec"], {}
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field, ())):
            found[f"/spec/{field}/{index}/image"] = container["image"]
    for index, volume in enumerate(spec.get("volumes", ())):
        if "image" in volume:
            found[f"/spec/volumes/{index}/image/reference"] = volume["image"]["reference"]
    return found
