"""Requests to a registry: hosts, redirects, and the function's identity."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.clients.registry import RegistryClient
from shared.domain.manifest import (
    ACCEPT,
    RegistryRefusalError,
)
from shared.errors import ConfigurationError, TransientError
from tests.fakes.registry_answers import REFERENCE, Answers

pytestmark = pytest.mark.integration


def test_request_accepts_indexes_and_manifests_and_names_the_host(
    answers: Answers, registry: RegistryClient
) -> None:
    answers.manifest()

    registry.fetch_manifest(REFERENCE)

    ((path, headers),) = answers.requests
    assert path == "demo/apps/tool/manifests/1.0"
    assert headers["Host"] == "us-docker.pkg.dev"
    assert headers["Accept"] == ACCEPT
    assert set(ACCEPT.split(", ")) == {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param(socket.EAI_NONAME, RegistryRefusalError, id="there-is-no-such-host"),
        pytest.param(socket.EAI_AGAIN, TransientError, id="no-resolver-answers"),
    ],
)
def test_host_that_does_not_exist_is_the_image_s_fault(
    monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, "cannot resolve")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    with pytest.raises(expected):
        RegistryClient(emulator_host="nowhere.invalid:80").fetch_manifest(REFERENCE)


def test_redirect_does_not_carry_our_token_to_another_host(
    answers: Answers, registry: RegistryClient
) -> None:
    other = Answers()
    session = requests.Session()
    session.headers["Authorization"] = "Bearer ours"
    vars(registry)["_session"] = session
    answers.status = 302
    answers.headers = {"Location": f"http://{other.server.address}/v2/elsewhere"}
    other.manifest()

    registry.fetch_manifest(REFERENCE)
    other.server.stop()

    ((_, asked),) = answers.requests
    ((_, redirected),) = other.requests
    assert asked["Authorization"] == "Bearer ours"
    assert "Authorization" not in redirected


def test_redirects_without_end_are_not_followed_for_ever(
    answers: Answers, registry: RegistryClient
) -> None:
    answers.status = 302
    answers.headers = {"Location": "/v2/again"}

    with pytest.raises(TransientError, match="redirects"):
        registry.fetch_manifest(REFERENCE)

    assert len(answers.requests) <= 31


@pytest.fixture
def key_file(tmp_path: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the key of a service account whose tokens ``answers`` gives, and make it our own."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    content = {
        "type": "service_account",
        "client_email": "prestream@demo.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "token_uri": f"http://{answers.server.address}/token",
    }
    path = tmp_path / "key.json"
    path.write_text(json.dumps(content))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return path


@pytest.mark.usefixtures("key_file")
def test_token_that_is_refused_is_the_deployment_s_fault(answers: Answers) -> None:
    answers.status = 400
    answers.body = json.dumps({"error": "invalid_grant", "error_description": "unknown account"})

    with pytest.raises(ConfigurationError, match="unknown account"):
        RegistryClient().fetch_manifest(REFERENCE)


@pytest.mark.usefixtures("key_file")
def test_token_server_that_is_gone_is_the_world_s_fault(answers: Answers) -> None:
    answers.server.stop()

    with pytest.raises(TransientError, match="us-docker"):
        RegistryClient().fetch_manifest(REFERENCE)


def test_credentials_that_are_not_there_are_the_deployment_s_fault(key_file: Path) -> None:
    key_file.unlink()

    with pytest.raises(ConfigurationError, match="find the function's credentials"):
        RegistryClient().fetch_manifest(REFERENCE)
