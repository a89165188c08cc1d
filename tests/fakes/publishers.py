"""A publisher of image requests in memory."""

from collections.abc import Sequence
from typing import Any

from shared.domain.request import ReferenceRequest


class FakePublisher:
    """Keeps the requests, in order; raises ``error`` instead while it is set."""

    def __init__(self) -> None:
        self.published: list[ReferenceRequest] = []
        self.error: Exception | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return the requests as they are written into messages."""
        return [request.as_json() for request in self.published]

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        if self.error is not None:
            raise self.error
        self.published += requests
