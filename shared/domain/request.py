"""A request to warm an image, which a detector publishes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from shared.domain.json_access import mapping_of

if TYPE_CHECKING:
    from shared.domain.image_reference import ImageReference
    from shared.domain.placement import Placement

CauseKind = Literal["audit_log", "build", "push", "schedule", "manual"]

_NAMESPACED = re.compile(r"(?:[^/]+/){0,2}namespaces/([^/]+)/.+", re.DOTALL)

_KINDS: Final[tuple[CauseKind, ...]] = get_args(CauseKind)


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a request: the kind of event, its ID, and its object."""

    kind: CauseKind = "manual"
    id: str | None = None
    resource: str | None = None

    @classmethod
    def from_text(cls, text: Any) -> Self | None:
        """
        Read the cause from an annotation; ``None`` if the text has another form.

        >>> Cause.from_text('{"kind": "push", "id": "1", "resource": null}')
        Cause(kind='push', id='1', resource=None)
        >>> Cause.from_text('{"kind": "rumour"}')
        """
        try:
            fields = mapping_of(json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None
        kind = next((each for each in _KINDS if each == fields.get("kind")), None)
        about = (fields.get("id"), fields.get("resource"))
        if kind is None or not all(isinstance(each, str | None) for each in about):
            return None
        return cls(kind, *about)

    @property
    def namespace(self) -> str | None:
        """
        The namespace of the workload; ``None`` if the cause is not a workload.

        >>> Cause(resource="apps/v1/namespaces/ml/deployments/trainer").namespace
        'ml'
        >>> Cause("build", "1", "projects/demo/builds/1").namespace
        """
        found = _NAMESPACED.fullmatch(self.resource or "")
        return found[1] if found else None

    def as_json(self) -> dict[str, str | None]:
        """Return the form of messages, annotations and facts."""
        return {"kind": self.kind, "id": self.id, "resource": self.resource}


@dataclass(frozen=True, slots=True)
class ReferenceRequest:
    """A request to warm an image, optionally for a cluster and a placement."""

    image: str
    """The image as the user wrote it."""
    reference: "ImageReference"
    cluster: str | None = None
    """``projects/P/locations/L/clusters/C``; ``None`` for one watched cluster of every region."""
    fallbacks: tuple[str, ...] = ()
    """Other clusters of the region, in order, for a cluster that cannot be reached."""
    placement: "Placement | None" = None
    platform: str | None = None
    """``os/architecture``; ``None`` for the placement's or the default platform."""
    cause: Cause = field(default_factory=Cause)
    force: bool = False
    forced_by: str | None = None
    """
    ID of the forced message; ``None`` if it is the message with this request.

    Messages that are derived from it keep the ID, so that duplicates lead to one warmup.
    """

    @property
    def overrides_rules(self) -> bool:
        """Whether it overrides the include, exclude and size rules (never the allow-list)."""
        return self.force or self.cause.kind == "manual"

    def as_json(self) -> dict[str, Any]:
        """Return the message's JSON object."""
        body: dict[str, Any] = {"image": self.image}
        if self.cluster is not None:
            body["cluster"] = self.cluster
        if self.fallbacks:
            body["fallbacks"] = list(self.fallbacks)
        if self.placement is not None:
            body["placement"] = self.placement.as_json()
        if self.platform is not None:
            body["platform"] = self.platform
        if self.forced_by is not None:
            body["forced_by"] = self.forced_by
        return body | {"cause": self.cause.as_json(), "force": self.force}

    @property
    def attributes(self) -> Mapping[str, str]:
        """The message's attributes, by which a subscription can filter."""
        return {"image": self.image, "cause": self.cause.kind}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request, as its message arrived."""

    request: ReferenceRequest
    message_id: str
    publish_time: datetime
