"""The limits of one exchange with a registry: time, bytes, and where a redirect may lead."""

import queue
import socket
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.clients import deadline
from shared.clients.deadline import EXCHANGE_S
from shared.clients.google_session import make_anonymous_session
from shared.clients.registry import RegistryClient
from shared.domain.image_reference import ImageReference, parse_reference
from shared.domain.manifest import OCI_MANIFEST, InvalidManifestError
from shared.errors import ManifestUnavailableError, TransientError
from tests.fakes.http_servers import Asked, Authority, make_authority, serve, serve_script
from tests.fakes.registry_answers import REFERENCE

pytestmark = pytest.mark.integration

MANIFEST = b'{"schemaVersion": 2, "layers": []}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
    OCI_MANIFEST.encode(),
    len(MANIFEST),
    MANIFEST,
)
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /v2/moved\r\n"
TOKEN = {"Authorization": "Bearer ours"}
MIB = 1024 * 1024
IN_TRANSIT_BYTES = 32 * MIB
"""More than the buffers of a connection hold."""

DRIPPED_BYTES = 6
"""Bytes of a header that arrive one by one; the clock advances at least a second for each."""


def test_body_of_a_redirect_is_not_read() -> None:
    def script(path: str) -> Iterator[bytes]:
        if path == "/v2/moved":
            yield ANSWER
            return
        yield REDIRECT + b"Content-Length: %d\r\n\r\n" % (300 * MIB)
        yield from (bytes(MIB) for _ in range(300))

    with serve_script(script) as server:
        RegistryClient(emulator_host=server.address).fetch_manifest(REFERENCE)

    assert server.paths == ["/v2/demo/apps/tool/manifests/1.0", "/v2/moved"]
    assert server.sent_bytes < IN_TRANSIT_BYTES


@pytest.mark.parametrize("status", [200, 404, 502])
def test_body_without_end_is_read_up_to_a_limit(status: int) -> None:
    def script(_: str) -> Iterator[bytes]:
        yield b"HTTP/1.1 %d Any\r\n\r\n" % status
        yield from (bytes(MIB) for _ in range(300))

    with serve_script(script) as server, pytest.raises(Exception, match=r"exceeds|404|502"):
        RegistryClient(emulator_host=server.address).fetch_manifest(REFERENCE)

    assert server.sent_bytes < IN_TRANSIT_BYTES


class Clock:
    """A clock that advances a second with each look, and lets a server send a byte."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bytes: queue.Queue[bytes] = queue.Queue()

    def monotonic(self) -> float:
        self.now += 1.0
        self.bytes.put(b"x")
        return self.now

    def drip(self) -> Iterator[bytes]:
        return iter(self.bytes.get, b"")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=clock.monotonic))
    yield clock
    clock.bytes.put(b"")


@pytest.mark.parametrize(
    "heads",
    [
        pytest.param([b"HTTP/1.1 200 "], id="status"),
        pytest.param([b"HTTP/1.1 200 OK\r\nX-Pad: "], id="header"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\n"], id="body"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n"], id="chunk"
        ),
        pytest.param([b"HTTP/1.1 500 Any\r\n\r\n"], id="error"),
        pytest.param([b"HTTP/1.1 302 Found\r\nX-Pad: "], id="header-of-redirect"),
        pytest.param([REDIRECT + b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"], id="body-after-redirect"),
    ],
)
def test_answer_that_drips_ends_with_the_exchange(clock: Clock, heads: list[bytes]) -> None:
    remaining = iter(heads)

    def script(_: str) -> Iterator[bytes]:
        head = next(remaining)
        yield head
        if head is heads[-1]:
            yield from clock.drip()

    with serve_script(script) as server:
        with pytest.raises(TransientError, match="tool") as caught:
            RegistryClient(emulator_host=server.address).fetch_manifest(REFERENCE)
        clock.bytes.put(b"")

    # A sweep counts a wait as a missing answer.
    assert not isinstance(caught.value, ManifestUnavailableError)
    # The looks: the beginning, two for each connection, and one for each read.
    assert EXCHANGE_S < clock.now < EXCHANGE_S + 3
    assert clock.bytes.qsize() < EXCHANGE_S


def test_chain_of_redirects_shares_the_time_of_the_exchange(clock: Clock) -> None:
    def script(_: str) -> Iterator[bytes]:
        yield REDIRECT + b"X-Pad: "
        yield from islice(clock.drip(), DRIPPED_BYTES)
        yield b"\r\n\r\n"

    with serve_script(script) as server:
        with pytest.raises(TransientError) as caught:
            RegistryClient(emulator_host=server.address).fetch_manifest(REFERENCE)
        clock.bytes.put(b"")

    # Each answer alone arrives in time.
    assert "redirects" not in str(caught.value)
    assert EXCHANGE_S < clock.now < EXCHANGE_S + 3
    assert 1 < len(server.paths) <= EXCHANGE_S / DRIPPED_BYTES + 1


# Where a redirect may lead.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
def registry_server(authority: Authority) -> Iterator[Asked]:
    with serve(authority.context) as server:
        yield server


@pytest.fixture
def other(authority: Authority) -> Iterator[Asked]:
    with serve(authority.context) as server:
        yield server


@pytest.fixture
def client(authority: Authority) -> RegistryClient:
    """Return the client of deployed functions, which trusts the authority of these servers."""
    client = RegistryClient()
    for name, headers in {"_session": TOKEN, "_anonymous_session": {}}.items():
        session = make_anonymous_session()
        session.trust_env = False
        session.verify = authority.path
        session.headers.update(headers)
        vars(client)[name] = session
    return client


def port_of(server: Asked) -> int:
    return int(server.server_address[1])


def reference_to(server: Asked) -> ImageReference:
    return parse_reference(f"localhost:{port_of(server)}/demo/apps/tool:1.0")


def redirect(server: Asked, location: str) -> None:
    server.locations["/v2/demo/apps/tool/manifests/1.0"] = location


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1:{port}/v2/other",
        "https://localhost:{port}/v2/other",
        "https://anyone@localhost:{port}/v2/other",
        "https://[::ffff:127.0.0.1]:{port}/v2/other",
        "https://2130706433:{port}/v2/other",
        "//localhost:{port}/v2/other",
        "http://localhost:{port}/v2/other",
        "http://8.8.8.8/v2/other",
        "ftp://8.8.8.8/v2/other",
        "https://[::1/v2/other",
        "https://localhost:999999/v2/other",
        "https://.invalid./v2/other",
    ],
)
def test_redirect_into_our_network_or_without_https_is_refused(
    client: RegistryClient, registry_server: Asked, other: Asked, location: str
) -> None:
    redirect(registry_server, location.format(port=port_of(other)))

    with pytest.raises(InvalidManifestError, match="redirects to"):
        client.fetch_manifest(reference_to(registry_server))

    assert len(registry_server.asked) == 1
    assert other.asked == []


def resolve(monkeypatch: pytest.MonkeyPatch, host: str, answers: list[list[str]]) -> None:
    """Let a host have these addresses, one answer after the other, and then its own."""
    own: Callable[..., Any] = socket.getaddrinfo

    def getaddrinfo(asked: str, port: int, *args: Any, **options: Any) -> Any:
        if asked != host or not answers:
            return own(asked, port, *args, **options)
        return [(0, socket.SOCK_STREAM, 6, "", (text, port)) for text in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["172.16.0.1"],
        ["192.168.0.1"],
        ["100.64.0.1"],
        ["169.254.169.254"],
        ["224.0.0.1"],
        ["::"],
        ["::1"],
        ["fe80::1%1"],
        ["fd20:ce::254"],
        ["::ffff:169.254.169.254"],
        ["8.8.8.8", "10.0.0.1"],
    ],
    ids=",".join,
)
def test_redirect_to_a_name_of_a_private_address_is_refused(
    client: RegistryClient,
    registry_server: Asked,
    monkeypatch: pytest.MonkeyPatch,
    addresses: list[str],
) -> None:
    redirect(registry_server, "https://elsewhere.invalid/v2/other")
    resolve(monkeypatch, "elsewhere.invalid", [addresses])

    with pytest.raises(InvalidManifestError, match="private address"):
        client.fetch_manifest(reference_to(registry_server))


def test_redirect_to_a_public_host_is_followed_without_our_token(
    client: RegistryClient,
    registry_server: Asked,
    other: Asked,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redirect(registry_server, f"https://127.0.0.1:{port_of(other)}/v2/other")
    resolve(monkeypatch, "127.0.0.1", [["8.8.8.8", "2001:4860:4860::8888"]])

    with pytest.raises(InvalidManifestError, match="layers"):
        client.fetch_manifest(reference_to(registry_server))

    assert registry_server.asked == [("/v2/demo/apps/tool/manifests/1.0", "Bearer ours")]
    assert other.asked == [("/v2/other", None)]


def test_host_that_moves_into_our_network_needs_a_certificate(
    client: RegistryClient,
    registry_server: Asked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve(make_authority(tmp_path).context) as internal:
        redirect(registry_server, f"https://127.0.0.1:{port_of(internal)}/v2/other")
        resolve(monkeypatch, "127.0.0.1", [["8.8.8.8"]])

        with pytest.raises(TransientError, match="certificate"):
            client.fetch_manifest(reference_to(registry_server))

        assert internal.asked == []


def test_redirect_within_the_registry_keeps_our_token(
    client: RegistryClient, registry_server: Asked
) -> None:
    redirect(registry_server, "/v2/moved")

    with pytest.raises(InvalidManifestError, match="layers"):
        client.fetch_manifest(reference_to(registry_server))

    assert [path for path, _ in registry_server.asked][1:] == ["/v2/moved"]
    assert {token for _, token in registry_server.asked} == {"Bearer ours"}
