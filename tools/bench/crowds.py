"""Many events of few images to one instance, as a busy cluster sends them."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

from tools.bench.calls import count_services, is_job_post, is_manifest_request
from tools.bench.measuring import FailedDeliveryError, sum_pss
from tools.bench.rates import SENDERS, measure_rate
from tools.bench.scenarios import Scenario, make_reference
from tools.bench.stages import Stage

EVENTS: Final = 10_000
IMAGES: Final = 50

_HELPER = "library/busybox/"
"""Calls for the helper image, which each instance resolves once."""

_LINES_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """The result of a number of events."""

    events: int
    images: int
    seconds: float
    cpu_s: float
    pss_bytes: int
    calls: int
    """Calls of all kinds."""
    services: dict[str, int]
    """Calls by service."""
    manifest_requests: int
    """Without those for the helper image."""
    job_posts: int
    handled: int
    """Deliveries whose line says ``handled``."""

    @property
    def manifest_requests_an_image(self) -> float:
        """How often a manifest is asked for, for each distinct image."""
        return self.manifest_requests / self.images

    @property
    def job_posts_an_image(self) -> float:
        """How often a Job is posted, for each distinct image."""
        return self.job_posts / self.images

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return asdict(self) | {
            "manifest_requests_an_image": self.manifest_requests_an_image,
            "job_posts_an_image": self.job_posts_an_image,
        }


def send_crowd(stage: Stage, events: int, images: int) -> Crowd:
    """
    Send so many events of so many new images to a new instance, several at once.

    Raises:
        FailedDeliveryError: One was answered with an error, or did not end as handled.
    """
    known = [
        Scenario("image_reference", "known reference", make_reference(stage.add_image()))
        for _ in range(images)
    ]
    bodies = stage.bodies([known[number % images] for number in range(events)])
    process = stage.start("image_reference")
    try:
        process.wait_until_ready()
        stage.calls.take()
        rate = measure_rate(process, bodies, seconds=None, senders=SENDERS)
        calls = stage.calls.take()
        process.wait_for_line(lambda _: _count_handled(process.lines) == events, _LINES_S)
        handled = _count_handled(process.lines)
        pss_bytes = sum_pss(process.pid)
    finally:
        process.stop()
        stage.clear()
    if handled != events:
        raise FailedDeliveryError(f"{handled} of {events} events were handled")
    asked = [each for each in calls if is_manifest_request(each) and _HELPER not in each.text]
    return Crowd(
        events=events,
        images=images,
        seconds=rate.seconds,
        cpu_s=rate.cpu_s,
        pss_bytes=pss_bytes,
        calls=len(calls),
        services=count_services(calls),
        manifest_requests=len(asked),
        job_posts=sum(map(is_job_post, calls)),
        handled=handled,
    )


def _count_handled(lines: list[dict[str, Any]]) -> int:
    return Counter(each.get("disposition") for each in lines)["handled"]
