"""Read what the decision about a warmup needs: the Job, the image's size and the nodes."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from shared.domain.ladder import Node, RungUnavailableError, Strategy, find_targets
from shared.domain.manifest import Manifest
from shared.domain.placement import ACCELERATOR_KEY, DEFAULT_PLATFORM, Placement
from shared.domain.request import ReferenceRequest
from shared.domain.warmup_job import JobState
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.order import (
    Order,
    Target,
    earlier_names,
    given_targets,
    job_name,
    wanted_platform,
)
from shared.pipeline.plan_warmup import WarmupSnapshot, make_warmup, plan_warmup, with_strategy
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.domain.image_reference import Digest
    from shared.pipeline.ports import WarmedCluster
    from shared.pipeline.prewarm_artifact import PrewarmRung, PrewarmStep


def choose_targets(
    settings: Settings, request: ReferenceRequest, cluster: "WarmedCluster"
) -> list[Target]:
    """
    Return the targets of a request, else of the configuration, else every accelerator pool.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    given = given_targets(settings, request)
    if given is not None:
        return given
    nodes = [Node.from_body(body) for body in cluster.list_nodes(ACCELERATOR_KEY)]
    return [Target(placement.name, placement) for placement in find_targets(nodes)]


@dataclass(frozen=True, slots=True)
class WarmupLookup:
    """
    Reads snapshots of warmups.

    Args:
        settings: The configuration.
        mirrors: The mirrors of the deployment.
        prewarm: Serves the rung ``prewarm-api``; ``None`` leaves that rung out.
    """

    settings: Settings
    mirrors: Mirrors
    prewarm: "PrewarmRung | None" = None

    def look_up(self, cluster: "WarmedCluster", order: Order, target: Target) -> WarmupSnapshot:
        """
        Read the warmup of an image on a target, as far as the decision needs it.

        Raises:
            ImageError: The image has no manifest for the platform, or no rung can serve.
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity, or the cluster lacks our manifests.
        """
        name = job_name(self.settings, cluster.name, order, target)
        snapshot = WarmupSnapshot(
            name=name, body=cluster.fetch_job(name), min_image_bytes=self._min_bytes(order.request)
        )
        if plan_warmup(snapshot).result != "unknown":
            return snapshot
        self.mirrors.confirm(order.source)
        snapshot = replace(snapshot, image_bytes=self.measure(order, target))
        if plan_warmup(snapshot).result != "unknown":
            return snapshot
        return self._choose_node(cluster, order, target, snapshot)

    def measure(self, order: Order, target: Target) -> int | None:
        """
        Return the compressed size of the image; ``None`` if it depends on the node's platform.

        Raises:
            ImageError: The image has no manifest for the requested platform.
            TransientError: The registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        platform = wanted_platform(order.request, target)
        manifest = order.manifest
        if platform is None and manifest.is_index and not manifest.digest_for(DEFAULT_PLATFORM):
            return None
        return self._fetch_platform(order, platform or DEFAULT_PLATFORM).image_bytes

    def is_too_small(self, request: ReferenceRequest, image_bytes: int) -> bool:
        """Whether the image is below the configured size and the request follows the rules."""
        return image_bytes < self._min_bytes(request)

    def choose_strategy(
        self,
        cluster: "WarmedCluster",
        target: Placement,
        platform: str | None,
        digest: "Digest | None",
    ) -> Strategy:
        """
        Return the strategy of the first rung with a node.

        Args:
            cluster: A connection to the cluster.
            target: The placement.
            platform: The requested ``os/architecture``; ``None`` if the node decides.
            digest: The digest of the image; ``None`` if unknown: then no node is known to hold it.

        Raises:
            ImageError: No rung can serve (``no_node``).
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        from shared.pipeline.choose_rung import Ladder, refuse_to_prewarm

        ladder = Ladder(self.settings, cluster)
        strategy, _ = ladder.climb(target, platform, digest, refuse_to_prewarm)
        return strategy

    def _choose_node(
        self, cluster: "WarmedCluster", order: Order, target: Target, snapshot: WarmupSnapshot
    ) -> WarmupSnapshot:
        from shared.pipeline.choose_rung import Ladder

        platform, image_bytes = wanted_platform(order.request, target), snapshot.image_bytes
        chosen, passed = Ladder(self.settings, cluster).climb(
            target.placement,
            platform,
            order.manifest.digest,
            partial(self._prewarm, cluster, order, target, image_bytes),
        )
        if not isinstance(chosen, Strategy):
            return replace(snapshot, prewarm=chosen, image_bytes=image_bytes or 0)
        if image_bytes is None or chosen.platform != (platform or DEFAULT_PLATFORM):
            image_bytes = self._fetch_platform(order, chosen.platform).image_bytes
        warmup = make_warmup(
            self.settings,
            snapshot.name,
            order,
            target,
            chosen,
            image_bytes=image_bytes,
            now=datetime.now(UTC),
        )
        return with_strategy(snapshot, warmup, passed)

    def _prewarm(
        self,
        cluster: "WarmedCluster",
        order: Order,
        target: Target,
        image_bytes: int | None,
    ) -> "PrewarmStep":
        """Ask Artifact Registry to prewarm an image, if it can."""
        from shared.pipeline.choose_rung import refuse_to_prewarm
        from shared.pipeline.plan_prewarm import make_prewarm_request

        if self.prewarm is None:
            refuse_to_prewarm()
        platform = wanted_platform(order.request, target) or DEFAULT_PLATFORM
        digest = order.manifest.platform_digest(platform)
        if image_bytes is None or digest is None:
            raise RungUnavailableError(f"the image has no manifest for {platform}")
        request = make_prewarm_request(order, digest, platform, cluster.name, image_bytes)
        if request is None:
            raise RungUnavailableError("the image lies in no repository of Artifact Registry")
        return self.prewarm.serve(request, partial(self._was_pulled, cluster, order, target))

    def _was_pulled(self, cluster: "WarmedCluster", order: Order, target: Target) -> bool:
        """Whether a node pulled the image in the previous warmup, whose Job still exists."""
        names = earlier_names(self.settings, cluster.name, order, target)
        bodies = map(cluster.fetch_job, names)
        return any(body is not None and JobState.from_body(body).is_complete for body in bodies)

    def _fetch_platform(self, order: Order, platform: str) -> Manifest:
        return self.mirrors.fetch_platform(order.source, order.manifest, platform)

    def _min_bytes(self, request: ReferenceRequest) -> int:
        return 0 if request.overrides_rules else self.settings.min_image_bytes
