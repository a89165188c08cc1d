"""
The record of an image that its registry postpones: a suspended Job without pods.

It exists until a retry can help, so that no instance asks the upstream before. Its label differs
from that of warmups, so the queue, the budgets and the status do not see it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from shared.domain.json_access import field_at, text_of
from shared.domain.mirror import Source
from shared.domain.timestamp import format_time, parse_time
from shared.domain.warmup_job import (
    IMAGE_ANNOTATION,
    MIRROR_ANNOTATION,
    NOT_BEFORE_ANNOTATION,
    JobName,
    has_labels,
    make_slug,
)
from shared.errors import ImageError

POSTPONEMENT_LABELS = {
    "app.kubernetes.io/name": "prestream",
    "app.kubernetes.io/component": "postponement",
}
REASON_ANNOTATION = "prestream.dev/reason"
HINT_ANNOTATION = "prestream.dev/hint"

_HASH_DIGITS = 16
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def postponement_name(source: Source) -> JobName:
    """
    Return the name of the record of an image.

    The mirror's reference contains its location and the tag. The credentials are part of the name:
    with others, the upstream has another limit.
    """
    login = source.repository.credentials if source.repository is not None else None
    parts = [str(source.mirror), login.username if login is not None else ""]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return JobName(f"postponed-{make_slug(source.image)}-{digest[:_HASH_DIGITS]}")


@dataclass(frozen=True, slots=True)
class Postponement:
    """An image that its registry postpones."""

    name: JobName
    image: str
    """The image at its upstream."""
    mirror: str
    not_before: datetime
    reason: str
    hint: str

    @classmethod
    def of(cls, source: Source, error: ImageError) -> Self | None:
        """Return the record of a refusal; None if it names no time for a retry."""
        if error.not_before is None:
            return None
        name, image, mirror = postponement_name(source), str(source.image), str(source.mirror)
        return cls(name, image, mirror, error.not_before, str(error), error.hint)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self | None:
        """Read a record from its Job; None for another Job. Without a valid time, it is over."""
        if not has_labels(body, POSTPONEMENT_LABELS):
            return None

        def read(annotation: str) -> str:
            return text_of(field_at(body, ("metadata", "annotations", annotation))) or ""

        try:
            not_before = parse_time(read(NOT_BEFORE_ANNOTATION))
        except ValueError:
            not_before = _LONG_AGO
        return cls(
            JobName(text_of(field_at(body, ("metadata", "name"))) or ""),
            read(IMAGE_ANNOTATION),
            read(MIRROR_ANNOTATION),
            not_before,
            read(REASON_ANNOTATION),
            read(HINT_ANNOTATION),
        )

    def annotations(self) -> dict[str, str]:
        """Return the annotations of the Job."""
        return {
            IMAGE_ANNOTATION: self.image,
            MIRROR_ANNOTATION: self.mirror,
            NOT_BEFORE_ANNOTATION: format_time(self.not_before),
            REASON_ANNOTATION: self.reason,
            HINT_ANNOTATION: self.hint,
        }

    def body(self, namespace: str) -> dict[str, Any]:
        """Return the Job, which has no pods, even if a person resumes it."""
        container = {
            "name": "image",
            "image": self.mirror,
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": self.name,
                "namespace": namespace,
                "labels": dict(POSTPONEMENT_LABELS),
                "annotations": self.annotations(),
            },
            "spec": {
                "suspend": True,
                "parallelism": 0,
                "template": {"metadata": {"labels": dict(POSTPONEMENT_LABELS)}, "spec": pod},
            },
        }
