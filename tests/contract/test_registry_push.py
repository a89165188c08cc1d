"""The function registry_push through the real framework: which pushes become references."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.publishers import FakePublisher
from tests.fakes.recorded_events import load_event
from tests.fakes.served_functions import Line, ServedFunction, served

TRAINER = "europe-west4-docker.pkg.dev/starling-lab/vision/trainer"
DIGEST = "sha256:" + "6ec1" * 16


@pytest.fixture
def project() -> str:
    return "starling-lab"


@pytest.fixture
def function(config: Path, publisher: FakePublisher) -> Iterator[ServedFunction]:
    del config
    with served("registry_push", publisher=lambda: publisher) as function:
        yield function


@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_tagged_push_is_published_at_its_digest(
    function: ServedFunction, publisher: FakePublisher, line: Line, form: str
) -> None:
    status = getattr(function, form)(load_event("push-insert-tagged"), messageId="m-7")

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
def test_other_messages_are_ignored_with_a_reason(
    function: ServedFunction, publisher: FakePublisher, line: Line, name: str, reason: str
) -> None:
    assert function.push(load_event(name)) == 200

    assert publisher.published == []
    assert (said := line())["disposition"] == "ignored"
    assert said["reason"] == reason


def test_patterns_of_the_configuration_hold(
    config: Path, function: ServedFunction, publisher: FakePublisher, line: Line
) -> None:
    config.write_text("exclude: ['*/vision/*']")

    assert function.push(load_event("push-insert-tagged")) == 200

    assert publisher.published == []
    assert "excluded" in line()["reason"]


def test_push_of_yesterday_is_too_old(
    function: ServedFunction, publisher: FakePublisher, line: Line
) -> None:
    old = (datetime.now(UTC) - timedelta(hours=25)).isoformat()

    assert function.push(load_event("push-insert-tagged"), publishTime=old) == 200

    assert publisher.published == []
    assert line()["disposition"] == "ignored"


@pytest.mark.parametrize("data", [b"", b"no JSON", b"{}", {"action": "INSERT", "tag": "A:B:C"}])
def test_poison_is_acknowledged(
    function: ServedFunction, publisher: FakePublisher, line: Line, data: Any
) -> None:
    assert function.push(data) == 200

    assert publisher.published == []
    assert line()["disposition"] == "rejected"
