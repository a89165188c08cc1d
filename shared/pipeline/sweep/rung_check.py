"""Check whether a rung of the ladder can serve the images that a sweep requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from shared.domain.ladder import PrewarmUnavailableError, WantedImage
from shared.domain.mirror import Source, location_of
from shared.domain.node import Node
from shared.errors import ImageError
from shared.pipeline.choose_rung import RungRequest, choose_rung, read_nodes
from shared.pipeline.prewarm_artifact import PrewarmStep
from shared.pipeline.resolved_request import wanted_platform
from shared.pipeline.sweep.due import Candidate, Sweep, can_prewarm, find_prewarm_request
from shared.pipeline.sweep.inventory import Use

if TYPE_CHECKING:
    from shared.pipeline.ports import ClusterApi
    from shared.pipeline.sweep.prewarmed_storage import PrewarmedStorage


@dataclass(slots=True)
class RungCheck:
    """
    Finds out as ``image_reference`` does whether a rung can serve.

    The nodes of each selector are read once in a sweep.
    """

    sweep: Sweep
    cluster: "ClusterApi"
    storage: "PrewarmedStorage | None"
    _nodes: dict[str, Sequence[Node]] = field(default_factory=dict)

    def find_refusal(self, candidate: Candidate, *, may_prewarm: bool = True) -> str | None:
        """
        Return the outcome of a warmup that no rung can serve; None if one can.

        Args:
            candidate: The image and the target.
            may_prewarm: Whether Artifact Registry may have room for the image.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        resolved, target, manifest = candidate.resolved, candidate.target, candidate.manifest
        is_measured = manifest is not None and not manifest.is_index
        request = RungRequest(
            target.placement,
            wanted_platform(resolved.request, target),
            resolved.describe(manifest.image_bytes if manifest and is_measured else None),
            location_of(resolved.source.mirror),
        )
        prewarm = partial(self._prewarm, candidate) if may_prewarm else None
        return self._choose(request, prewarm)

    def find_refusal_of_use(self, source: Source, use: Use) -> str | None:
        """Return the same for an image whose digest is unknown."""
        location = location_of(source.mirror)
        image = WantedImage(digest=None)
        return self._choose(RungRequest(use.placement, use.platform, image, location), None)

    def _choose(
        self, request: RungRequest, prewarm: Callable[[], PrewarmStep] | None
    ) -> str | None:
        settings = self.sweep.settings
        try:
            choose_rung(settings, self.cluster, request, prewarm, self._list_nodes)
        except ImageError as exc:
            return exc.outcome
        return None

    def _prewarm(self, candidate: Candidate) -> PrewarmStep:
        """Return the step of Artifact Registry, unless it has refused the image."""
        manifest = candidate.manifest or candidate.resolved.manifest
        request = find_prewarm_request(self.sweep, candidate, manifest)
        if (
            request is None
            or self.storage is None
            or not can_prewarm(self.sweep, candidate, request)
        ):
            raise PrewarmUnavailableError("Artifact Registry does not have the image")
        self.storage.check(request)
        return PrewarmStep("prewarming", request.name)

    def _list_nodes(self, selector: str) -> Sequence[Node]:
        if selector not in self._nodes:
            self._nodes[selector] = read_nodes(self.cluster, selector)
        return self._nodes[selector]
