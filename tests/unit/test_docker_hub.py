"""Requests to Docker Hub: anonymous, with a token for the repository, and never with our own."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pytest

from shared.clients.registry import RegistryClient
from shared.domain.image_reference import parse_reference
from shared.domain.manifest import OCI_MANIFEST, RegistryRefusalError
from shared.errors import ManifestUnavailableError

MANIFEST = b'{"schemaVersion": 2, "layers": []}'
TOKEN_URL = (
    "https://auth.docker.io/token?service=registry.docker.io&scope=repository:team/tool:pull"  # noqa: S105  # an address
)
MANIFEST_URL = "https://registry-1.docker.io/v2/team/tool/manifests/1.0"
TOOL = parse_reference("team/tool:1.0")


class Answer:
    """An answer, as ``requests`` gives it."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.status_code, self.headers, self.raw = status, headers, self
        self._body = BytesIO(body)

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read1(self, size: int, *, decode_content: bool) -> bytes:
        assert decode_content
        return self._body.read(size)


class Session:
    """A session with prepared answers; ``sent`` has the address and headers of each request."""

    def __init__(self, **token: Any) -> None:
        self.token: dict[str, Any] = {
            "status": 200,
            "body": b'{"token": "theirs"}',
            "headers": {},
        } | token
        self.sent: list[tuple[str, Mapping[str, str]]] = []

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, **_: Any) -> Answer:
        self.sent.append((url, dict(headers or {})))
        if url == TOKEN_URL:
            return Answer(**self.token)
        return Answer(200, MANIFEST, {"Content-Type": OCI_MANIFEST})


def make_client(session: Session) -> RegistryClient:
    """Return a client whose anonymous session is the given one; it has no session of its own."""
    client = RegistryClient()
    vars(client)["_anonymous_session"] = session
    vars(client)["_session"] = None
    return client


def test_manifest_is_fetched_with_a_token_for_its_repository() -> None:
    session = Session()

    manifest = make_client(session).fetch_manifest(TOOL)

    assert manifest.layers == ()
    (token, _), (url, headers) = session.sent
    assert (token, url) == (TOKEN_URL, MANIFEST_URL)
    assert headers["Authorization"] == "Bearer theirs"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param({"status": 503}, ManifestUnavailableError, id="unavailable"),
        pytest.param({"status": 429}, RegistryRefusalError, id="limited"),
        pytest.param({"body": b"<html>"}, ManifestUnavailableError, id="not-json"),
        pytest.param({"body": b"{}"}, ManifestUnavailableError, id="without-a-token"),
        pytest.param({"body": b'{"token": "a\\nb"}'}, ManifestUnavailableError, id="line-feed"),
    ],
)
def test_answer_without_a_token_fails(answer: dict[str, Any], error: type[Exception]) -> None:
    session = Session(**answer)

    with pytest.raises(error):
        make_client(session).fetch_manifest(TOOL)

    assert [url for url, _ in session.sent] == [TOKEN_URL]


def test_token_does_not_follow_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    get, moved = session.get, "https://cdn.example.com/manifest"

    def redirect(url: str, **options: Any) -> Answer:
        answer = get(url, **options)
        if url == MANIFEST_URL:
            return Answer(307, b"", {"Location": moved})
        return answer

    monkeypatch.setattr(session, "get", redirect)
    monkeypatch.setattr("shared.clients.registry._check_target", lambda _: None)

    make_client(session).fetch_manifest(TOOL)

    url, headers = session.sent[-1]
    assert (url, "Authorization" in headers) == (moved, False)
