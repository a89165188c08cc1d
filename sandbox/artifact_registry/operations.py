"""Long-running operations, done by the sandbox's clock."""

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Clock
from sandbox.http_server import ApiError

ANY_PREFIX = "type.googleapis.com/google.devtools.artifactregistry.v1"
"""What ``@type`` begins with for the messages of this API."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that ends at ``due``, with an error or a response."""

    name: str
    due: datetime
    response: Mapping[str, Any]
    error: Mapping[str, Any] | None

    def render(self, now: datetime) -> dict[str, Any]:
        """Return the operation as the API shows it at a time."""
        rendered: dict[str, Any] = {
            "name": self.name,
            "metadata": {"@type": f"{ANY_PREFIX}.OperationMetadata"},
        }
        if self.due > now:
            return rendered
        outcome = {"response": self.response} if self.error is None else {"error": self.error}
        return {**rendered, "done": True, **outcome}


class Operations:
    """All operations that were ever begun; safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun: dict[str, Operation] = {}
        self._lock = threading.Lock()

    def begin(
        self,
        project: str,
        location: str,
        response: Mapping[str, Any],
        *,
        delay_s: float = 0.0,
        error: Mapping[str, Any] | None = None,
    ) -> Operation:
        """Begin an operation; ``response`` carries its ``@type``."""
        name = f"projects/{project}/locations/{location}/operations/{uuid.uuid4()}"
        due = self._clock.now() + timedelta(seconds=delay_s)
        operation = Operation(name, due, response, error)
        with self._lock:
            self._begun[name] = operation
        return operation

    def get(self, name: str) -> dict[str, Any]:
        """
        Return an operation, as it is by now.

        Raises:
            ApiError: There is none of that name.
        """
        with self._lock:
            operation = self._begun.get(name)
        if operation is None:
            raise ApiError(404, "Requested entity was not found.")
        return operation.render(self._clock.now())
