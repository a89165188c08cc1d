"""Which requests of one event are published, and how the outcome reports it."""

from collections.abc import Sequence

import pytest

from shared.domain.disposition import Outcome
from shared.domain.image_reference import parse_reference
from shared.domain.image_selection import Selection
from shared.domain.placement import Placement
from shared.domain.request import Cause, ReferenceRequest
from shared.errors import TransientError
from shared.pipeline.detect import publish_admitted
from shared.pipeline.ports import Publisher
from shared.settings.keys import Settings

L4 = Placement.of({"cloud.google.com/gke-accelerator": "nvidia-l4"})
T4 = Placement.of({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"})
BUILD = Cause("build", "b-1")


class RecordingPublisher:
    def __init__(self) -> None:
        self.published: list[list[ReferenceRequest]] = []

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        self.published.append(list(requests))


class BrokenPublisher:
    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        raise TransientError(f"cannot publish {len(requests)} references")


class Services:
    """The services of a detector, with the number of times that the publisher is read."""

    def __init__(self, publisher: Publisher | None = None) -> None:
        self.recorded = RecordingPublisher()
        self.reads = 0
        self._publisher = publisher or self.recorded

    @property
    def settings(self) -> Settings:
        raise NotImplementedError

    @property
    def publisher(self) -> Publisher:
        self.reads += 1
        return self._publisher


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
def services() -> Services:
    return Services()


def test_requests_of_an_event_are_published_together(services: Services) -> None:
    requests = [request("nginx"), request("redis:7")]

    outcome = publish_admitted(requests, Selection(), services, cluster="c")

    assert services.recorded.published == [requests]
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
def test_distinct_request_is_published_once(
    services: Services, requests: list[ReferenceRequest], expected: int
) -> None:
    publish_admitted(requests, Selection(), services)

    (published,) = services.recorded.published
    assert len(published) == expected
    assert published[0] is requests[0]


def test_excluded_request_is_counted_and_not_published(
    services: Services,
) -> None:
    rules = Selection(exclude=("*/library/*",))
    requests = [request("nginx"), request("nginx"), request("redis"), request("a/b")]

    outcome = publish_admitted(requests, rules, services, invalid_images=3)

    assert services.recorded.published == [[requests[3]]]
    assert outcome.details == {"published": ["a/b"], "invalid_images": 3, "excluded": 2}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request("nginx", cause=Cause("manual")), id="manual"),
        pytest.param(request("nginx", force=True), id="forced"),
    ],
)
def test_manual_request_overrides_the_patterns(services: Services, asked: ReferenceRequest) -> None:
    outcome = publish_admitted([asked], Selection(include=()), services)

    assert services.recorded.published == [[asked]]
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
def test_publisher_is_not_read_without_an_admitted_request(
    services: Services,
    requests: list[ReferenceRequest],
    invalid_images: int,
    reason: str,
) -> None:
    rules = Selection(exclude=("*",))

    outcome = publish_admitted(
        requests, rules, services, invalid_images=invalid_images, status="SUCCESS"
    )

    assert services.reads == 0
    assert outcome == Outcome(
        "ignored",
        {
            "reason": reason,
            "status": "SUCCESS",
            "invalid_images": invalid_images,
            "excluded": len(requests),
        },
    )


def test_failure_to_publish_is_raised() -> None:
    services = Services(BrokenPublisher())

    with pytest.raises(TransientError, match="cannot publish 1 references"):
        publish_admitted([request("nginx")], Selection(), services)
