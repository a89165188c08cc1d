"""Server-side apply."""

from datetime import datetime

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.calls import Options
from sandbox.kubernetes.patches.strategic import merge_strategically
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import definition_of


def begin_configuration(_resource: Resource, _body: Body, _manager: str, _now: datetime) -> None:
    """Note the fields of a new object."""


def apply_configuration(
    resource: Resource, target: Body, body: Body, _options: Options, _now: datetime
) -> Body:
    """Merge a configuration into an object."""
    definition = definition_of(resource.group, resource.version, resource.kind)
    merged: Body = merge_strategically(target, body, definition)
    return merged
