"""The Pub/Sub message inside a push delivery, in each form that it comes in."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.http import CloudEvent

from shared.domain.timestamp import parse_time
from shared.errors import InvalidEventError
from shared.messages.pubsub_message import PubsubMessage

ATTRIBUTES = {
    "id": "event-1",
    "source": "//pubsub.googleapis.com/projects/demo/topics/cloud-builds",
    "type": "google.cloud.pubsub.topic.v1.messagePublished",
    "specversion": "1.0",
}


def make_event(data: Any, **attributes: str) -> CloudEvent:
    return CloudEvent(ATTRIBUTES | attributes, data)


def parse(message: Any, **attributes: str) -> PubsubMessage:
    body = {"message": message, "subscription": "projects/demo/subscriptions/builds"}
    return PubsubMessage.from_cloud_event(make_event(body, **attributes))


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_message_is_read() -> None:
    message = parse(
        {
            "messageId": "42",
            "publishTime": "2026-01-02T03:04:05.678Z",
            "data": encode(b'{"image": "nginx"}'),
            "attributes": {"image": "nginx", "cause": "manual"},
        }
    )

    assert message == PubsubMessage(
        "42",
        datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        b'{"image": "nginx"}',
        {"image": "nginx", "cause": "manual"},
    )


def test_older_spelling_is_read_as_well() -> None:
    message = parse({"message_id": "42", "publish_time": "2026-01-02T03:04:05Z", "data": ""})

    assert message == PubsubMessage("42", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), b"")


def test_message_with_both_spellings_is_read_once() -> None:
    message = parse(
        {
            "messageId": "42",
            "message_id": "42",
            "publishTime": "2026-01-02T03:04:05Z",
            "publish_time": "2026-01-02T03:04:05Z",
        }
    )

    assert (message.message_id, message.data) == ("42", b"")


def test_event_supplies_missing_fields_of_the_message() -> None:
    message = parse({"data": encode(b"x")}, time="2026-01-02T03:04:05+01:00")

    assert message.message_id == "event-1"
    assert message.publish_time == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("kind", [str, bytes])
def test_body_that_the_framework_left_as_text_is_read(kind: type) -> None:
    text = json.dumps({"message": {"publishTime": "2026-01-02T03:04:05Z", "data": encode(b"x")}})
    body = text if kind is str else text.encode()

    assert PubsubMessage.from_cloud_event(make_event(body)).data == b"x"


def test_attributes_are_texts() -> None:
    message = parse({"publishTime": "2026-01-02T03:04:05Z", "attributes": {"n": 5, "t": True}})

    assert message.attributes == {"n": "5", "t": "True"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(None, "not a JSON object", id="nothing"),
        pytest.param([], "not a JSON object", id="list"),
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"{", "not JSON", id="cut"),
        pytest.param("text", "not JSON", id="text"),
        pytest.param("5", "not a JSON object", id="number"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep"),
        pytest.param({}, "no Pub/Sub message", id="no-message"),
        pytest.param({"message": None}, "no Pub/Sub message", id="null-message"),
        pytest.param({"message": "text"}, "no Pub/Sub message", id="text-message"),
    ],
)
def test_event_without_a_message_is_poison(body: Any, words: str) -> None:
    with pytest.raises(InvalidEventError, match=words):
        PubsubMessage.from_cloud_event(make_event(body))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param({"data": "not base64!"}, "not base64", id="base64"),
        pytest.param({"data": "eA"}, "not base64", id="padding"),
        pytest.param({"data": "é"}, "not base64", id="beyond-ascii"),
        pytest.param({"data": {"image": "nginx"}}, "not a string", id="object-as-data"),
        pytest.param({"data": 5}, "not a string", id="number-as-data"),
        pytest.param({"attributes": ["a"]}, "attributes", id="attributes-list"),
        pytest.param({"publishTime": "yesterday"}, "publish time: 'yesterday'", id="time"),
        pytest.param({"publishTime": 5}, "publish time: 5", id="number-as-time"),
        pytest.param({"publishTime": ["a"]}, "publish time", id="list-as-time"),
    ],
)
def test_message_that_cannot_be_read_is_poison(message: dict[str, Any], words: str) -> None:
    sound = {"messageId": "42", "publishTime": "2026-01-02T03:04:05Z", "data": ""}

    with pytest.raises(InvalidEventError, match=words):
        parse(sound | message)


def test_message_without_any_time_is_poison() -> None:
    # Without the attribute, the library sets the present time.
    with pytest.raises(InvalidEventError, match="no publish time"):
        parse({"messageId": "42"}, time="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), id="z"),
        pytest.param(
            "2026-01-02T03:04:05.1Z", datetime(2026, 1, 2, 3, 4, 5, 100000, tzinfo=UTC), id="tenth"
        ),
        pytest.param(
            "2026-01-02T03:04:05.123456789Z",
            datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC),
            id="nanoseconds",
        ),
        pytest.param(
            "2026-01-02T03:04:05-08:00", datetime(2026, 1, 2, 11, 4, 5, tzinfo=UTC), id="offset"
        ),
        pytest.param(
            "2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), id="no-zone"
        ),
    ],
)
def test_time_is_read_with_its_zone(text: str, expected: datetime) -> None:
    time = parse_time(text)

    assert time == expected
    assert time.tzinfo is not None


@pytest.mark.parametrize("text", ["", "now", "2026-13-01T00:00:00Z", "2026-01-02T25:00:00Z"])
def test_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)
