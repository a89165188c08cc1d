"""Keep warm what a cluster uses, and heal what a lost event left behind."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.domain.endings import FinishedJob
from shared.domain.facts import Subject, TagMoved
from shared.domain.jobs import SELECTOR, JobName, JobState
from shared.domain.manifests import Manifest
from shared.domain.outcomes import Outcome
from shared.domain.placements import DEFAULT_PLATFORM
from shared.domain.references import Digest
from shared.domain.requests import Cause, ReferenceRequest
from shared.domain.times import parse_time
from shared.errors import ImageError
from shared.settings import Settings
from shared.workflows.inventory import Cluster as UsedCluster
from shared.workflows.inventory import Inventory, Use, read_inventory
from shared.workflows.launching import Launcher, Order, Target
from shared.workflows.mirroring import Mirrors, MissingMirrorError, Source
from shared.workflows.reporting import Cluster as ReportedCluster
from shared.workflows.reporting import Reporting
from shared.workflows.turns import Jobs, resume_next

_RETRIES_A_PERIOD = 8
"""How often in a period a warmup that failed is tried again: its reason may have passed."""

_BATCH = 500
"""References that are published at once, so that a sweep that dies has done a part of it."""


class Cluster(ReportedCluster, UsedCluster, Jobs, Protocol):
    """A cluster's API, as far as a sweep needs it."""

    def delete_job(self, name: str, uid: str) -> None: ...  # noqa: D102


class Publisher(Protocol):
    """Publishes references."""

    def publish(self, requests: Sequence[ReferenceRequest]) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class _Standing:
    """A warmup Job that stands in the cluster, as far as what is due depends on it."""

    state: JobState
    ended: datetime | None

    def serves(self, now: datetime, pause: timedelta) -> bool:
        """Whether nothing is due while it stands: it warms, has warmed, or failed just now."""
        return not self.state.is_failed or (self.ended is not None and now < self.ended + pause)


@dataclass(slots=True)
class _Sweep:
    """One sweep of one cluster: what was found and done."""

    cluster: Cluster
    message_id: str
    now: datetime
    standing: dict[JobName, _Standing] = field(default_factory=dict)
    reported: int = 0
    removed: int = 0
    moved: int = 0
    due: int = 0
    skipped: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str) -> None:
        """Count an image that is left alone."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def as_details(self, inventory: Inventory) -> dict[str, Any]:
        """Return what the log line of the delivery says."""
        return {
            "cluster": str(self.cluster.name),
            "workloads": inventory.workloads,
            "images": len({image for image, _, _ in inventory.uses}),
            "due": self.due,
            "reported": self.reported,
            "removed": self.removed,
            "moved": self.moved,
            "skipped": self.skipped,
        }


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
        self._settings = settings
        self._mirrors = mirrors
        self._launcher = launcher
        self._reporting = reporting
        self._publisher = publisher

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
        sweep = _Sweep(cluster, message_id, now)
        self._mend_jobs(sweep)
        inventory = read_inventory(cluster, self._settings)
        batch: list[ReferenceRequest] = []
        for request in self._find_due(sweep, inventory):
            batch.append(request)
            if len(batch) == _BATCH:
                self._publish(batch)
                batch = []
        self._publish(batch)
        self._remove_outdated(sweep)
        details = sweep.as_details(inventory)
        if self._settings.dry_run:
            return Outcome("handled", details | {"dry_run": True})
        return Outcome(
            "handled", details | {"resumed": resume_next(cluster, self._settings.max_running)}
        )

    def _mend_jobs(self, sweep: _Sweep) -> None:
        """Write the facts that a lost event kept from being written; remember what stands."""
        for body in sweep.cluster.list_jobs(SELECTOR):
            if self._reporting.report_job(sweep.cluster, body) is not None:
                sweep.reported += 1
            finished = FinishedJob.from_body(body)
            state = JobState.from_body(body)
            sweep.standing[state.name] = _Standing(state, finished.at if finished else None)

    def _find_due(self, sweep: _Sweep, inventory: Inventory) -> Iterator[ReferenceRequest]:
        """Yield a request for each image, target and platform that is due."""
        uses: dict[str, list[Use]] = {}
        for use in inventory.uses.values():
            uses.setdefault(use.image.text, []).append(use)
        limited: set[str] = set()
        for image, same in uses.items():
            found = self._find(sweep, same[0], limited)
            if found is None:
                continue
            source, manifest = found
            self._report_move(sweep, source, manifest, inventory.running.get(image, {}))
            yield from self._requests_due(sweep, source, manifest, same)

    def _find(self, sweep: _Sweep, use: Use, limited: set[str]) -> tuple[Source, Manifest] | None:
        """Find what an image means now; None, and counted, for one that is left alone."""
        try:
            source = self._mirrors.locate(use.image.reference, sweep.cluster.name.location)
        except ImageError as exc:
            sweep.skip(exc.outcome)
            return None
        if source.image.registry in limited:
            sweep.skip("postponed")
            return None
        try:
            return source, self._resolve(source)
        except MissingMirrorError:
            sweep.skip("mirror missing in a dry run")
        except ImageError as exc:
            if exc.outcome == "postponed":
                # One refusal says it for all: what is left belongs to the workloads.
                limited.add(source.image.registry)
            sweep.skip(exc.outcome)
        return None

    def _resolve(self, source: Source) -> Manifest:
        """Ask the mirror what a tag means; a digest means itself, which costs no request."""
        if source.mirror.digest is not None:
            return Manifest(source.mirror.digest)
        return self._mirrors.resolve(source)

    def _requests_due(
        self, sweep: _Sweep, source: Source, manifest: Manifest, uses: Iterable[Use]
    ) -> Iterator[ReferenceRequest]:
        for use in uses:
            request = ReferenceRequest(
                image=use.image.text,
                reference=use.image.reference,
                cluster=str(sweep.cluster.name),
                placement=use.placement,
                platform=use.platform,
                cause=Cause("schedule", sweep.message_id, use.workload),
            )
            order = Order(request, sweep.message_id, sweep.now, source, manifest)
            name = self._launcher.job_name(
                sweep.cluster.name, order, Target(use.placement.name, use.placement)
            )
            standing = sweep.standing.get(name)
            if standing is not None and standing.serves(sweep.now, self._pause):
                continue
            try:
                is_small = self._is_small(source, manifest, use.platform)
            except ImageError as exc:
                sweep.skip(exc.outcome)
                continue
            if is_small:
                sweep.skip("too_small")
                continue
            sweep.due += 1
            yield request

    def _is_small(self, source: Source, manifest: Manifest, platform: str | None) -> bool:
        """Whether the image starts fast anyway; asked only of what is due."""
        known = manifest if manifest.is_index or manifest.layers else self._mirrors.resolve(source)
        wanted = platform or DEFAULT_PLATFORM
        if platform is None and known.is_index and not known.digest_for(DEFAULT_PLATFORM):
            return False
        found = self._mirrors.fetch_platform(source, known, wanted)
        return found.image_bytes < self._settings.min_image_bytes

    def _report_move(
        self,
        sweep: _Sweep,
        source: Source,
        manifest: Manifest,
        running: Mapping[Digest, Sequence[str]],
    ) -> None:
        """Say of a tag that it points elsewhere than what runs under it."""
        if source.image.digest is not None:
            return
        current = {manifest.digest, *(entry.digest for entry in manifest.platforms)}
        for digest, workloads in running.items():
            if digest in current:
                continue
            moved = TagMoved(
                subject=Subject(
                    image=str(source.image),
                    mirror=str(source.mirror),
                    digest=manifest.digest,
                    cluster=str(sweep.cluster.name),
                    cause=Cause("schedule", sweep.message_id),
                ),
                # Said once a day, and the same that day: nobody knows when the tag was moved.
                at=sweep.now.replace(hour=0, minute=0, second=0, microsecond=0),
                old_digest=digest,
                workloads=tuple(workloads),
            )
            sweep.moved += 1
            if not self._settings.dry_run:
                self._reporting.write(moved.as_fact())

    def _publish(self, requests: Sequence[ReferenceRequest]) -> None:
        # A dry run publishes as well: what reads it decides and logs, and changes nothing.
        if requests:
            self._publisher().publish(requests)

    def _remove_outdated(self, sweep: _Sweep) -> None:
        """Remove what still waits though its period is over: what is in use has a new one."""
        for standing in sweep.standing.values():
            state = standing.state
            if not state.is_waiting or parse_time(state.created) + self._period > sweep.now:
                continue
            sweep.removed += 1
            if not self._settings.dry_run:
                sweep.cluster.delete_job(state.name, state.uid)

    @property
    def _period(self) -> timedelta:
        return timedelta(hours=self._settings.period_hours)

    @property
    def _pause(self) -> timedelta:
        return self._period / _RETRIES_A_PERIOD
