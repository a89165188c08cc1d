"""Launch the warmup of one image on one target: exactly one Job for each period."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, Protocol

from shared.domain.clusters import ClusterName
from shared.domain.jobs import (
    SIZE_ANNOTATION,
    STRATEGY_ANNOTATION,
    JobName,
    JobState,
    Warmup,
    WarmupKey,
    period_of,
    time_to_live_s,
)
from shared.domain.ladder import (
    Node,
    Rung,
    RungUnavailableError,
    Strategy,
    find_targets,
    plan_rung,
    plan_warm_pool,
    platform_of,
    serve_rung,
    with_platform,
)
from shared.domain.manifests import Manifest
from shared.domain.placements import ACCELERATOR_KEY, DEFAULT_PLATFORM, Placement
from shared.domain.references import Digest, ImageReference, parse_reference
from shared.domain.requests import ReferenceRequest
from shared.errors import ConfigurationError, ImageError, TransientError
from shared.settings import Settings
from shared.workflows.mirroring import Mirrors, Source

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
    def list_jobs(self, label_selector: str) -> Iterable[dict[str, Any]]: ...  # noqa: D102
    def list_nodes(self, label_selector: str = "") -> Iterable[dict[str, Any]]: ...  # noqa: D102


ReportJob = Callable[[Any, Mapping[str, Any]], object]
"""Writes the fact of a Job that ended in a cluster, unless that was done before."""


@dataclass(frozen=True, slots=True)
class Order:
    """An image whose digest is known, and who asked for it."""

    request: ReferenceRequest
    message_id: str
    publish_time: datetime
    source: Source
    manifest: Manifest

    @property
    def pulled(self) -> ImageReference:
        """What nodes pull: the mirror's reference by digest."""
        return self.source.mirror.at(self.manifest.digest)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an image shall be warm: a placement, under the name that its label carries."""

    name: str
    placement: Placement


@dataclass(frozen=True, slots=True)
class Launch:
    """What came of launching a warmup."""

    result: Literal["created", "waiting", "known", "too_small", "would_create"]
    job: JobName
    rung: str | None = None
    """How the image is warmed; None where it is not, or where that is not known."""
    image_bytes: int | None = None
    """Compressed size, on the platform of the node; None where that is not known."""


class Launcher:
    """Makes warmup Jobs; asking twice is asking once."""

    def __init__(self, settings: Settings, *, mirrors: Mirrors, report: ReportJob) -> None:
        self._settings = settings
        self._mirrors = mirrors
        self._report = report
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
            return Launch("waiting" if standing.is_waiting else "known", job, *_told(body or {}))
        self._mirrors.confirm(order.source)
        strategy, image_bytes = self._prepare(cluster, order, target)
        if strategy is None:
            return Launch("too_small", job, image_bytes=image_bytes)
        if self._settings.dry_run:
            return Launch("would_create", job, strategy.rung, image_bytes)
        warmup = self._make_warmup(cluster, order, target, strategy, image_bytes)
        if body is not None and standing is not None:
            # Its fact first: with the Job goes what is known of its end.
            self._report(cluster, body)
            cluster.delete_job(standing.name, standing.uid)
        if cluster.create_job(warmup.body()):
            return Launch("created", job, strategy.rung, image_bytes)
        if standing is not None and not _was_replaced(standing, cluster.fetch_job(job)):
            raise TransientError(f"failed Job {job} is still being deleted")
        return Launch("waiting", job, strategy.rung, image_bytes)

    def _prepare(
        self, cluster: Cluster, order: Order, target: Target
    ) -> tuple[Strategy | None, int]:
        """Return how to warm, None for an image that starts fast; and the compressed size."""
        platform = wanted_platform(order.request, target)
        image_bytes = self.measure(order, target)
        if image_bytes is not None and self.is_too_small(order.request, image_bytes):
            return None, image_bytes
        strategy = self.choose_strategy(cluster, target.placement, platform, order.manifest.digest)
        if image_bytes is None or strategy.platform != (platform or DEFAULT_PLATFORM):
            image_bytes = self._fetch_platform(order, strategy.platform).image_bytes
            if self.is_too_small(order.request, image_bytes):
                return None, image_bytes
        return strategy, image_bytes

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
        digest = order.manifest.digest
        key = WarmupKey(
            digest=digest,
            cluster=str(cluster),
            target=with_platform(target.placement, order.request.platform),
            period=period_of(order.publish_time, digest, self._period_s),
            forced_by=order.message_id if order.request.force else None,
        )
        return key.job_name(order.source.image)

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
        reasons = []
        for name, plan in self._plans(target, platform, is_autopilot=cluster.is_autopilot):
            try:
                rung = plan()
                selector = ",".join(f"{key}={value}" for key, value in rung.node_selector.items())
                return serve_rung(
                    rung,
                    [Node.from_body(body) for body in cluster.list_nodes(selector)],
                    digest,
                    platform=platform,
                )
            except RungUnavailableError as exc:
                reasons.append(f"{name}: {exc}")
        raise ImageError("no_node", "; ".join(reasons), hint=_no_node_hint(target))

    def _plans(
        self, target: Placement, platform: str | None, *, is_autopilot: bool
    ) -> Iterator[tuple[str, Callable[[], Rung]]]:
        """Yield the rungs in order; a warm pool serves where any-node finds no ready node."""
        for name in self._settings.ladder:
            yield name, partial(plan_rung, name, target, platform, is_autopilot=is_autopilot)
            if name == "any-node" and self._settings.warm_pool and not is_autopilot:
                yield "the warm pool", partial(plan_warm_pool, platform)

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


def wanted_platform(request: ReferenceRequest, target: Target) -> str | None:
    """Return the platform that is asked for; None where the node decides."""
    return request.platform or platform_of(target.placement)


def _told(body: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """Return what a warmup Job says of itself: the rung, and the image's size."""
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    size = str(annotations.get(SIZE_ANNOTATION) or "")
    return annotations.get(STRATEGY_ANNOTATION), int(size) if size.isdecimal() else None


def _was_replaced(failed: JobState, body: Mapping[str, Any] | None) -> bool:
    """Whether another Job stands in the place of one that failed: somebody was faster."""
    return body is not None and JobState.from_body(body).uid != failed.uid


def _no_node_hint(placement: Placement) -> str:
    accelerator = dict(placement.node_selector).get(ACCELERATOR_KEY)
    pool = f"a {accelerator} node pool" if accelerator else "a node pool of the target"
    return (
        f"Turn on image streaming on a node pool of the cluster, or start a node of {pool};"
        " the rung new-gpu-node adds one."
    )
