"""Launch the warmup of one image on one target: exactly one Job for each period."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from shared.domain.cluster import ClusterName
from shared.domain.image_reference import Digest, ImageReference, parse_reference
from shared.domain.json_access import number_of
from shared.domain.ladder import (
    PREWARM_RUNG,
    Node,
    RungUnavailableError,
    Strategy,
    find_targets,
    with_platform,
)
from shared.domain.manifest import Manifest
from shared.domain.placement import ACCELERATOR_KEY, DEFAULT_PLATFORM, Placement
from shared.domain.request import ReferenceRequest
from shared.domain.warmup_job import (
    SIZE_ANNOTATION,
    STRATEGY_ANNOTATION,
    JobName,
    JobState,
    Warmup,
    WarmupKey,
    period_of,
    time_to_live_s,
)
from shared.errors import ConfigurationError, ImageError, TransientError
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.order import Order, Target, wanted_platform
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.prewarm_artifact import Prewarming, PrewarmStep

_SECONDS_AN_HOUR = 3_600


class Cluster(Protocol):
    """A cluster's API, as far as warming needs it."""

    @property
    def name(self) -> ClusterName: ...  # noqa: D102
    @property
    def is_autopilot(self) -> bool: ...  # noqa: D102
    def fetch_job(self, name: str) -> dict[str, Any] | None: ...  # noqa: D102
    def create_job(self, body: Mapping[str, Any]) -> bool: ...  # noqa: D102
    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool: ...  # noqa: D102
    def delete_job(self, name: str, uid: str) -> None: ...  # noqa: D102
    def list_jobs(  # noqa: D102
        self, label_selector: str, field_selector: str = ""
    ) -> Iterable[dict[str, Any]]: ...
    def list_nodes(self, label_selector: str = "") -> Iterable[dict[str, Any]]: ...  # noqa: D102


ReportJob = Callable[[Any, Mapping[str, Any]], object]
"""Writes the fact of a Job that ended in a cluster, unless that was done before."""


Result = Literal[
    "created", "waiting", "known", "too_small", "would_create", "prewarming", "prewarmed"
]


@dataclass(frozen=True, slots=True)
class Launch:
    """What came of launching a warmup."""

    result: Result
    job: JobName
    rung: str | None = None
    """How the image is warmed; None where it is not, or where that is not known."""
    image_bytes: int | None = None
    """Compressed size, on the platform of the node; None where that is not known."""
    artifact: str | None = None
    """What Artifact Registry prewarms; there is no Job then."""
    passed: str | None = None
    """Why it does not, where somebody should know."""
    is_complete: bool = False
    """Whether the Job that stands there has pulled the image."""

    @property
    def name(self) -> str:
        """What the log line names."""
        return self.artifact or self.job


class Launcher:
    """Makes warmup Jobs; asking twice is asking once."""

    def __init__(
        self,
        settings: Settings,
        *,
        mirrors: Mirrors,
        report: ReportJob,
        prewarming: "Prewarming | None" = None,
    ) -> None:
        """
        Wire the parts.

        Args:
            settings: The configuration.
            mirrors: Those of the deployment.
            report: Writes the fact of a Job that ended.
            prewarming: Serves the rung ``prewarm-api``; None leaves that rung out.
        """
        self._settings = settings
        self._mirrors = mirrors
        self._report = report
        self.prewarming = prewarming
        self._helpers: dict[str, ImageReference] = {}

    def launch(self, cluster: Cluster, order: Order, target: Target) -> Launch:
        """
        Make sure that the warmup of this period was launched.

        Raises:
            ImageError: The image has nothing for the target's platform, or no rung can serve.
            TransientError: A service that is needed is unavailable.
            ConfigurationError: Our identity is refused, or the cluster lacks our manifests.
        """
        job = self.job_name(cluster.name, order, target)
        body = cluster.fetch_job(job)
        standing = None if body is None else JobState.from_body(body)
        if standing is not None and not standing.is_failed:
            result: Result = "waiting" if standing.is_waiting else "known"
            return Launch(result, job, *_told(body or {}), is_complete=standing.is_complete)
        self._mirrors.confirm(order.source)
        way = self._prepare(cluster, order, target)
        strategy, image_bytes = way.chosen, way.image_bytes
        if strategy is None:
            return Launch("too_small", job, image_bytes=image_bytes)
        if not isinstance(strategy, Strategy):
            return Launch(strategy.result, job, PREWARM_RUNG, image_bytes, strategy.artifact)
        launch = Launch("waiting", job, strategy.rung, image_bytes, passed=way.passed)
        if self._settings.dry_run:
            return replace(launch, result="would_create")
        warmup = self._make_warmup(cluster, order, target, strategy, image_bytes)
        if body is not None and standing is not None:
            # Its fact first: with the Job goes what is known of its end.
            self._report(cluster, body)
            cluster.delete_job(standing.name, standing.uid)
        if cluster.create_job(warmup.body()):
            return replace(launch, result="created")
        if standing is not None and not _was_replaced(standing, cluster.fetch_job(job)):
            raise TransientError(f"failed Job {job} is still being deleted")
        return launch

    def _prepare(self, cluster: Cluster, order: Order, target: Target) -> "_Way":
        """Find the way to warm an image, and its size."""
        from shared.pipeline.choose_rung import Ladder

        platform = wanted_platform(order.request, target)
        image_bytes = self.measure(order, target)
        if image_bytes is not None and self.is_too_small(order.request, image_bytes):
            return _Way(None, image_bytes)
        chosen, passed = Ladder(self._settings, cluster).climb(
            target.placement,
            platform,
            order.manifest.digest,
            partial(self._prewarm, cluster, order, target, image_bytes),
        )
        if not isinstance(chosen, Strategy):
            return _Way(chosen, image_bytes or 0)
        if image_bytes is None or chosen.platform != (platform or DEFAULT_PLATFORM):
            image_bytes = self._fetch_platform(order, chosen.platform).image_bytes
            if self.is_too_small(order.request, image_bytes):
                return _Way(None, image_bytes)
        return _Way(chosen, image_bytes, passed)

    def measure(self, order: Order, target: Target) -> int | None:
        """
        Return the compressed size of the image, as far as it can be told before the node is known.

        None where no platform is asked for and the image has none for the usual one.

        Raises:
            ImageError: The image has nothing for the platform that is asked for.
            TransientError: The registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        platform = wanted_platform(order.request, target)
        manifest = order.manifest
        if platform is None and manifest.is_index and not manifest.digest_for(DEFAULT_PLATFORM):
            return None
        return self._fetch_platform(order, platform or DEFAULT_PLATFORM).image_bytes

    def _fetch_platform(self, order: Order, platform: str) -> Manifest:
        return self._mirrors.fetch_platform(order.source, order.manifest, platform)

    def is_too_small(self, request: ReferenceRequest, image_bytes: int) -> bool:
        """Whether the image starts fast anyway, and nobody insists."""
        return not request.overrides_rules and image_bytes < self._settings.min_image_bytes

    def job_name(self, cluster: ClusterName, order: Order, target: Target) -> JobName:
        """Return the name that the warmup of this period has, whether it stands or not."""
        key = self._key(cluster, order, target)
        if order.request.force:
            key = replace(key, forced_by=order.request.forced_by or order.message_id)
        return key.job_name(order.source.image)

    def earlier_names(self, cluster: ClusterName, order: Order, target: Target) -> list[JobName]:
        """Return the names of the warmups that came last, whether they stand or not."""
        key = self._key(cluster, order, target)
        keys = [replace(key, period=key.period - 1)]
        if order.request.force:
            keys.append(key)
        return [each.job_name(order.source.image) for each in keys]

    def _key(self, cluster: ClusterName, order: Order, target: Target) -> WarmupKey:
        digest = order.manifest.digest
        return WarmupKey(
            digest=digest,
            cluster=str(cluster),
            target=with_platform(target.placement, order.request.platform),
            period=period_of(order.publish_time, digest, self._period_s),
        )

    def choose_strategy(
        self, cluster: Cluster, target: Placement, platform: str | None, digest: Digest | None
    ) -> Strategy:
        """
        Return the first rung of the ladder that can serve.

        Args:
            cluster: A connection to it.
            target: Where the image shall be warm.
            platform: ``os/architecture`` that is asked for; None where that is left open.
            digest: The image's; None where it is not known, and no node is said to hold it.

        Raises:
            ImageError: None can serve (``no_node``).
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        from shared.pipeline.choose_rung import Ladder, ask_nobody

        ladder = Ladder(self._settings, cluster)
        strategy, _ = ladder.climb(target, platform, digest, ask_nobody)
        return strategy

    def _prewarm(
        self, cluster: Cluster, order: Order, target: Target, image_bytes: int | None
    ) -> "PrewarmStep":
        """Let Artifact Registry warm an image, if it can."""
        from shared.pipeline.choose_rung import ask_nobody
        from shared.pipeline.prewarm_artifact import make_prewarm_order

        if self.prewarming is None:
            ask_nobody()
        platform = wanted_platform(order.request, target) or DEFAULT_PLATFORM
        digest = order.manifest.platform_digest(platform)
        if image_bytes is None or digest is None:
            raise RungUnavailableError(f"the image has no manifest for {platform}")
        wanted = make_prewarm_order(order, digest, platform, cluster.name, image_bytes)
        if wanted is None:
            raise RungUnavailableError("the image lies in no repository of Artifact Registry")
        return self.prewarming.serve(wanted, partial(self._was_pulled, cluster, order, target))

    def _was_pulled(self, cluster: Cluster, order: Order, target: Target) -> bool:
        """Whether a node pulled the image in the last warmup: that one still stands."""
        bodies = map(cluster.fetch_job, self.earlier_names(cluster.name, order, target))
        return any(body is not None and JobState.from_body(body).is_complete for body in bodies)

    def _make_warmup(
        self,
        cluster: Cluster,
        order: Order,
        target: Target,
        strategy: Strategy,
        image_bytes: int,
    ) -> Warmup:
        settings = self._settings
        return Warmup(
            name=self.job_name(cluster.name, order, target),
            namespace=settings.namespace,
            image=order.request.image,
            mirror=order.pulled,
            digest=order.manifest.digest,
            helper=self._resolve_helper(cluster.name),
            image_bytes=image_bytes,
            target_name=target.name,
            strategy=strategy,
            cause=order.request.cause,
            deadline_s=round(settings.deadline_minutes * 60),
            time_to_live_s=time_to_live_s(
                self._period_s, settings.max_event_age_hours * _SECONDS_AN_HOUR
            ),
            queued_at=datetime.now(UTC),
        )

    def _resolve_helper(self, cluster: ClusterName) -> ImageReference:
        """Return the helper image by digest, from its mirror; asked once an instance and region."""
        if cluster.location not in self._helpers:
            self._helpers[cluster.location] = self._ask_for_helper(cluster)
        return self._helpers[cluster.location]

    def _ask_for_helper(self, cluster: ClusterName) -> ImageReference:
        text = self._settings.helper_image
        try:
            # Also where the digest is known: its mirror may have to be made.
            source = self._mirrors.locate(parse_reference(text), cluster.location)
            digest = self._mirrors.resolve(source).digest
            self._mirrors.confirm(source)
            return source.mirror.at(digest)
        except ImageError as exc:
            message = f"helper_image {text!r} cannot be used: {exc}. {exc.hint}"
            if exc.outcome == "postponed":
                raise TransientError(message) from exc
            raise ConfigurationError(message) from exc

    @property
    def _period_s(self) -> float:
        return self._settings.period_hours * _SECONDS_AN_HOUR


@dataclass(frozen=True, slots=True)
class _Way:
    """How an image gets warm: by a Job, or by Artifact Registry."""

    chosen: "Strategy | PrewarmStep | None"
    """None for an image that starts fast anyway."""
    image_bytes: int
    passed: str | None = None


def choose_targets(settings: Settings, request: ReferenceRequest, cluster: Cluster) -> list[Target]:
    """
    Return where to warm: what the message says, or what the configuration does.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    given = given_targets(settings, request)
    if given is not None:
        return given
    nodes = [Node.from_body(body) for body in cluster.list_nodes(ACCELERATOR_KEY)]
    return [Target(placement.name, placement) for placement in find_targets(nodes)]


def given_targets(settings: Settings, request: ReferenceRequest) -> list[Target] | None:
    """Return where to warm, as far as no cluster need be asked; None where the nodes decide."""
    if request.placement is not None:
        # Anybody may publish a message, so what it says is reduced here once more.
        placement = request.placement.reduced_to(settings.placement_keys)
        return [Target(placement.name, placement)]
    if settings.targets != "auto":
        return [Target(name, placement) for name, placement in settings.targets.items()]
    return None


def _told(body: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """Return what a warmup Job says of itself: the rung, and the image's size."""
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    return annotations.get(STRATEGY_ANNOTATION), number_of(annotations.get(SIZE_ANNOTATION))


def _was_replaced(failed: JobState, body: Mapping[str, Any] | None) -> bool:
    """Whether another Job stands in the place of one that failed: somebody was faster."""
    return body is not None and JobState.from_body(body).uid != failed.uid
