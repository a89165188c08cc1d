"""A registry that answers as a test configures it."""

import hashlib
import json
from typing import Any

import flask

from sandbox.http_service import HttpServer
from shared.domain.image_reference import Digest, parse_reference
from shared.domain.manifest import (
    OCI_MANIFEST,
)


class Answers:
    """The answer of a registry to each request for a manifest."""

    def __init__(self) -> None:
        self.body: Any = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        app = flask.Flask(__name__)
        app.get("/v2/<path:rest>")(self._answer)
        app.post("/<path:rest>")(self._answer)
        self.server = HttpServer(app).start()

    def manifest(self, **content: Any) -> bytes:
        layers = [{"digest": f"sha256:{'1' * 64}", "size": 7}]
        self.body = json.dumps({"schemaVersion": 2, "layers": layers, **content}).encode()
        self.headers = {"Content-Type": OCI_MANIFEST}
        return self.body  # type: ignore[no-any-return]

    def error(self, status: int, code: str, message: str, **headers: str) -> None:
        self.status = status
        self.body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def _answer(self, rest: str) -> flask.Response:
        self.requests.append((rest, dict(flask.request.headers)))
        return flask.Response(self.body, self.status, self.headers)


REFERENCE = parse_reference("us-docker.pkg.dev/demo/apps/tool:1.0")


def digest_of(body: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}")
