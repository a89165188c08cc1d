"""The function registry_push through the real framework: which pushes become references."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.domain.request import ReferenceRequest
from shared.errors import TransientError
from tests.fakes.recorded_events import load_event
from tests.fakes.served_functions import Line, ServedFunction, served

TRAINER = "europe-west4-docker.pkg.dev/starling-lab/vision/trainer"
DIGEST = "sha256:" + "6ec1" * 16


class Publisher:
    def __init__(self) -> None:
        self.published: list[ReferenceRequest] = []
        self.error: Exception | None = None

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        if self.error is not None:
            raise self.error
        self.published += requests


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def project() -> str:
    return "starling-lab"


@pytest.fixture
def function(config: Path, publisher: Publisher) -> Iterator[ServedFunction]:
    del config
    with served("registry_push", publisher=lambda: publisher) as function:
        yield function


def payload(name: str) -> Any:
    return load_event(name)


@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_tagged_push_is_published_at_its_digest(
    function: ServedFunction, publisher: Publisher, line: Line, form: str
) -> None:
    status = getattr(function, form)(payload("push-insert-tagged"), messageId="m-7")

    (request,) = publisher.published
    image = f"{TRAINER}:2026-11@{DIGEST}"
    assert status == 200
    assert request.as_json() == {
        "image": image,
        "cause": {"kind": "push", "id": "m-7", "resource": image},
        "force": False,
    }
    assert (said := line())["disposition"] == "handled"
    assert said["published"] == [image]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("push-insert-untagged", "what was pushed has no tag"),
        ("push-delete-tag", "nothing was pushed"),
        ("push-delete-digest", "nothing was pushed"),
        ("push-signature", "what was pushed is a signature or the like"),
        ("push-into-mirror", "our own mirror fetched it, because somebody pulls it"),
    ],
)
def test_all_else_is_ignored_with_a_reason(
    function: ServedFunction, publisher: Publisher, line: Line, name: str, reason: str
) -> None:
    assert function.push(payload(name)) == 200

    assert publisher.published == []
    assert (said := line())["disposition"] == "ignored"
    assert said["reason"] == reason


def test_the_patterns_of_the_configuration_hold(
    config: Path, function: ServedFunction, publisher: Publisher, line: Line
) -> None:
    config.write_text("exclude: ['*/vision/*']")

    assert function.push(payload("push-insert-tagged")) == 200

    assert publisher.published == []
    assert "excluded" in line()["reason"]


def test_a_push_of_yesterday_is_too_old(
    function: ServedFunction, publisher: Publisher, line: Line
) -> None:
    old = (datetime.now(UTC) - timedelta(hours=25)).isoformat()

    assert function.push(payload("push-insert-tagged"), publishTime=old) == 200

    assert publisher.published == []
    assert line()["disposition"] == "ignored"


@pytest.mark.parametrize("data", [b"", b"no JSON", b"{}", {"action": "INSERT", "tag": "A:B:C"}])
def test_poison_is_acknowledged(
    function: ServedFunction, publisher: Publisher, line: Line, data: Any
) -> None:
    assert function.push(data) == 200

    assert publisher.published == []
    assert line()["disposition"] == "rejected"


def test_failed_publish_is_redelivered(
    function: ServedFunction, publisher: Publisher, line: Line
) -> None:
    publisher.error = TransientError("no answer")

    assert function.push(payload("push-insert-tagged")) == 503

    assert line()["disposition"] == "deferred"


def test_settings_that_are_wrong_keep_the_message(
    config: Path, function: ServedFunction, line: Line
) -> None:
    config.write_text("excludes: []")

    assert function.push(payload("push-insert-tagged")) == 503

    assert line()["disposition"] == "blocked"
