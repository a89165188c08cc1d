"""Announce the images that a detector saw: publish each once, if the configuration wants it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from shared.domain.disposition import Outcome, ignored
from shared.domain.image_selection import Selection
from shared.domain.request import ReferenceRequest


class Publisher(Protocol):
    """Where references are published."""

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        """
        Publish a message for each request, and return once they are safe.

        Raises:
            EventError: They could not be published.
        """
        ...


class Announcer:
    """
    Publishes what the rules admit.

    Args:
        publisher: Makes the publisher, once there is something to publish. Making it imports a
            vendor's client, which takes longer than all else that a detector does.
        rules: Which images are admitted.
    """

    def __init__(self, publisher: Callable[[], Publisher], rules: Selection) -> None:
        self._publisher = publisher
        self._rules = rules

    def announce(
        self, requests: Iterable[ReferenceRequest], *, invalid_images: int = 0, **details: Any
    ) -> Outcome:
        """
        Publish the requests that are admitted, those that ask for the same once.

        Args:
            requests: What was asked for, of one event.
            invalid_images: How many images could not be read.
            details: What else the log line of the delivery shall say.

        Returns:
            ``handled`` with what was published, or ``ignored`` with the reason why nothing was.

        Raises:
            EventError: They could not be published; then none counts as published.
        """
        distinct = _without_repeats(requests)
        admitted = [
            request
            for request in distinct
            if request.overrides_rules or self._rules.admits(request.reference)
        ]
        counts = {"invalid_images": invalid_images, "excluded": len(distinct) - len(admitted)}
        if not admitted:
            reason = _reason_for_nothing(
                is_excluded=bool(distinct), is_invalid=bool(invalid_images)
            )
            return ignored(reason, **details, **counts)
        self._publisher().publish(admitted)
        published = [request.image for request in admitted]
        return Outcome("handled", {**details, "published": published, **counts})


def _without_repeats(requests: Iterable[ReferenceRequest]) -> list[ReferenceRequest]:
    """Return the requests without those that ask for the same image at the same place again."""
    distinct: dict[Any, ReferenceRequest] = {}
    for request in requests:
        key = (request.reference, request.cluster, request.placement, request.platform)
        distinct.setdefault(key, request)
    return list(distinct.values())


def _reason_for_nothing(*, is_excluded: bool, is_invalid: bool) -> str:
    if is_excluded:
        return "every image is excluded by the include and exclude patterns"
    return "no image is a valid reference" if is_invalid else "there is no image"
