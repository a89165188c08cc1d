"""Read what decides about an image on a target, with as few requests as the decision needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from shared.domain.image_reference import ImageReference, parse_reference
from shared.domain.job_state import JobState
from shared.domain.ladder import PREWARM_RUNG, RungUnavailableError, WantedImage, find_targets
from shared.domain.mirror import location_of
from shared.domain.node import Node
from shared.domain.placement import ACCELERATOR_KEY, DEFAULT_PLATFORM
from shared.domain.request import ReferenceRequest
from shared.domain.tenant import TenantUsage, count_usage, make_tenant_selector
from shared.domain.warmup_job import SELECTOR
from shared.errors import ConfigurationError, ImageError
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.plan_warmup import WarmupSnapshot, is_too_small
from shared.pipeline.resolved_request import (
    ResolvedRequest,
    Target,
    earlier_names,
    given_targets,
    job_name,
    wanted_platform,
)
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.domain.action import Action
    from shared.pipeline.choose_rung import RungChoice
    from shared.pipeline.ports import ClusterApi
    from shared.pipeline.prewarm_artifact import PrewarmRung, PrewarmStep
    from shared.pipeline.upstream_limit import UpstreamLimits


@dataclass(frozen=True, slots=True)
class WarmupLookup:
    """
    Reads Jobs, sizes and nodes.

    Args:
        settings: The configuration.
        mirrors: The mirrors of the deployment.
        prewarm: The rung ``prewarm-api``; None leaves it out.
        reads_for_creation: Whether to read what only the creation of a Job needs, such as the
            helper image; a plan or a dry run does not.
        limits: The images that their registries postpone, to create a Job.
    """

    settings: Settings
    mirrors: Mirrors
    prewarm: "PrewarmRung | None" = None
    reads_for_creation: bool = True
    limits: "UpstreamLimits | None" = None
    _helpers: dict[str, ImageReference] = field(default_factory=dict)
    """The helper image by the location of the cluster."""

    def find_targets(self, cluster: "ClusterApi", request: ReferenceRequest) -> Sequence[Target]:
        """
        Return the targets of the message or the configuration, or those of the cluster's nodes.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        given = given_targets(self.settings, request)
        if given is not None:
            return given
        nodes = [Node.from_body(body) for body in cluster.list_nodes(ACCELERATOR_KEY)]
        return [Target(placement.name, placement) for placement in find_targets(nodes)]

    def look_up(
        self, cluster: "ClusterApi", resolved: ResolvedRequest, target: Target
    ) -> WarmupSnapshot:
        """
        Return what decides about an image on a target.

        It stops reading when the rest cannot change the decision.

        Raises:
            ImageError: The image has no manifest for the platform, or no rung can serve.
            MissingMirrorError: The mirror does not exist, and is not created.
            TransientError: A service that is needed is unavailable.
            ConfigurationError: Our identity is refused, or the cluster lacks our manifests.
        """
        name = job_name(self.settings, cluster.name, resolved, target)
        job = cluster.fetch_job(name)
        now = datetime.now(UTC)
        snapshot = WarmupSnapshot(resolved=resolved, target=target, name=name, job=job, read_at=now)
        if snapshot.is_served:
            return snapshot
        self.mirrors.confirm(resolved.source)
        snapshot = self._read_rung(cluster, resolved, self.read_size(resolved, target), snapshot)
        is_small = is_too_small(self.settings, resolved.request, snapshot.image_bytes)
        if is_small or snapshot.choice is None or snapshot.choice.strategy is None:
            return snapshot
        snapshot = replace(snapshot, usage=self._read_usage(cluster, snapshot))
        return self._read_for_creation(cluster, snapshot) if self.reads_for_creation else snapshot

    def read_size(self, resolved: ResolvedRequest, target: Target) -> int | None:
        """
        Return the compressed size of an image as far as no node decides its platform.

        Raises:
            ImageError: The image has no manifest for the requested platform.
            TransientError: The registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        platform = wanted_platform(resolved.request, target)
        return self.mirrors.measure(resolved.source, resolved.manifest, platform)

    def read_choice(
        self, cluster: "ClusterApi", request: ReferenceRequest, target: Target
    ) -> "RungChoice | None":
        """
        Return the rung for an image of unknown digest; None if its size decides.

        Raises:
            ImageError: No rung can serve (``no_node``).
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        from shared.pipeline.choose_rung import RungRequest, choose_rung

        if PREWARM_RUNG in self.settings.ladder:
            return None
        platform = wanted_platform(request, target)
        wanted = RungRequest(target.placement, platform, WantedImage(digest=None))
        return choose_rung(self.settings, cluster, wanted, prewarm=None)

    def _read_rung(
        self,
        cluster: "ClusterApi",
        resolved: ResolvedRequest,
        image_bytes: int | None,
        snapshot: WarmupSnapshot,
    ) -> WarmupSnapshot:
        """Read the rung that serves, and the size on the platform of its nodes."""
        from shared.pipeline.choose_rung import RungRequest, choose_rung

        target = snapshot.target
        if is_too_small(self.settings, resolved.request, image_bytes):
            return replace(snapshot, image_bytes=image_bytes)
        platform = wanted_platform(resolved.request, target)
        serve = partial(self._serve_prewarm, cluster, resolved, target, image_bytes)
        location = location_of(resolved.source.mirror)
        image = resolved.describe(image_bytes)
        wanted = RungRequest(target.placement, platform, image, location)
        choice = choose_rung(
            self.settings, cluster, wanted, prewarm=None if self.prewarm is None else serve
        )
        chosen = choice.strategy.platform if choice.strategy else None
        if chosen and (image_bytes is None or chosen != (platform or DEFAULT_PLATFORM)):
            image_bytes = self.mirrors.measure(resolved.source, resolved.manifest, chosen)
        return replace(snapshot, image_bytes=image_bytes, choice=choice)

    def _serve_prewarm(
        self,
        cluster: "ClusterApi",
        resolved: ResolvedRequest,
        target: Target,
        image_bytes: int | None,
    ) -> "PrewarmStep":
        from shared.pipeline.plan_prewarm import make_prewarm_request

        platform = wanted_platform(resolved.request, target) or DEFAULT_PLATFORM
        digest = resolved.manifest.platform_digest(platform)
        if image_bytes is None or digest is None:
            raise RungUnavailableError(f"the image has no manifest for {platform}")
        request = make_prewarm_request(resolved, digest, platform, cluster.name, image_bytes)
        if request is None or self.prewarm is None:
            raise RungUnavailableError("the image is not in a repository of Artifact Registry")
        return self.prewarm.serve(request, partial(self._was_pulled, cluster, resolved, target))

    def _was_pulled(self, cluster: "ClusterApi", resolved: ResolvedRequest, target: Target) -> bool:
        """Whether a node pulled the image in a recent warmup: its Job still exists."""
        names = earlier_names(self.settings, cluster.name, resolved, target)
        jobs = map(cluster.fetch_job, names)
        return any(job is not None and JobState.from_body(job).is_complete for job in jobs)

    def _read_usage(self, cluster: "ClusterApi", snapshot: WarmupSnapshot) -> TenantUsage | None:
        """Return the usage of the tenant that requests an image; None if no budget applies."""
        tenant, settings = snapshot.tenant, self.settings
        has_budget = settings.namespace_budget or settings.namespace_daily_budget
        if tenant is None or snapshot.read_at is None or not has_budget:
            return None
        jobs = cluster.list_jobs(f"{SELECTOR},{make_tenant_selector(tenant)}")
        return count_usage(jobs, snapshot.read_at)

    def _read_for_creation(self, cluster: "ClusterApi", snapshot: WarmupSnapshot) -> WarmupSnapshot:
        helper = self._read_helper(cluster)
        report: tuple[Action, ...] = ()
        if snapshot.job is not None:
            from shared.pipeline.report_warmup import read_report

            report = read_report(cluster, snapshot.job)
        return replace(snapshot, helper=helper, report=report)

    def _read_helper(self, cluster: "ClusterApi") -> ImageReference:
        """
        Return the helper image by digest, from its mirror; read once per location.

        Raises:
            ImageError: Its upstream limits pulls (``postponed``).
            ConfigurationError: It cannot be used.
        """
        location = cluster.name.location
        if location not in self._helpers:
            text = self.settings.helper_image
            try:
                self._helpers[location] = self._resolve_helper(cluster)
            except ImageError as exc:
                message = f"helper_image {text!r} cannot be used: {exc}"
                if exc.outcome != "postponed":
                    raise ConfigurationError(f"{message}. {exc.hint}") from exc
                raise ImageError(
                    "postponed", message, hint=exc.hint, not_before=exc.not_before
                ) from exc
        return self._helpers[location]

    def _resolve_helper(self, cluster: "ClusterApi") -> ImageReference:
        # Even if the digest is known, the mirror may have to be created.
        reference = parse_reference(self.settings.helper_image)
        source = self.mirrors.locate(reference, cluster.name.location)
        if self.limits is not None:
            self.limits.check(cluster, source, datetime.now(UTC))
        try:
            digest = self.mirrors.resolve(source).digest
        except ImageError as exc:
            if self.limits is not None:
                self.limits.remember(cluster, source, exc)
            raise
        self.mirrors.confirm(source)
        return source.mirror.at(digest)
