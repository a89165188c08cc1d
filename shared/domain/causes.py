"""Why an image shall be warm, as a request and a fact say it."""

from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

from shared.domain.untrusted import mapping_of

CauseKind = Literal["audit_log", "build", "push", "schedule", "manual"]

_KINDS: Final[tuple[CauseKind, ...]] = get_args(CauseKind)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an image shall be warm: the kind of event, its id, and the object it was about."""

    kind: CauseKind = "manual"
    id: str | None = None
    resource: str | None = None

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Read a cause as it stands on a Job; None for what is none."""
        fields = mapping_of(value)
        kind = next((each for each in _KINDS if each == fields.get("kind")), None)
        about = (fields.get("id"), fields.get("resource"))
        if kind is None or not all(isinstance(each, str | None) for each in about):
            return None
        return cls(kind, *about)

    def as_json(self) -> dict[str, str | None]:
        """Return the form in which messages, annotations and facts carry it."""
        return {"kind": self.kind, "id": self.id, "resource": self.resource}
