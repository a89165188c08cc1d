"""Watches of the embedded API server, over its socket and in the same process."""

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
import requests

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.access import ADMIN_TOKEN
from sandbox.kubernetes.server import KubernetesServer

HEADERS = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
USER = "tester"


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    yield server
    server.stop()


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def events_of(response: requests.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in response.iter_lines():
        event = json.loads(line)
        yield event["type"], event["object"]


def watch(server: KubernetesServer, **query: Any) -> requests.Response:
    return requests.get(
        f"http://{server.address}/api/v1/namespaces/default/configmaps",
        params={"watch": "true", "timeoutSeconds": "1", **query},
        headers=HEADERS,
        stream=True,
        timeout=10,
    )


def test_a_watch_continues_from_a_list(server: KubernetesServer) -> None:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config_from_dict(
        server.kubeconfig("sandbox"), client_configuration=configuration
    )
    with kubernetes.client.ApiClient(configuration) as client:
        core: Any = kubernetes.client.CoreV1Api(client)
        listed = core.list_namespaced_config_map("default")
        core.create_namespaced_config_map("default", config_map("a"))
        core.patch_namespaced_config_map("a", "default", {"data": {"x": "y"}})
        core.delete_namespaced_config_map("a", "default")
        stream: Any = kubernetes.watch.Watch().stream(
            core.list_namespaced_config_map,
            "default",
            resource_version=listed.metadata.resource_version,
            timeout_seconds=1,
        )

        events = [(event["type"], event["object"].metadata.name) for event in stream]

    assert events == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_sends_what_happens_while_it_is_open(server: KubernetesServer) -> None:
    revision = server.api.create("configmaps", config_map("a"), "default", user=USER)["metadata"][
        "resourceVersion"
    ]
    with watch(server, resourceVersion=revision, timeoutSeconds="10") as response:
        events = events_of(response)

        server.api.create("configmaps", config_map("b"), "default", user=USER)

        kind, body = next(events)
    assert (kind, body["metadata"]["name"], body["kind"]) == ("ADDED", "b", "ConfigMap")


def test_what_ceases_to_match_a_selector_is_deleted_for_the_watch(server: KubernetesServer) -> None:
    made = server.api.create("configmaps", config_map("a", app="x"), "default", user=USER)
    server.api.create("configmaps", config_map("other"), "default", user=USER)
    for label in ("y", "x"):
        change = {"metadata": {"labels": {"app": label}}}
        server.api.patch("configmaps", "a", change, "default", user=USER)

    with watch(
        server, labelSelector="app=x", resourceVersion=made["metadata"]["resourceVersion"]
    ) as response:
        events = list(events_of(response))

    assert [(kind, body["metadata"]["labels"]["app"]) for kind, body in events] == [
        ("DELETED", "x"),
        ("ADDED", "x"),
    ]
    revisions = [int(body["metadata"]["resourceVersion"]) for _, body in events]
    assert revisions == sorted(set(revisions))


def test_a_watch_without_a_version_begins_with_the_present_state(server: KubernetesServer) -> None:
    server.api.create("configmaps", config_map("a"), "default", user=USER)

    with watch(server, fieldSelector="metadata.name=a") as response:
        events = list(events_of(response))

    assert [(kind, body["metadata"]["name"]) for kind, body in events] == [("ADDED", "a")]


def test_a_watch_list_ends_its_beginning_with_a_bookmark(server: KubernetesServer) -> None:
    query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    with watch(server, resourceVersionMatch="NotOlderThan", **query) as response:
        events = list(events_of(response))

    kind, body = events[-1]
    assert [one for one, _ in events] == ["ADDED", "BOOKMARK"]
    assert kind == "BOOKMARK"
    assert body["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_lists_and_watches_come_as_tables_to_who_asks_for_them(server: KubernetesServer) -> None:
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    url = f"http://{server.address}/api/v1/namespaces"
    query = {"fieldSelector": "metadata.name=default", "timeoutSeconds": "1"}

    listed = requests.get(url, params=query, headers=HEADERS | accept, timeout=10).json()
    with requests.get(
        url, params=query | {"watch": "1"}, headers=HEADERS | accept, stream=True, timeout=10
    ) as response:
        kind, watched = next(events_of(response))

    assert listed["kind"] == "Table"
    assert listed["rows"][0]["cells"][:2] == ["default", "Active"]
    assert (kind, watched["kind"]) == ("ADDED", "Table")
    assert watched["rows"][0]["object"]["metadata"]["name"] == "default"


def test_a_version_that_is_forgotten_is_gone(server: KubernetesServer) -> None:
    server.api.create("configmaps", config_map("a"), "default", user=USER)
    made = server.api.create("configmaps", config_map("b"), "default", user=USER)
    server.compact()
    old = str(int(made["metadata"]["resourceVersion"]) - 1)

    with watch(server, resourceVersion=old) as response:
        event = response.json()

    status = event["object"]
    assert event["type"] == "ERROR"
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith(f"too old resource version: {old} (")


def test_stopping_the_server_ends_its_watches() -> None:
    server = KubernetesServer(Clock(), Faults()).start()
    response = watch(server, timeoutSeconds="600")
    events = events_of(response)
    assert next(events)[0] == "ADDED"

    server.stop()

    # The socket may be closed before the end of the stream is written.
    with contextlib.suppress(requests.exceptions.ChunkedEncodingError):
        assert list(events) == []
    response.close()


def test_a_watch_in_process_sees_all_resources_in_order(server: KubernetesServer) -> None:
    with server.api.watch() as events:
        server.api.create("namespaces", {"metadata": {"name": "ml"}}, user=USER)
        server.api.create("configmaps", config_map("a"), "ml", user=USER)

        seen = [events.get(5) for _ in range(4)]

    assert [(one[0], one[1]["kind"], one[1]["metadata"]["name"]) for one in seen if one] == [
        ("ADDED", "Namespace", "ml"),
        ("ADDED", "ServiceAccount", "default"),
        ("ADDED", "ConfigMap", "kube-root-ca.crt"),
        ("ADDED", "ConfigMap", "a"),
    ]


def test_a_closed_watch_ends_who_iterates_over_it(server: KubernetesServer) -> None:
    events = server.api.watch("configmaps")
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()

    def collect() -> None:
        for _, body in events:
            seen.put(body["metadata"]["name"])

    reader = threading.Thread(target=collect)
    reader.start()
    server.api.create("configmaps", config_map("a"), "default", user=USER)
    assert seen.get(timeout=5) == "a"

    events.close()
    reader.join(5)

    assert not reader.is_alive()
    assert seen.empty()


def test_what_a_watch_hands_out_is_a_copy(server: KubernetesServer) -> None:
    with server.api.watch("configmaps") as events:
        server.api.create("configmaps", config_map("a"), "default", user=USER)
        event = events.get(5)

    assert event is not None
    event[1]["metadata"]["name"] = "changed"

    assert server.api.read("configmaps", "a", "default")["metadata"]["name"] == "a"
