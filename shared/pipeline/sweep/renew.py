"""
Renew the prewarmed images that are in use; all others expire.

If the API does not serve an image, or has no room for it, the sweep publishes a reference, and the
next rung of the ladder warms the image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.image_reference import Digest
from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.prewarm_plan import Wanted, plan_prewarming
from shared.domain.request import ReferenceRequest
from shared.pipeline.plan_prewarm import PrewarmRequest


@dataclass(frozen=True, slots=True)
class PrewarmCandidate:
    """A use of an image that Artifact Registry serves, if it has room."""

    request: PrewarmRequest
    wanted: Wanted
    reference: ReferenceRequest
    """The reference to publish if Artifact Registry does not serve it."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A step of a sweep for one image, with all the references that depend on it."""

    request: PrewarmRequest
    references: tuple[ReferenceRequest, ...]


@dataclass(frozen=True, slots=True)
class RenewalPlan:
    """The use of one project's storage for prewarmed images."""

    renewed: tuple[Renewal, ...] = ()
    added: tuple[Renewal, ...] = ()
    left_out: tuple[Renewal, ...] = ()
    """They do not fit."""
    failed: tuple[Renewal, ...] = ()
    """Artifact Registry could not cache them."""

    @property
    def removals(self) -> tuple[Renewal, ...]:
        """The failed artifacts to remove: they may count against the limit, if room is short."""
        return self.failed if self.left_out else ()


def plan_renewals(
    candidates: Sequence[PrewarmCandidate], held: Iterable[PrewarmedArtifact], retention: timedelta
) -> RenewalPlan:
    """
    Decide which images of a project Artifact Registry prewarms.

    Args:
        candidates: The uses that it may serve, at least one.
        held: Every prewarmed artifact of the project, in use or not.
        retention: How long an image is prewarmed.
    """
    by_key: dict[tuple[Digest, str], list[PrewarmCandidate]] = {}
    for candidate in candidates:
        by_key.setdefault(candidate.wanted.key, []).append(candidate)
    plan = plan_prewarming(
        [each[0].wanted for each in by_key.values()],
        held,
        now=max(candidate.request.now for candidate in candidates),
        retention=retention,
    )

    def renewals(wanted: Iterable[Wanted]) -> tuple[Renewal, ...]:
        groups = [by_key[each.key] for each in wanted]
        return tuple(
            Renewal(group[0].request, tuple(candidate.reference for candidate in group))
            for group in groups
        )

    return RenewalPlan(
        renewals(plan.renewed),
        renewals(plan.added),
        renewals(plan.left_out),
        renewals(plan.failed),
    )
