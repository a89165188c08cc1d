"""What an admission plugin is told about a write, and the interface that it has."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.calls import Caller
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.store import Store


@dataclass(slots=True)
class Attributes:
    """One write, as far as it has come."""

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


Plugin = Callable[[Attributes, Store], None]
"""Changes the body, adds warnings, or raises an ApiError."""
