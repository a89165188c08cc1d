"""Calls to the API as values: who asks for what, over HTTP or in process."""

from dataclasses import dataclass, field

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.resources import Resource

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    name: str
    groups: tuple[str, ...] = ()
    user_agent: str = ""
    source_ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Options:
    """How a write is to be done."""

    dry_run: bool = False
    field_validation: str = "Warn"
    """``Strict`` refuses unknown fields, ``Warn`` names them in a header, ``Ignore`` is silent."""
    field_manager: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class Deletion:
    """How an object is to be deleted."""

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
    body: Body | list[Body] | None = None
    content_type: str = ""
    """Of a patch."""
    options: Options = Options()
    deletion: Deletion = Deletion()
    label_selector: str = ""
    field_selector: str = ""


@dataclass(slots=True)
class Answer:
    """What a call is answered with; warnings become headers."""

    body: Body
    code: int = 200
    warnings: list[str] = field(default_factory=list)
