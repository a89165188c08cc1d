"""The filter language of Pub/Sub subscriptions."""

import pytest

from sandbox.pubsub.subscription_filter import parse_subscription_filter

ATTRIBUTES = {"status": "SUCCESS", "iana.org/language_tag": "en", "empty": ""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "attributes:status",
        'attributes:"iana.org/language_tag"',
        'attributes.status = "SUCCESS"',
        'attributes.status="SUCCESS"',
        'attributes."iana.org/language_tag" = "en"',
        'attributes.status != "FAILURE"',
        'attributes.absent != "anything"',
        'hasPrefix(attributes.status, "SUC")',
        'hasPrefix(attributes.empty, "")',
        "NOT attributes:absent",
        "-attributes:absent",
        "attributes:status AND attributes:empty",
        "attributes:absent OR attributes:status",
        "attributes:status AND (attributes:absent OR attributes:empty)",
        "NOT (attributes:absent OR attributes:missing)",
        "NOT attributes:absent AND attributes:status",
        r'attributes.status != "a \"quoted\" one"',
    ],
)
def test_filter_passes_matching_messages(text: str) -> None:
    assert parse_subscription_filter(text)(ATTRIBUTES)


@pytest.mark.parametrize(
    "text",
    [
        "attributes:absent",
        'attributes.status = "success"',
        'attributes.Status = "SUCCESS"',
        'attributes.status != "SUCCESS"',
        'hasPrefix(attributes.status, "suc")',
        'hasPrefix(attributes.absent, "")',
        "NOT attributes:status",
        "attributes:status AND attributes:absent",
        "attributes:absent OR attributes:missing",
    ],
)
def test_filter_drops_other_messages(text: str) -> None:
    assert not parse_subscription_filter(text)(ATTRIBUTES)


@pytest.mark.parametrize(
    "text",
    [
        'status = "SUCCESS"',
        "attributes",
        "attributes.status",
        "attributes.status = SUCCESS",
        'attributes.status > "A"',
        'attributes.status : "A"',
        'attributes.a/b = "c"',
        'hasPrefix(attributes.status "S")',
        'hasPrefix(status, "S")',
        "attributes:a AND attributes:b OR attributes:c",
        "(attributes:a",
        "attributes:a)",
        "attributes:a attributes:b",
        "attributes:a and attributes:b",
        "attributes:a AND",
        'attributes.a = "open',
        'attributes.a = "\\q\\xzz"',
        f'attributes.a = "{"x" * 256}"',
    ],
)
def test_invalid_filter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="filter"):
        parse_subscription_filter(text)
