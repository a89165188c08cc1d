"""Why an image shall be warm, as a request and a fact say it."""

from dataclasses import dataclass
from typing import Literal

CauseKind = Literal["audit_log", "build", "push", "schedule", "manual"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an image shall be warm: the kind of event, its id, and the object it was about."""

    kind: CauseKind = "manual"
    id: str | None = None
    resource: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return the form in which messages, annotations and facts carry it."""
        return {"kind": self.kind, "id": self.id, "resource": self.resource}
