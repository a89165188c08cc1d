"""The rate limit that a registry states beside a manifest."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.catalogue.image import Image
from shared.clients.registry import RegistryClient
from shared.domain.image_reference import parse_reference
from shared.domain.rate_limit import Allowance

pytestmark = pytest.mark.integration

MANIFEST = Image((300,), build="tool").manifests[0]
REFERENCE = parse_reference("us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/tool:1")


@contextmanager
def registry(headers: Mapping[str, str]) -> Iterator[RegistryClient]:
    """Serve one manifest, with some headers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", MANIFEST.media_type)
            self.send_header("Content-Length", str(len(MANIFEST.body)))
            self.end_headers()
            self.wfile.write(MANIFEST.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield RegistryClient(emulator_host=f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("headers", "allowance"),
    [
        pytest.param(
            {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"},
            Allowance(100, 76),
            id="docker-hub",
        ),
        pytest.param(
            {"RateLimit-Limit": "100", "RateLimit-Remaining": "0"}, Allowance(100, 0), id="letters"
        ),
        pytest.param({"ratelimit-limit": "100;w=21600"}, None, id="half"),
        pytest.param({}, None, id="silent"),
    ],
)
def test_manifest_comes_with_the_remaining_rate_limit(
    headers: Mapping[str, str], allowance: Allowance | None
) -> None:
    with registry(headers) as client:
        manifest = client.fetch_manifest(REFERENCE)

    assert manifest.digest == MANIFEST.digest
    assert manifest.allowance == allowance
