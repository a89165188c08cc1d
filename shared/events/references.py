"""
The message of ``prestream-image-references``: an image that shall be warm.

Only ``image`` is required, so that a person can publish one by hand.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import msgspec

from shared.domain.placements import InvalidPlacementError, Placement
from shared.domain.references import ImageReference, InvalidReferenceError, parse_reference
from shared.errors import InvalidEventError
from shared.events.pubsub import PubsubMessage

CauseKind = Literal["audit_log", "build", "push", "schedule", "manual"]

_CLUSTER = re.compile(r"projects/[^/]+/locations/[^/]+/clusters/[^/]+")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9]+)?")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an image shall be warm: the kind of event, its id, and the object it was about."""

    kind: CauseKind = "manual"
    id: str | None = None
    resource: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return the form in which messages, annotations and facts carry it."""
        return {"kind": self.kind, "id": self.id, "resource": self.resource}


@dataclass(frozen=True, slots=True)
class ReferenceRequest:
    """What a message asks for: an image, and where, if it says so."""

    image: str
    """As the user wrote it."""
    reference: ImageReference
    cluster: str | None = None
    """``projects/P/locations/L/clusters/C``; None for one watched cluster of every region."""
    placement: Placement | None = None
    platform: str | None = None
    """``os/architecture``; None where the placement's or the default one is meant."""
    cause: Cause = field(default_factory=Cause)
    force: bool = False

    @property
    def overrides_rules(self) -> bool:
        """Whether it passes the include, exclude and size rules (never the allow-list)."""
        return self.force or self.cause.kind == "manual"

    @classmethod
    def from_message(cls, message: PubsubMessage) -> Self:
        """
        Read a request out of a message.

        Raises:
            InvalidEventError: The data is no such JSON object, or a field is invalid.
        """
        try:
            wire = msgspec.json.decode(message.data, type=_Wire)
            reference = parse_reference(wire.image)
            placement = None if wire.placement is None else Placement.from_json(wire.placement)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidEventError(f"not an image reference message: {exc}") from exc
        except (InvalidReferenceError, InvalidPlacementError) as exc:
            raise InvalidEventError(str(exc)) from exc
        if wire.cluster is not None and not _CLUSTER.fullmatch(wire.cluster):
            raise InvalidEventError(
                f"cluster is not projects/P/locations/L/clusters/C: {wire.cluster!r}"
            )
        if wire.platform is not None and not _PLATFORM.fullmatch(wire.platform):
            raise InvalidEventError(f"platform is not OS/ARCHITECTURE: {wire.platform!r}")
        cause = wire.cause or _WireCause()
        return cls(
            image=wire.image,
            reference=reference,
            cluster=wire.cluster,
            placement=placement,
            platform=wire.platform,
            cause=Cause(cause.kind, cause.id, cause.resource),
            force=wire.force,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the message's JSON object."""
        body: dict[str, Any] = {"image": self.image}
        if self.cluster is not None:
            body["cluster"] = self.cluster
        if self.placement is not None:
            body["placement"] = self.placement.as_json()
        if self.platform is not None:
            body["platform"] = self.platform
        return body | {"cause": self.cause.as_json(), "force": self.force}

    @property
    def attributes(self) -> Mapping[str, str]:
        """The message's attributes, which repeat what a subscription may filter by."""
        return {"image": self.image, "cause": self.cause.kind}


class _WireCause(msgspec.Struct):
    kind: CauseKind = "manual"
    id: str | None = None
    resource: str | None = None


class _Wire(msgspec.Struct):
    image: str
    cluster: str | None = None
    placement: Any = None
    platform: str | None = None
    cause: _WireCause | None = None
    force: bool = False
