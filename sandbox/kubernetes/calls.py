"""Calls to the API as values, over HTTP or in process."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.resources import Resource

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class Caller:
    """The user of a request."""

    name: str
    groups: tuple[str, ...] = ()
    user_agent: str = ""
    source_ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a write."""

    dry_run: bool = False
    field_validation: str = "Warn"
    """``Strict`` refuses unknown fields, ``Warn`` names them in a header, ``Ignore`` is silent."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """The options of a deletion."""

    propagation: str | None = None
    """``Background``, ``Foreground``, ``Orphan``; None for the resource's own default."""
    grace_s: int | None = None
    uid: str | None = None
    """Delete only the object of this uid."""
    resource_version: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One write."""

    verb: str
    resource: Resource
    caller: Caller
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    body: Any = None
    content_type: str = ""
    """The kind of a patch."""
    options: Options = Options()
    deletion: Deletion = Deletion()
    label_selector: str = ""
    field_selector: str = ""


@dataclass(slots=True)
class Answer:
    """The answer to a call; warnings become headers."""

    body: Body
    code: int = 200
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Attributes:
    """A write in admission, whose plugins may change the body and add warnings."""

    verb: str
    resource: Resource
    namespace: str
    name: str
    body: Body
    caller: Caller
    before: Body | None = None
    subresource: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)

    def is_new(self, resource: str) -> bool:
        """Whether the write creates an object of a resource."""
        named = self.resource.key == resource and not self.subresource
        return named and self.verb == "create"
