"""The messages of Artifact Registry."""

import json
from datetime import UTC, datetime

import pytest

from shared.errors import InvalidEventError
from shared.messages.pubsub_message import PubsubMessage
from shared.messages.registry_push import RegistryPush

DIGEST = "sha256:" + "a" * 64
IMAGE = "us-central1-docker.pkg.dev/demo/apps/trainer"


def push(**fields: object) -> RegistryPush:
    data = json.dumps(fields).encode()
    return RegistryPush.from_message(PubsubMessage("42", datetime(2026, 1, 1, tzinfo=UTC), data))


def test_tagged_push_asks_for_the_tag_at_its_digest() -> None:
    request = push(action="INSERT", digest=f"{IMAGE}@{DIGEST}", tag=f"{IMAGE}:v1").request

    assert request is not None
    assert request.image == f"{IMAGE}:v1@{DIGEST}"
    assert request.cause.as_json() == {"kind": "push", "id": "42", "resource": request.image}


def test_tag_without_a_digest_is_requested_by_tag() -> None:
    request = push(action="INSERT", tag=f"{IMAGE}:v1").request

    assert request is not None
    assert str(request.reference) == f"{IMAGE}:v1"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"action": "INSERT", "digest": f"{IMAGE}@{DIGEST}"}, id="no-tag"),
        pytest.param({"action": "DELETE", "tag": f"{IMAGE}:v1"}, id="deleted"),
    ],
)
def test_message_is_ignored(fields: dict[str, object]) -> None:
    assert push(**fields).request is None


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
def test_attachment_of_an_image_is_not_an_image(suffix: str) -> None:
    tag = f"{IMAGE}:sha256-{'a' * 64}{suffix}"

    assert push(action="INSERT", digest=f"{IMAGE}@{DIGEST}", tag=tag).is_attachment


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="no-action"),
        pytest.param(b'{"action": 1}', id="odd-action"),
        pytest.param(b'{"action": "INSERT", "tag": "UPPER/:"}', id="no-reference"),
        pytest.param(b'{"action": "INSERT", "tag": "a/b:c", "digest": "a/b@x"}', id="no-digest"),
        pytest.param(b"\xff", id="not-utf-8"),
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_poison_is_refused(data: bytes) -> None:
    message = PubsubMessage("42", datetime(2026, 1, 1, tzinfo=UTC), data)

    with pytest.raises(InvalidEventError):
        RegistryPush.from_message(message)
