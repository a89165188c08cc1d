"""Keep warm what a cluster uses, and heal what a lost event left behind."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

from shared.domain.disposition import Outcome
from shared.domain.fact import MirrorBypassed, Subject, TagMoved
from shared.domain.image_reference import Digest, ImageReference
from shared.domain.image_selection import Selection
from shared.domain.ladder import PREWARM_RUNG
from shared.domain.manifest import Manifest
from shared.domain.placement import DEFAULT_PLATFORM
from shared.domain.prewarm_plan import Wanted
from shared.domain.request import Cause, ReferenceRequest
from shared.domain.warmup_job import JobName
from shared.errors import ImageError
from shared.pipeline.mirror_lookup import Mirrors, MissingMirrorError, Source
from shared.pipeline.order import Order, Target, wanted_platform
from shared.pipeline.plan_resume import resume_next
from shared.pipeline.plan_warmup import Launcher
from shared.pipeline.prewarm_artifact import PrewarmOrder, make_prewarm_order
from shared.pipeline.repair_queue import Cluster as MendedCluster
from shared.pipeline.repair_queue import Queue, mend_queue
from shared.pipeline.report_warmup import Reporting
from shared.pipeline.sweep.inventory import Cluster as UsedCluster
from shared.pipeline.sweep.inventory import Inventory, Use, read_inventory
from shared.pipeline.sweep.renew import Renewal
from shared.pipeline.upstream_budget import Inquiry
from shared.settings.keys import Settings

_BATCH = 500
"""References that are published at once, so that a sweep that dies has done a part of it."""

_BYPASS_HINT = (
    "Label the namespace prestream.dev/rewrite=enabled, and let the workload make new pods."
)


class Cluster(MendedCluster, UsedCluster, Protocol):
    """A cluster's API, as far as a sweep needs it."""


class Publisher(Protocol):
    """Publishes references."""

    def publish(self, requests: Sequence[ReferenceRequest]) -> None: ...  # noqa: D102


@dataclass(slots=True)
class _Image:
    """An image in use, under all names that are written for it."""

    source: Source
    uses: list[Use] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """What users wrote."""
        return {use.image.text for use in self.uses}

    def next_start(self, now: datetime, within: timedelta) -> datetime | None:
        """When the first of its workloads starts by the clock."""
        schedules = frozenset().union(*(use.schedules for use in self.uses))
        starts = [each.next_start(now, within) for each in schedules]
        return min((start for start in starts if start is not None), default=None)


@dataclass(slots=True)
class _Sweep:
    """One sweep of one cluster: what it knows, and what it did."""

    cluster: Cluster
    message_id: str
    now: datetime
    """When the tick was published: what is due is counted from it."""
    queue: Queue
    inquiry: Inquiry
    renewal: Renewal | None = None
    """What Artifact Registry prewarms; None where the ladder has no such rung."""
    asked: set[JobName | tuple[str, ...]] = field(default_factory=set)
    """Warmups that are asked for: two tags of one digest are one."""
    moved: int = 0
    bypassed: int = 0

    @property
    def day(self) -> datetime:
        """Begin of the day: what lasts is said once in each, in the same words."""
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def cause(self) -> Cause:
        """Why facts are written."""
        return Cause("schedule", self.message_id)


class Sweeping:
    """Publishes a reference for everything that is in use and due; mends the queue of Jobs."""

    def __init__(
        self,
        settings: Settings,
        *,
        mirrors: Mirrors,
        launcher: Launcher,
        reporting: Reporting,
        publisher: Callable[[], Publisher],
    ) -> None:
        """
        Wire the parts.

        Args:
            settings: The configuration.
            mirrors: Those of the deployment; made so that they only look.
            launcher: Knows the names of warmups, and has what prewarms.
            reporting: Writes facts.
            publisher: Makes the publisher, once there is something to publish.
        """
        self._settings = settings
        self._mirrors = mirrors
        self._launcher = launcher
        self._reporting = reporting
        self._publisher = publisher
        self._selection = Selection(settings.include, settings.exclude)

    def sweep(self, cluster: Cluster, message_id: str, now: datetime) -> Outcome:
        """
        Sweep a cluster; doing so twice, or half, gives the same world.

        Args:
            cluster: A connection to it.
            message_id: Of the tick.
            now: When the tick was published: what is due is counted from it.

        Raises:
            TransientError: A service that is needed is unavailable.
            ConfigurationError: One of them refuses our identity.
        """
        settings = self._settings
        queue = mend_queue(cluster, settings, self._reporting, now)
        # First, so that nothing that goes wrong later keeps a warmup from its turn.
        resumed = [] if settings.dry_run else _resume(cluster, settings)
        inventory = read_inventory(cluster, settings)
        inquiry = Inquiry(self._mirrors, settings.sweep_share)
        renewal = self._make_renewal()
        sweep = _Sweep(cluster, message_id, now, queue, inquiry, renewal)
        images = self._group(sweep, inventory)
        due = self._publish(self._find_due(sweep, images, inventory.running))
        # Once all is known that is wanted: not everything may have room.
        if renewal is not None:
            due += self._publish(renewal.carry_out())
            renewal.make_room()
        self._report_bypasses(sweep, inventory)
        if inquiry.failure is not None and not inquiry.was_answered:
            raise inquiry.failure
        details = {
            "cluster": str(cluster.name),
            "workloads": inventory.workloads,
            "images": len(images),
            "due": due,
            "reported": queue.reported,
            "removed": queue.removed,
            "resumed": resumed,
            "moved": sweep.moved,
            "bypassed": sweep.bypassed,
            **inquiry.as_details(),
            **({} if renewal is None else renewal.as_details()),
        }
        return Outcome("handled", details | ({"dry_run": True} if settings.dry_run else {}))

    def _make_renewal(self) -> Renewal | None:
        prewarming = self._launcher.prewarming
        if prewarming is None or PREWARM_RUNG not in self._settings.ladder:
            return None
        return Renewal(prewarming, self._settings)

    def _group(self, sweep: _Sweep, inventory: Inventory) -> list[_Image]:
        """
        Return each image once, whatever its spellings, in the order in which they are asked for.

        What was never warmed comes first. Beyond that the order is another one in each sweep, so
        that a registry that does not answer all of it answers everything in the course of time.
        """
        images: dict[ImageReference, _Image] = {}
        located: dict[str, Source | None] = {}
        for use in inventory.uses.values():
            text = use.image.text
            if text not in located:
                located[text] = self._locate(sweep, use)
            source = located[text]
            if source is not None:
                images.setdefault(source.image, _Image(source)).uses.append(use)

        def turn(image: _Image) -> tuple[bool, str]:
            key = f"{sweep.message_id} {image.source.image}"
            is_known = not sweep.queue.images.isdisjoint(image.names)
            return is_known, hashlib.sha256(key.encode()).hexdigest()

        return sorted(images.values(), key=turn)

    def _locate(self, sweep: _Sweep, use: Use) -> Source | None:
        try:
            source = self._mirrors.locate(use.image.reference, sweep.cluster.name.location)
        except ImageError as exc:
            sweep.inquiry.skipped[exc.outcome] += 1
            return None
        if not self._selection.admits(source.image):
            # Its name in our mirror was written, which the patterns do not mean.
            sweep.inquiry.skipped["excluded"] += 1
            return None
        return source

    def _find_due(
        self,
        sweep: _Sweep,
        images: Iterable[_Image],
        running: Mapping[str, Mapping[Digest, Sequence[str]]],
    ) -> Iterator[ReferenceRequest]:
        """Yield a request for each image, target and platform that is due."""
        for image in images:
            try:
                manifest = sweep.inquiry.resolve(image.source)
                if manifest is not None:
                    self._report_moves(sweep, image, manifest, running)
                    yield from self._requests_due(sweep, image, manifest)
            except MissingMirrorError:
                # Nothing was ever warmed through it; who warms makes it.
                yield from self._requests_all(sweep, image)

    def _requests_due(
        self, sweep: _Sweep, image: _Image, manifest: Manifest
    ) -> Iterator[ReferenceRequest]:
        for use in image.uses:
            request = _request(sweep, use)
            order = Order(request, sweep.message_id, sweep.now, image.source, manifest)
            target = Target(use.placement.name, use.placement)
            name = self._launcher.job_name(sweep.cluster.name, order, target)
            if name in sweep.asked or sweep.queue.is_served(name, sweep.now):
                continue
            if _is_kept(sweep, order, target, manifest):
                continue
            known = sweep.inquiry.fetch_platform(image.source, manifest, use.platform)
            if known is None:
                continue
            if not known.is_index and known.image_bytes < self._settings.min_image_bytes:
                sweep.inquiry.skipped["too_small"] += 1
                continue
            sweep.asked.add(name)
            if not self._is_renewed(sweep, image, order, target, known):
                yield request

    def _is_renewed(
        self, sweep: _Sweep, image: _Image, order: Order, target: Target, known: Manifest
    ) -> bool:
        """Whether Artifact Registry keeps warm what is due, so that no reference is needed."""
        renewal, wish = sweep.renewal, _prewarm_order(sweep, order, target, known)
        if renewal is None or wish is None:
            return False
        if renewal.keeps(wish):
            return True
        earlier = self._launcher.earlier_names(sweep.cluster.name, order, target)
        wanted = Wanted(
            digest=wish.version.digest,
            location=wish.location,
            image_bytes=wish.image_bytes,
            workloads=sum(use.workloads for use in image.uses),
            next_start=image.next_start(sweep.now, timedelta(days=self._settings.prewarm_days)),
        )
        was_pulled = any(map(sweep.queue.has_warmed, earlier))
        return renewal.takes(wish, wanted, order.request, was_pulled=was_pulled)

    def _requests_all(self, sweep: _Sweep, image: _Image) -> Iterator[ReferenceRequest]:
        """Yield a request for each target and platform of an image of which nothing is known."""
        for use in image.uses:
            key = (str(image.source.image), use.placement.canonical, use.platform or "")
            if key not in sweep.asked:
                sweep.asked.add(key)
                yield _request(sweep, use)

    def _report_moves(
        self,
        sweep: _Sweep,
        image: _Image,
        manifest: Manifest,
        running: Mapping[str, Mapping[Digest, Sequence[str]]],
    ) -> None:
        """Say of a tag that it points elsewhere than what runs under it."""
        if image.source.image.digest is not None:
            return
        current = {manifest.digest, *(entry.digest for entry in manifest.platforms)}
        for name in sorted(image.names):
            for digest, workloads in running.get(name, {}).items():
                if digest in current:
                    continue
                moved = TagMoved(
                    subject=Subject(
                        image=name,
                        mirror=str(image.source.mirror),
                        digest=manifest.digest,
                        cluster=str(sweep.cluster.name),
                        cause=sweep.cause,
                    ),
                    at=sweep.day,
                    old_digest=digest,
                    workloads=tuple(workloads),
                )
                sweep.moved += 1
                self._reporting.write(moved.as_fact())

    def _report_bypasses(self, sweep: _Sweep, inventory: Inventory) -> None:
        """Say of an image that it runs from its upstream, though its mirror is proven here."""
        for (name, mirror), workloads in inventory.bypassing.items():
            bypassed = MirrorBypassed(
                subject=Subject(
                    image=name,
                    mirror=mirror,
                    cluster=str(sweep.cluster.name),
                    cause=sweep.cause,
                ),
                at=sweep.day,
                period=sweep.day.date().isoformat(),
                workloads=tuple(workloads),
                hint=_BYPASS_HINT,
            )
            sweep.bypassed += 1
            self._reporting.write(bypassed.as_fact())

    def _publish(self, requests: Iterator[ReferenceRequest]) -> int:
        """Publish requests as they are found, and return how many there were."""
        # A dry run publishes as well: what reads it decides and logs, and changes nothing.
        count = 0
        while batch := list(islice(requests, _BATCH)):
            self._publisher().publish(batch)
            count += len(batch)
        return count


def _resume(cluster: Cluster, settings: Settings) -> list[JobName]:
    return resume_next(cluster, settings.max_running, namespace_budget=settings.namespace_budget)


def _is_kept(sweep: _Sweep, order: Order, target: Target, manifest: Manifest) -> bool:
    """Whether Artifact Registry has prewarmed an image, as far as no registry need be asked."""
    wish = _prewarm_order(sweep, order, target, manifest)
    return sweep.renewal is not None and wish is not None and sweep.renewal.keeps(wish)


def _prewarm_order(
    sweep: _Sweep, order: Order, target: Target, manifest: Manifest
) -> PrewarmOrder | None:
    platform = wanted_platform(order.request, target) or DEFAULT_PLATFORM
    digest = manifest.platform_digest(platform)
    if sweep.renewal is None or digest is None:
        return None
    # An index says nothing of the size of what is in it.
    return make_prewarm_order(order, digest, platform, sweep.cluster.name, manifest.image_bytes)


def _request(sweep: _Sweep, use: Use) -> ReferenceRequest:
    return ReferenceRequest(
        image=use.image.text,
        reference=use.image.reference,
        cluster=str(sweep.cluster.name),
        placement=use.placement,
        platform=use.platform,
        cause=Cause("schedule", sweep.message_id, use.workload),
    )
