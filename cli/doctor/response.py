"""
The response of a service: a resource, a 404, or the reason why it cannot be read.

The three are kept apart, since what could not be seen is neither there nor missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Service = Literal[
    "artifactregistry",
    "cloudresourcemanager",
    "compute",
    "container",
    "logging",
    "monitoring",
    "pubsub",
    "secretmanager",
    "serviceusage",
]

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GoogleRequest:
    """A request that only reads, and the right that it takes."""

    service: Service
    path: str
    """Below the service's address, with its version and its query."""
    project: str
    """Whose resource it is, and so where the right is granted."""
    permission: str
    role: str
    """A narrow predefined role with the permission, for the person who runs `doctor`."""
    method: Literal["GET", "POST"] = "GET"

    def __str__(self) -> str:
        return f"{self.service}.googleapis.com/{self.path.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class NotFound:
    """The service knows nothing of that name: 404."""

    what: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Whether there is something, and what, is not known."""

    what: str
    reason: str
    """The message of the service that refused or did not answer."""
    permission: str | None = None
    """The right that is missing, where that is why."""
    fix: str | None = None
    """The command that gives it."""


Response = Body | NotFound | Unavailable
