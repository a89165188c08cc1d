"""Why an image shall be warm, as a request and a fact say it."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

from shared.domain.json_access import mapping_of

CauseKind = Literal["audit_log", "build", "push", "schedule", "manual"]

_NAMESPACED = re.compile(r"(?:[^/]+/){0,2}namespaces/([^/]+)/.+", re.DOTALL)

_KINDS: Final[tuple[CauseKind, ...]] = get_args(CauseKind)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an image shall be warm: the kind of event, its id, and the object it was about."""

    kind: CauseKind = "manual"
    id: str | None = None
    resource: str | None = None

    @classmethod
    def from_text(cls, text: Any) -> Self | None:
        """
        Read the cause that an annotation holds; None for a text that somebody else wrote.

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
        The namespace of the workload that asks; None where it is none that asks.

        >>> Cause(resource="apps/v1/namespaces/ml/deployments/trainer").namespace
        'ml'
        >>> Cause("build", "1", "projects/demo/builds/1").namespace
        """
        found = _NAMESPACED.fullmatch(self.resource or "")
        return found[1] if found else None

    def as_json(self) -> dict[str, str | None]:
        """Return the form in which messages, annotations and facts carry it."""
        return {"kind": self.kind, "id": self.id, "resource": self.resource}
