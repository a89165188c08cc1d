"""
The tenants that warmups are requested by, and how much of a cluster's warmups each one uses.

A tenant is a namespace of workloads, or a repository that builds and pushes fill. A person who
publishes a request is not a tenant.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from shared.domain.image_reference import ImageReference
from shared.domain.job_state import JobState
from shared.domain.json_access import field_at, number_of
from shared.domain.mirror import ArtifactPath
from shared.domain.request import Cause
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import (
    FIRST_TENANT,
    SIZE_ANNOTATION,
    SPENT_ANNOTATION,
    TENANT_PREFIX,
)
from shared.errors import ImageError

DAY: Final = timedelta(hours=24)

_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Tenant:
    """A namespace of workloads, or a repository that builds and pushes fill."""

    kind: Literal["namespace", "repository"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"

    @property
    def label(self) -> str:
        """The key of the label of its warmups; a name may be longer than a label."""
        digest = hashlib.sha256(f"{self.kind} {self.name}".encode()).hexdigest()
        return f"{TENANT_PREFIX}{digest[:_HASH_DIGITS]}"


def find_tenant(cause: Cause, image: ImageReference) -> Tenant | None:
    """
    Return the tenant that a request counts for; None for a request of a person.

    >>> from shared.domain.image_reference import parse_reference
    >>> image = parse_reference("us-docker.pkg.dev/demo/apps/vision/trainer:1")
    >>> print(find_tenant(Cause("push", "1"), image))
    repository 'us-docker.pkg.dev/demo/apps'
    >>> print(find_tenant(Cause(resource="apps/v1/namespaces/ml/deployments/trainer"), image))
    namespace 'ml'
    """
    if (namespace := cause.namespace) is not None:
        return Tenant("namespace", namespace)
    if cause.kind not in {"build", "push"}:
        return None
    artifact = ArtifactPath.split(image.registry, image.repository)
    path = image.repository.split("/")[0] if artifact is None else artifact.repository.path
    return Tenant("repository", f"{image.registry}/{path}")


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """The warmups that a tenant requested first in a cluster."""

    pending: int = 0
    """The number that wait or run."""
    moved_bytes: int = 0
    """The compressed size of all that were created in the last 24 hours."""


def count_usage(jobs: Iterable[Mapping[str, Any]], now: datetime) -> TenantUsage:
    """Return the usage of the tenant that requested some warmup Jobs first."""
    pending = moved = 0
    for body in jobs:
        pending += not JobState.from_body(body).is_finished
        moved += find_moved_bytes(body, now)
    return TenantUsage(pending, moved)


def find_moved_bytes(body: Mapping[str, Any], now: datetime) -> int:
    """
    Return the bytes that a warmup Job may have moved in the last 24 hours.

    They include those of the failed Jobs that it replaced.
    """
    if parse_time(JobState.from_body(body).created) <= now - DAY:
        return 0
    annotations = field_at(body, ("metadata", "annotations")) or {}
    sizes = (annotations.get(key) for key in (SIZE_ANNOTATION, SPENT_ANNOTATION))
    return sum(number_of(each) or 0 for each in sizes)


def make_tenant_selector(tenant: Tenant) -> str:
    """Return the label selector of the warmups that a tenant requested first."""
    return f"{tenant.label}={FIRST_TENANT}"


def check_budgets(
    tenant: Tenant,
    usage: TenantUsage,
    image_bytes: int | None,
    *,
    number: int,
    daily_bytes: int,
) -> None:
    """
    Check that one more warmup is within the budgets of its tenant; 0 is no limit.

    Args:
        tenant: The tenant.
        usage: The warmups that exist.
        image_bytes: The compressed size of the image; None if unknown.
        number: The budget of pending and running warmups.
        daily_bytes: The budget of bytes in 24 hours.

    Raises:
        ImageError: A budget is used up (``postponed``).
    """
    wait = "If the image can wait, do nothing: a sweep requests it again while it is in use."
    if number and usage.pending >= number:
        raise ImageError(
            "postponed",
            f"{tenant} has {number} warmups waiting or running already, which is its budget",
            hint=f"{wait} Otherwise raise `namespace_budget` in prestream.yaml.",
        )
    if daily_bytes and usage.moved_bytes + (image_bytes or 0) > daily_bytes:
        raise ImageError(
            "postponed",
            f"the warmups of {tenant} in the last 24 hours have {usage.moved_bytes} bytes; with"
            f" this image they exceed its budget of {daily_bytes}",
            hint=f"{wait} Otherwise raise `namespace_daily_budget` in prestream.yaml.",
        )
