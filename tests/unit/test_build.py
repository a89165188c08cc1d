"""The pushed images in a message of Cloud Build."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.request import Cause
from shared.errors import InvalidEventError
from shared.messages.build import BuildNotification
from shared.messages.pubsub_message import PubsubMessage

D1 = "sha256:" + "1" * 64
D2 = "sha256:" + "2" * 64
APP = "us-central1-docker.pkg.dev/demo/apps/trainer"
NAME = "projects/42/locations/us-central1/builds/b-1"


def message(data: Any, **attributes: str) -> PubsubMessage:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return PubsubMessage("m-1", datetime(2026, 3, 2, tzinfo=UTC), raw, attributes)


def build(*images: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "b-1",
        "name": NAME,
        "status": "SUCCESS",
        "results": {"images": list(images)},
        **fields,
    }


def pushed(name: Any, digest: Any = D1) -> dict[str, Any]:
    return {"name": name, "digest": digest, "pushTiming": {"startTime": "x"}}


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param([pushed(f"{APP}:1")], [f"{APP}:1@{D1}"], id="tag-and-digest"),
        pytest.param([pushed(APP)], [f"{APP}@{D1}"], id="digest"),
        pytest.param([pushed(f"{APP}:1", None)], [f"{APP}:1"], id="tag-without-digest"),
        pytest.param([pushed(f"{APP}:1", "")], [f"{APP}:1"], id="empty-digest"),
        pytest.param([pushed(f"{APP}@{D2}", D1)], [f"{APP}@{D1}"], id="name-with-digest"),
        pytest.param([pushed(APP), pushed(f"{APP}:1")], [f"{APP}:1@{D1}"], id="listed-twice"),
        pytest.param(
            [pushed(f"{APP}:1"), pushed(f"{APP}:latest"), pushed(APP)],
            [f"{APP}:1@{D1}"],
            id="several-tags",
        ),
        pytest.param(
            [pushed(f"{APP}:1"), pushed(f"{APP}:2", D2)],
            [f"{APP}:1@{D1}", f"{APP}:2@{D2}"],
            id="two-digests",
        ),
        pytest.param(
            [pushed(f"{APP}:1"), pushed("gcr.io/demo/trainer:1")],
            [f"{APP}:1@{D1}", f"gcr.io/demo/trainer:1@{D1}"],
            id="two-repositories",
        ),
    ],
)
def test_each_pushed_digest_is_one_reference(images: list[Any], expected: list[str]) -> None:
    notification = BuildNotification.from_message(message(build(*images)))

    assert [request.image for request in notification.requests] == expected
    assert [str(request.reference) for request in notification.requests] == expected
    assert notification.invalid_images == 0


def test_request_of_a_build_has_a_cause_and_no_placement() -> None:
    notification = BuildNotification.from_message(message(build(pushed(APP))))

    (request,) = notification.requests

    assert request.cause == Cause("build", "b-1", NAME)
    assert (request.cluster, request.placement, request.platform) == (None, None, None)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"results": None}, id="null"),
        pytest.param({"results": {}}, id="empty"),
        pytest.param({"results": {"images": None}}, id="null-images"),
        pytest.param({"results": {"images": []}}, id="no-images"),
        pytest.param({"results": {"buildStepImages": [D1]}}, id="images-of-steps"),
    ],
)
def test_declared_image_is_not_a_pushed_one(fields: dict[str, Any]) -> None:
    declared = {"images": [f"{APP}:1"], "artifacts": {"images": [f"{APP}:1"]}}

    notification = BuildNotification.from_message(message(build(**declared, **fields)))

    assert notification.status == "SUCCESS"
    assert notification.pushed == ()


@pytest.mark.parametrize(
    "image",
    [
        pytest.param("text", id="text"),
        pytest.param(None, id="null"),
        pytest.param({}, id="empty"),
        pytest.param(pushed(None), id="no-name"),
        pytest.param(pushed(5), id="number"),
        pytest.param(pushed("http://example.com"), id="address"),
        pytest.param(pushed(APP, "sha256:short"), id="short-digest"),
        pytest.param(pushed(APP, 5), id="number-for-digest"),
    ],
)
def test_invalid_image_is_counted_and_the_others_are_kept(image: Any) -> None:
    notification = BuildNotification.from_message(message(build(image, pushed(APP))))

    assert [request.image for request in notification.requests] == [f"{APP}@{D1}"]
    assert notification.invalid_images == 1


def test_failed_build_is_known_by_its_status_attribute() -> None:
    notification = BuildNotification.from_message(
        message(b"not even JSON", status="FAILURE", buildId="b-1")
    )

    assert (notification.build_id, notification.status) == ("b-1", "FAILURE")
    assert notification.pushed == ()


@pytest.mark.parametrize("attributes", [{}, {"status": "SUCCESS"}, {"status": ""}], ids=repr)
def test_data_decides_where_the_attribute_does_not(attributes: dict[str, str]) -> None:
    notification = BuildNotification.from_message(
        message(build(status="INTERNAL_ERROR"), **attributes)
    )

    assert notification.status == "INTERNAL_ERROR"


def test_id_may_be_in_the_attributes_only() -> None:
    data = {"status": "SUCCESS", "results": {"images": [pushed(APP)]}}

    notification = BuildNotification.from_message(message(data, buildId="b-2"))

    assert notification.cause == Cause("build", "b-2", None)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "not a build", id="empty"),
        pytest.param(b"text", "not a build", id="text"),
        pytest.param(b"\xff\xfe", "not a build", id="binary"),
        pytest.param(b'{"status": "\xff"}', "not a build", id="not-utf-8"),
        pytest.param([], "object", id="list"),
        pytest.param(None, "object", id="null"),
        pytest.param({}, "status", id="no-fields"),
        pytest.param({"id": "b-1"}, "status", id="no-status"),
        pytest.param({"status": "SUCCESS"}, "it has no id", id="no-id"),
        pytest.param(build(status=5), r"\$\.status", id="status-is-a-number"),
        pytest.param(build(id=5), r"\$\.id", id="id-is-a-number"),
        pytest.param(build(results="x"), r"\$\.results", id="results-are-text"),
        pytest.param(build(results={"images": {}}), r"\$\.results\.images", id="images-no-list"),
        pytest.param(b'{"results": ' + b"[" * 100_000, "not a build", id="nested-without-end"),
    ],
)
def test_message_without_a_build_is_rejected(data: Any, problem: str) -> None:
    with pytest.raises(InvalidEventError, match=problem):
        BuildNotification.from_message(message(data))
