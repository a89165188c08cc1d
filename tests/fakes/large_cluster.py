"""An API server whose objects are as large as etcd takes them, and are made when they are read."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.http_servers import run_server

OBJECT_BYTES = 1_400_000
"""Etcd takes 1.5 MB."""

DEPLOYMENTS = "/apis/apps/v1/deployments"
PODS = "/api/v1/pods"

_GROUPS = {
    "groups": [
        {"name": name, "versions": [{"groupVersion": f"{name}/v1", "version": "v1"}]}
        for name in ("apps", "batch")
    ]
}
_NUMBER = b"000000"


def make_large_spec(*, images: int, variables: int) -> dict[str, Any]:
    """Return a pod spec of many small values, each of which costs much more memory than bytes."""
    keys = ("nvidia.com/gpu", "cloud.google.com/gke-spot")
    env = [{"name": f"A{number}", "value": "x"} for number in range(variables)]
    containers = [
        {"name": f"c{number}", "image": f"ghcr.io/team/app-NUMBER-{number}:1", "env": env}
        for number in range(images)
    ]
    return {
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "tolerations": [
            {"key": key, "value": f"NUMBER-{number}", "effect": "NoSchedule"}
            for key in keys
            for number in range(200)
        ],
        "containers": containers,
    }


def make_large_object(spec: Mapping[str, Any], **fields: Any) -> bytes:
    """Return an object of ``OBJECT_BYTES``; a number replaces each ``NUMBER`` when it is read."""
    metadata = {"name": "app-NUMBER", "namespace": "ml", "managedFields": [""]}
    body = {"metadata": metadata, **fields, "spec": spec}
    missing = OBJECT_BYTES - len(json.dumps(body))
    assert missing > 0
    metadata["managedFields"] = ["x" * missing]
    return json.dumps(body).replace("NUMBER", _NUMBER.decode()).encode()


class LargeCluster(ThreadingHTTPServer):
    """
    Serves lists by path, each of one object again and again.

    Args:
        lists: For each path, an object and their number.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, lists: Mapping[str, tuple[bytes, int]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lists = lists
        self.pages: list[tuple[str, int, int]] = []
        """The path, the first object and the number of objects of each page that was asked for."""

    def kubeconfig(self, context: str) -> dict[str, Any]:
        """Return a kubeconfig with one context."""
        address = f"http://127.0.0.1:{self.server_address[1]}"
        named = {"cluster": context, "user": context}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": {"server": address}}],
            "users": [{"name": context, "user": {"token": "any"}}],
            "contexts": [{"name": context, "context": named}],
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LargeCluster

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        # A client that has read enough closes the connection.
        with contextlib.suppress(OSError):
            if url.path == "/apis":
                self._send(200, json.dumps(_GROUPS).encode())
            elif "limit" not in query:
                self._send(404, b'{"kind": "Status", "reason": "NotFound", "message": "none"}')
            else:
                self._list(url.path, query)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # of the base class
        pass

    def _list(self, path: str, query: Mapping[str, str]) -> None:
        body, total = self.server.lists.get(path, (b"", 0))
        first = int(query.get("continue", 0))
        count = min(int(query["limit"]), total - first)
        self.server.pages.append((path, first, count))
        token = str(first + count) if first + count < total else ""
        head = b'{"metadata": {"continue": "%s"}, "items": [' % token.encode()
        self._begin(200, len(head) + count * (len(body) + 1) - (count > 0) + 2)
        self.wfile.write(head)
        for number in range(first, first + count):
            text = b"%0*d" % (len(_NUMBER), number)
            self.wfile.write(b"," * (number > first) + body.replace(_NUMBER, text))
        self.wfile.write(b"]}")

    def _send(self, status: int, content: bytes) -> None:
        self._begin(status, len(content))
        self.wfile.write(content)

    def _begin(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        self.end_headers()


@contextlib.contextmanager
def serve_large_cluster(lists: Mapping[str, tuple[bytes, int]]) -> Iterator[LargeCluster]:
    with run_server(LargeCluster(lists)) as server:
        yield server
