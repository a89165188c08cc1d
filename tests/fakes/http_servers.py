"""HTTP servers on the loopback, with TLS if they have a certificate."""

import base64
import contextlib
import datetime as dates
import ipaddress
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Server = TypeVar("Server", bound=socketserver.BaseServer)


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and what it signed for the loopback."""

    pem: str
    path: str
    context: ssl.SSLContext

    @property
    def encoded(self) -> str:
        return base64.b64encode(self.pem.encode()).decode()


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a cluster")])
    now = dates.datetime.now(dates.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dates.timedelta(days=1))
        .not_valid_after(now + dates.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    both = folder / f"{certificate.serial_number}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    both.write_text(private.decode() + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return Authority(pem, str(both), context)


class Answering(BaseHTTPRequestHandler):
    """Answers with an empty list or a redirect, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    server: "Asked"

    def do_GET(self) -> None:
        self._answer(b'{"items": []}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        number = len(self.server.asked) + 1
        answer = {"access_token": f"token-{number}", "expires_in": 3600, "token_type": "Bearer"}
        self._answer(json.dumps(answer).encode())

    def _answer(self, body: bytes) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        location = self.server.locations.pop(self.path, None)
        self.send_response(200 if location is None else 302)
        if location is not None:
            self.send_header("Location", location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class Asked(ThreadingHTTPServer):
    """A server on the loopback; TLS if it has a context."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[tuple[str, str | None]] = []
        self.locations: dict[str, str] = {}
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a handshake that the client broke off, which is what tests are about."""


class Scripted(socketserver.ThreadingTCPServer):
    """A server on the loopback that sends the bytes of a script, and counts them."""

    allow_reuse_address = True

    def __init__(self, script: Callable[[str], Iterable[bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Sending)
        self.script = script
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.paths: list[str] = []
        self.sent_bytes = 0


class _Sending(socketserver.StreamRequestHandler):
    server: Scripted

    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.server.paths.append(path)
        # The client may close the connection at any time.
        with contextlib.suppress(OSError):
            for part in self.server.script(path):
                self.connection.sendall(part)
                self.server.sent_bytes += len(part)


@contextlib.contextmanager
def serve(context: ssl.SSLContext | None = None) -> Iterator[Asked]:
    with run_server(Asked(context)) as server:
        yield server


@contextlib.contextmanager
def serve_script(script: Callable[[str], Iterable[bytes]]) -> Iterator[Scripted]:
    with run_server(Scripted(script)) as server:
        yield server


@contextlib.contextmanager
def run_server(server: Server) -> Iterator[Server]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
