"""
The response of a service: a resource, a 404, or the reason why it cannot be read.

The three are distinct, because an unreadable resource may exist or not.
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
    """A request that only reads, and the permission that it needs."""

    service: Service
    path: str
    """The path below the service's address, with version and query."""
    project: str
    """The project of the resource, in which the permission is granted."""
    permission: str
    role: str
    """A narrow predefined role with the permission, for the person who runs `doctor`."""
    method: Literal["GET", "POST"] = "GET"

    def __str__(self) -> str:
        return f"{self.service}.googleapis.com/{self.path.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class NotFound:
    """The resource does not exist: 404."""

    what: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """It is unknown whether the resource exists."""

    what: str
    reason: str
    """The message of the service that refused or did not answer."""
    permission: str | None = None
    """The missing permission, if it is the reason."""
    fix: str | None = None
    """The command that grants it."""


Response = Body | NotFound | Unavailable
