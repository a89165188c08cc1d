"""Watches of the embedded API server, over its socket and in the same process."""

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

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


def test_lists_and_watches_come_as_tables_on_request(server: KubernetesServer) -> None:
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


def test_stopped_server_ends_watches() -> None:
    server = KubernetesServer(Clock(), Faults()).start()
    response = watch(server, timeoutSeconds="600")
    events = events_of(response)
    assert next(events)[0] == "ADDED"

    server.stop()

    # The socket may be closed before the end of the stream is written.
    with contextlib.suppress(requests.exceptions.ChunkedEncodingError):
        assert list(events) == []
    response.close()


def test_watch_in_process_sees_all_resources_in_order(server: KubernetesServer) -> None:
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


def test_closed_watch_ends_iteration(server: KubernetesServer) -> None:
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


def test_watch_returns_copies(server: KubernetesServer) -> None:
    with server.api.watch("configmaps") as events:
        server.api.create("configmaps", config_map("a"), "default", user=USER)
        event = events.get(5)

    assert event is not None
    event[1]["metadata"]["name"] = "changed"

    assert server.api.read("configmaps", "a", "default")["metadata"]["name"] == "a"
