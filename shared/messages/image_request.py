"""
The message of ``prestream-image-references``: a request to warm an image.

Only ``image`` is required, so that a person can publish a request by hand.
"""

import re
from typing import Annotated, Any

import msgspec

from shared.domain.cluster import ClusterName
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.domain.placement import InvalidPlacementError, Placement
from shared.domain.request import Cause, CauseKind, ReferenceRequest
from shared.errors import InvalidEventError
from shared.messages.json_body import decode
from shared.messages.pubsub_message import PubsubMessage

_PLATFORM = re.compile(r"[a-z0-9]{1,32}/[a-z0-9]{1,32}(?:/[a-z0-9]{1,32})?")


_Short = Annotated[str, msgspec.Meta(max_length=4_096)]
"""Longer than any name of an object; the annotations and facts that repeat it have limits."""


class _WireCause(msgspec.Struct):
    kind: CauseKind = "manual"
    id: _Short | None = None
    resource: _Short | None = None


class _Wire(msgspec.Struct):
    image: str
    cluster: str | None = None
    fallbacks: list[str] = []
    placement: Any = None
    platform: str | None = None
    cause: _WireCause | None = None
    force: bool = False
    forced_by: str | None = None


def parse_reference_request(message: PubsubMessage) -> ReferenceRequest:
    """
    Read a request from a message.

    Raises:
        InvalidEventError: The data is not such a JSON object, or a field is invalid.
    """
    wire = decode(message.data, _Wire, "not an image reference message")
    try:
        reference = parse_reference(wire.image)
        placement = None if wire.placement is None else Placement.from_json(wire.placement)
    except (InvalidReferenceError, InvalidPlacementError) as exc:
        raise InvalidEventError(str(exc)) from exc
    try:
        for name in (wire.cluster, *wire.fallbacks):
            if name is not None:
                ClusterName.parse(name)
    except ValueError as exc:
        raise InvalidEventError(f"cluster is {exc}") from exc
    if wire.platform is not None and not _PLATFORM.fullmatch(wire.platform):
        raise InvalidEventError(f"platform is not OS/ARCHITECTURE: {wire.platform!r}")
    cause = wire.cause or _WireCause()
    return ReferenceRequest(
        image=wire.image,
        reference=reference,
        cluster=wire.cluster,
        fallbacks=tuple(wire.fallbacks),
        placement=placement,
        platform=wire.platform,
        cause=Cause(cause.kind, cause.id, cause.resource),
        force=wire.force,
        forced_by=(wire.forced_by or message.message_id) if wire.force else None,
    )
