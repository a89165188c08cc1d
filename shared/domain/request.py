"""A request that an image be warm, as it travels from a detector to the warmup."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.cause import Cause
from shared.domain.image_reference import ImageReference
from shared.domain.placement import Placement


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
    forced_by: str | None = None
    """
    Id of the message that asked with ``force``; None where that is the message that carries this.

    What is published again of it keeps the id, so that publishing twice is warming once.
    """

    @property
    def overrides_rules(self) -> bool:
        """Whether it passes the include, exclude and size rules (never the allow-list)."""
        return self.force or self.cause.kind == "manual"

    def as_json(self) -> dict[str, Any]:
        """Return the message's JSON object."""
        body: dict[str, Any] = {"image": self.image}
        if self.cluster is not None:
            body["cluster"] = self.cluster
        if self.placement is not None:
            body["placement"] = self.placement.as_json()
        if self.platform is not None:
            body["platform"] = self.platform
        if self.forced_by is not None:
            body["forced_by"] = self.forced_by
        return body | {"cause": self.cause.as_json(), "force": self.force}

    @property
    def attributes(self) -> Mapping[str, str]:
        """The message's attributes, which repeat what a subscription may filter by."""
        return {"image": self.image, "cause": self.cause.kind}
