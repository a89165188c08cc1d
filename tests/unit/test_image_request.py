"""The message that asks for an image to be warm, as programs and people publish it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.image_reference import parse_reference
from shared.domain.placement import Placement
from shared.domain.request import Cause, ReferenceRequest
from shared.errors import InvalidEventError
from shared.messages.image_request import parse_reference_request
from shared.messages.pubsub_message import PubsubMessage

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"

FULL = {
    "image": "anyscale/ray-ml:2.7.0",
    "cluster": CLUSTER,
    "placement": {
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "tolerations": [],
    },
    "platform": "linux/amd64",
    "cause": {
        "kind": "audit_log",
        "id": "1k9v0jgf1a",
        "resource": "apps/v1/namespaces/ml/deployments/trainer",
    },
    "force": False,
}


def make_message(data: bytes, message_id: str = "1") -> PubsubMessage:
    return PubsubMessage(message_id, datetime(2026, 1, 1, tzinfo=UTC), data)


def parse(body: Any, message_id: str = "1") -> ReferenceRequest:
    return parse_reference_request(make_message(json.dumps(body).encode(), message_id))


def test_person_needs_to_name_the_image_only() -> None:
    request = parse({"image": "nginx"})

    assert request == ReferenceRequest("nginx", parse_reference("nginx"))
    assert request.cause == Cause("manual")
    assert request.overrides_rules


def test_full_message_is_read() -> None:
    request = parse(FULL)

    assert request == ReferenceRequest(
        image="anyscale/ray-ml:2.7.0",
        reference=parse_reference("docker.io/anyscale/ray-ml:2.7.0"),
        cluster=CLUSTER,
        placement=Placement.of({"cloud.google.com/gke-accelerator": "nvidia-l4"}),
        platform="linux/amd64",
        cause=Cause("audit_log", "1k9v0jgf1a", "apps/v1/namespaces/ml/deployments/trainer"),
    )


@pytest.mark.parametrize(
    "body",
    [
        FULL,
        {"image": "nginx", "force": True},
        {"image": "nginx", "cluster": CLUSTER, "fallbacks": [f"{CLUSTER}-2", f"{CLUSTER}-3"]},
    ],
)
def test_request_that_is_written_is_read_as_itself(body: dict[str, Any]) -> None:
    request = parse(body)

    assert parse(request.as_json()) == request


def test_full_request_is_written_as_it_was_read() -> None:
    assert parse(FULL).as_json() == FULL


def test_unset_field_is_not_written() -> None:
    assert parse({"image": "nginx"}).as_json() == {
        "image": "nginx",
        "cause": {"kind": "manual", "id": None, "resource": None},
        "force": False,
    }


def test_forced_request_keeps_the_id_of_its_first_message() -> None:
    asked = parse({"image": "nginx", "force": True})
    again = parse(asked.as_json(), message_id="message-2")

    assert asked.forced_by is not None
    assert again.forced_by == asked.forced_by


def test_only_a_forced_request_names_its_message() -> None:
    assert "forced_by" not in parse({"image": "nginx", "forced_by": "message-1"}).as_json()


def test_attributes_repeat_what_a_subscription_filters_by() -> None:
    assert parse(FULL).attributes == {"image": "anyscale/ray-ml:2.7.0", "cause": "audit_log"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"cause": {"kind": "push"}}, False, id="push"),
        pytest.param({"cause": {"kind": "push"}, "force": True}, True, id="forced-push"),
        pytest.param({"cause": {"kind": "manual"}}, True, id="manual"),
        pytest.param({"cause": {}}, True, id="cause-without-kind"),
        pytest.param({"cause": None}, True, id="no-cause"),
        pytest.param({"cause": {"kind": "schedule"}}, False, id="schedule"),
        pytest.param({"cause": {"kind": "build"}}, False, id="build"),
    ],
)
def test_person_overrides_the_rules(*, body: dict[str, Any], expected: bool) -> None:
    assert parse({"image": "nginx", **body}).overrides_rules is expected


def test_null_means_unset() -> None:
    request = parse({"image": "nginx", "cluster": None, "placement": None, "platform": None})

    assert request == parse({"image": "nginx"})


def test_fields_of_the_future_are_ignored() -> None:
    assert parse({"image": "nginx", "priority": 5, "cause": {"kind": "push", "by": "me"}}) == (
        ReferenceRequest("nginx", parse_reference("nginx"), cause=Cause("push"))
    )


def test_empty_placement_differs_from_a_missing_one() -> None:
    assert parse({"image": "nginx", "placement": {}}).placement == Placement()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param({}, "image", id="no-image"),
        pytest.param([], "object", id="list"),
        pytest.param(None, "object", id="null"),
        pytest.param("nginx", "object", id="text"),
        pytest.param({"image": None}, "image", id="null-image"),
        pytest.param({"image": ["nginx"]}, "image", id="list-image"),
        pytest.param({"image": ""}, "image reference: ''", id="empty-image"),
        pytest.param({"image": "nginx:"}, "invalid tag in image reference: 'nginx:'", id="tag"),
        pytest.param({"image": "nginx", "cluster": "gpu"}, "cluster", id="cluster-alone"),
        pytest.param(
            {"image": "nginx", "cluster": f"{CLUSTER}/nodePools/a"}, "cluster", id="node-pool"
        ),
        pytest.param({"image": "nginx", "cluster": 5}, "cluster", id="cluster-number"),
        pytest.param({"image": "nginx", "fallbacks": ["gpu"]}, "cluster", id="fallback-alone"),
        pytest.param({"image": "nginx", "fallbacks": CLUSTER}, "fallbacks", id="one-fallback"),
        pytest.param({"image": "nginx", "placement": "l4"}, "placement", id="placement"),
        pytest.param(
            {"image": "nginx", "placement": {"nodeSelector": {"a": 1}}}, "nodeSelector", id="label"
        ),
        pytest.param({"image": "nginx", "platform": "amd64"}, "platform", id="platform"),
        pytest.param({"image": "nginx", "platform": "linux/"}, "platform", id="platform-end"),
        pytest.param(
            {"image": "nginx", "platform": f"linux/{'a' * 33}"}, "platform", id="platform-long"
        ),
        pytest.param({"image": "nginx", "cause": {"kind": "rumour"}}, "rumour", id="cause-kind"),
        pytest.param({"image": "nginx", "cause": "push"}, "cause", id="cause-text"),
        pytest.param({"image": "nginx", "cause": {"id": 5}}, "cause", id="cause-id"),
        pytest.param({"image": "nginx", "cause": {"id": "i" * 4_097}}, "cause", id="cause-id-long"),
        pytest.param(
            {"image": "nginx", "cause": {"resource": "r" * 300_000}}, "cause", id="resource-long"
        ),
        pytest.param({"image": "nginx", "force": "yes"}, "force", id="force"),
    ],
)
def test_message_that_is_wrong_is_poison(body: Any, words: str) -> None:
    with pytest.raises(InvalidEventError, match=words):
        parse(body)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"nginx", id="text"),
        pytest.param(b'{"image": "nginx"', id="cut"),
        pytest.param(b'{"image": "ngin\xff"}', id="not-utf-8"),
        pytest.param(b"\xff\xfe", id="bytes"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"image": "nginx", "placement": ' + b"[" * 100_000, id="deep-inside"),
        pytest.param(b'{"image": "nginx"} {}', id="two-objects"),
    ],
)
def test_data_that_is_no_json_object_is_poison(data: bytes) -> None:
    with pytest.raises(InvalidEventError, match="not an image reference message"):
        parse_reference_request(make_message(data))


@pytest.mark.parametrize(
    "platform", ["linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64"]
)
def test_platform_is_read_with_its_variant(platform: str) -> None:
    assert parse({"image": "nginx", "platform": platform}).platform == platform
