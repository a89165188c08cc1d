"""What is published of the requests of one message, and how its outcome tells of it."""

from collections.abc import Sequence

import pytest

from shared.domain.disposition import Outcome
from shared.domain.image_reference import parse_reference
from shared.domain.image_selection import Selection
from shared.domain.placement import Placement
from shared.domain.request import Cause, ReferenceRequest
from shared.errors import TransientError
from shared.pipeline.announce import Announcer, Publisher

L4 = Placement.of({"cloud.google.com/gke-accelerator": "nvidia-l4"})
T4 = Placement.of({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"})
BUILD = Cause("build", "b-1")


class RecordingPublisher:
    def __init__(self) -> None:
        self.made = 0
        self.published: list[list[ReferenceRequest]] = []

    def make(self) -> Publisher:
        self.made += 1
        return self

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        self.published.append(list(requests))


class BrokenPublisher:
    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        raise TransientError(f"cannot publish {len(requests)} references")


def request(
    image: str,
    *,
    placement: Placement | None = None,
    platform: str | None = None,
    cause: Cause = BUILD,
    force: bool = False,
) -> ReferenceRequest:
    return ReferenceRequest(
        image=image,
        reference=parse_reference(image),
        placement=placement,
        platform=platform,
        cause=cause,
        force=force,
    )


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


def test_all_requests_of_a_message_are_published_together(publisher: RecordingPublisher) -> None:
    requests = [request("nginx"), request("redis:7")]

    outcome = Announcer(publisher.make, Selection()).announce(requests, cluster="c")

    assert publisher.published == [requests]
    assert outcome == Outcome(
        "handled",
        {"cluster": "c", "published": ["nginx", "redis:7"], "invalid_images": 0, "excluded": 0},
    )


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        pytest.param([request("nginx"), request("nginx")], 1, id="same"),
        pytest.param(
            [request("nginx"), request("docker.io/library/nginx:latest")], 1, id="same-reference"
        ),
        pytest.param([request("nginx"), request("nginx:1")], 2, id="another-tag"),
        pytest.param(
            [request("nginx", placement=L4), request("nginx", placement=L4)], 1, id="same-placement"
        ),
        pytest.param(
            [request("nginx", placement=L4), request("nginx", placement=T4), request("nginx")],
            3,
            id="another-placement",
        ),
        pytest.param(
            [request("nginx", platform="linux/arm64"), request("nginx", platform="linux/amd64")],
            2,
            id="another-platform",
        ),
    ],
)
def test_each_distinct_request_is_published_once(
    publisher: RecordingPublisher, requests: list[ReferenceRequest], expected: int
) -> None:
    Announcer(publisher.make, Selection()).announce(requests)

    (published,) = publisher.published
    assert len(published) == expected
    assert published[0] is requests[0]


def test_what_the_patterns_exclude_is_counted_and_not_published(
    publisher: RecordingPublisher,
) -> None:
    rules = Selection(exclude=("*/library/*",))
    requests = [request("nginx"), request("nginx"), request("redis"), request("a/b")]

    outcome = Announcer(publisher.make, rules).announce(requests, invalid_images=3)

    assert publisher.published == [[requests[3]]]
    assert outcome.details == {"published": ["a/b"], "invalid_images": 3, "excluded": 2}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request("nginx", cause=Cause("manual")), id="manual"),
        pytest.param(request("nginx", force=True), id="forced"),
    ],
)
def test_a_person_is_not_held_by_the_patterns(
    publisher: RecordingPublisher, asked: ReferenceRequest
) -> None:
    outcome = Announcer(publisher.make, Selection(include=())).announce([asked])

    assert publisher.published == [[asked]]
    assert outcome.disposition == "handled"


@pytest.mark.parametrize(
    ("requests", "invalid_images", "reason"),
    [
        pytest.param([], 0, "there is no image", id="none"),
        pytest.param([], 2, "no image is a valid reference", id="invalid"),
        pytest.param(
            [request("nginx")],
            2,
            "every image is excluded by the include and exclude patterns",
            id="excluded",
        ),
    ],
)
def test_with_nothing_to_publish_no_publisher_is_made(
    publisher: RecordingPublisher,
    requests: list[ReferenceRequest],
    invalid_images: int,
    reason: str,
) -> None:
    rules = Selection(exclude=("*",))

    outcome = Announcer(publisher.make, rules).announce(
        requests, invalid_images=invalid_images, status="SUCCESS"
    )

    assert publisher.made == 0
    assert outcome == Outcome(
        "ignored",
        {
            "reason": reason,
            "status": "SUCCESS",
            "invalid_images": invalid_images,
            "excluded": len(requests),
        },
    )


def test_what_could_not_be_published_is_no_outcome() -> None:
    announcer = Announcer(BrokenPublisher, Selection())

    with pytest.raises(TransientError, match="cannot publish 1 references"):
        announcer.announce([request("nginx")])
