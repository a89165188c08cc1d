"""Keep warm what a cluster uses, and heal what a lost event left behind."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

from shared.domain.facts import MirrorBypassed, Subject, TagMoved
from shared.domain.jobs import JobName
from shared.domain.manifests import Manifest
from shared.domain.outcomes import Outcome
from shared.domain.references import Digest, ImageReference
from shared.domain.requests import Cause, ReferenceRequest
from shared.domain.selection import Selection
from shared.errors import ImageError
from shared.settings import Settings
from shared.workflows.inquiries import Inquiry
from shared.workflows.inventory import Cluster as UsedCluster
from shared.workflows.inventory import Inventory, Use, read_inventory
from shared.workflows.launching import Launcher
from shared.workflows.mending import Cluster as MendedCluster
from shared.workflows.mending import Queue, mend_queue
from shared.workflows.mirroring import Mirrors, MissingMirrorError, Source
from shared.workflows.orders import Order, Target
from shared.workflows.reporting import Reporting
from shared.workflows.turns import resume_next

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


@dataclass(slots=True)
class _Sweep:
    """One sweep of one cluster: what it knows, and what it did."""

    cluster: Cluster
    message_id: str
    now: datetime
    """When the tick was published: what is due is counted from it."""
    queue: Queue
    inquiry: Inquiry
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
            launcher: Knows the names of warmups.
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
        resumed = [] if settings.dry_run else resume_next(cluster, settings.max_running)
        inventory = read_inventory(cluster, settings)
        inquiry = Inquiry(self._mirrors, settings.sweep_share)
        sweep = _Sweep(cluster, message_id, now, queue, inquiry)
        images = self._group(sweep, inventory)
        due = self._publish(self._find_due(sweep, images, inventory.running))
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
        }
        return Outcome("handled", details | ({"dry_run": True} if settings.dry_run else {}))

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
            min_bytes = self._settings.min_image_bytes
            is_small = sweep.inquiry.is_small(image.source, manifest, use.platform, min_bytes)
            if is_small is None:
                continue
            if is_small:
                sweep.inquiry.skipped["too_small"] += 1
                continue
            sweep.asked.add(name)
            yield request

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


def _request(sweep: _Sweep, use: Use) -> ReferenceRequest:
    return ReferenceRequest(
        image=use.image.text,
        reference=use.image.reference,
        cluster=str(sweep.cluster.name),
        placement=use.placement,
        platform=use.platform,
        cause=Cause("schedule", sweep.message_id, use.workload),
    )
