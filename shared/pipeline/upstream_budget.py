"""
Ask registries during a sweep, within a share of their rate limits.

Pulls of workloads count against the same limits, and take precedence. A mirror checks a tag at its
upstream at most once an hour, and has the manifests of a known digest. So a tag counts as a pull,
and a digest does not.

https://docs.cloud.google.com/artifact-registry/docs/repositories/remote-overview
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.domain.manifest import Manifest
from shared.domain.mirror import Source, is_google_registry, project_of
from shared.domain.placement import DEFAULT_PLATFORM
from shared.domain.postponement import Postponement
from shared.domain.timestamp import format_time
from shared.domain.upstream import Upstream
from shared.errors import ImageError, ManifestUnavailableError, TransientError
from shared.pipeline.mirror_lookup import Mirrors

_MAX_TIMEOUTS = 3
"""The number of missing answers after which a registry is not asked again."""

_MAX_FAILURES = 100
"""
The number of failures of any kind after which a registry is not asked again.

An answer without a manifest costs little time, and may be due to one image: so a few such images
do not close the registry for others.
"""


@dataclass(slots=True)
class _Registry:
    """The state of an upstream, or of a project's registry at Google, in one sweep."""

    is_closed: bool = False
    """Whether it is not asked again in this sweep."""
    reason: str | None = None
    """Why images are postponed."""
    not_before: datetime | None = None
    timeouts: int = 0
    failures: int = 0
    pulls: int = 0
    """The tags asked for through a mirror."""
    postponed: int = 0


@dataclass(slots=True)
class UpstreamBudget:
    """The requests to registries that one sweep may make."""

    mirrors: Mirrors
    """Mirrors that are only read."""
    share: float
    """The share of a registry's rate limit that a sweep may use."""
    upstreams: Mapping[str, Upstream]
    """The upstreams with their numbers of pulls for a sweep."""
    skipped: Counter[str] = field(default_factory=Counter)
    """The number of skipped images, by the outcome that a warmup would have."""
    limited: set[Source] = field(default_factory=set)
    """The images for which an upstream answered that it limits pulls."""
    was_answered: bool = False
    failure: TransientError | None = None
    """The first failure."""
    _registries: dict[str, _Registry] = field(default_factory=dict)

    def resolve(self, source: Source) -> Manifest | None:
        """
        Return the manifest of an image; a digest needs no request.

        Returns None, and counts the image, if it is skipped or postponed.

        Raises:
            MissingMirrorError: Its mirror does not exist yet.
            ConfigurationError: Our identity is refused.
        """
        if source.mirror.digest is not None:
            return Manifest(source.mirror.digest)
        if not self._count_pull(source):
            return None
        return self._ask(source, lambda: self.mirrors.resolve(source))

    def postpone(self, source: Source, postponement: Postponement) -> None:
        """Count an image that its registry postpones; other images may still be asked for."""
        registry = self._registry_of(source)
        registry.postponed += 1
        registry.reason = registry.reason or postponement.reason
        registry.not_before = max(
            registry.not_before or postponement.not_before, postponement.not_before
        )

    def fetch_platform(
        self, source: Source, manifest: Manifest, platform: str | None
    ) -> Manifest | None:
        """
        Return the manifest of a platform; None if the image is skipped or postponed.

        If no platform is requested and the image lacks the default one, the index is returned:
        the warmup decides once its node is known.

        Raises:
            MissingMirrorError: Its mirror does not exist yet.
            ConfigurationError: Our identity is refused.
        """
        known: Manifest | None = manifest
        if not manifest.is_index and not manifest.layers:
            known = self._ask(source, lambda: self.mirrors.resolve(source))
        if known is not None and known.is_index:
            index, wanted = known, platform or DEFAULT_PLATFORM
            if platform is None and not index.digest_for(wanted):
                return index
            known = self._ask(source, lambda: self.mirrors.fetch_platform(source, index, wanted))
        return known

    def check_answered(self) -> None:
        """
        Check that not every request failed.

        Raises:
            TransientError: Every request failed.
        """
        if self.failure is not None and not self.was_answered:
            raise self.failure

    def as_details(self) -> dict[str, Any]:
        """Return the details of the log line about skipped and postponed images."""
        postponed = {
            name: {
                "images": each.postponed,
                "reason": each.reason,
                "not_before": each.not_before and format_time(each.not_before),
            }
            for name, each in self._registries.items()
            if each.postponed
        }
        return {"skipped": dict(self.skipped), "postponed": postponed}

    def _registry_of(self, source: Source) -> _Registry:
        """Return the registry of an image; at Google, each project has limits of its own."""
        name = source.image.registry.lower()
        if is_google_registry(name):
            name = f"{name}/{project_of(source.image)}"
        return self._registries.setdefault(name, _Registry())

    def _count_pull(self, source: Source) -> bool:
        """Count a tag that a mirror asks its upstream for; return whether it may be asked for."""
        registry = self._registry_of(source)
        host = source.image.registry.lower()
        limit = self.upstreams[host].max_pulls(host) if source.has_upstream else None
        if not registry.is_closed and limit is not None and registry.pulls >= limit:
            registry.reason = f"its {limit} pulls without credentials are used up for this sweep"
            registry.postponed += 1
            return False
        registry.pulls += 1
        return True

    def _ask(self, source: Source, question: Callable[[], Manifest]) -> Manifest | None:
        registry = self._registry_of(source)
        if registry.is_closed:
            registry.postponed += 1
            return None
        try:
            manifest = question()
        except ImageError as exc:
            self._refuse(source, registry, exc)
            return None
        except TransientError as exc:
            self._fail(registry, exc)
            return None
        self.was_answered = True
        if manifest.allowance is not None and not manifest.allowance.permits(self.share):
            registry.is_closed = True
            registry.reason = f"{manifest.allowance.remaining} pulls are left to workloads"
        return manifest

    def _refuse(self, source: Source, registry: _Registry, error: ImageError) -> None:
        self.was_answered = True
        if error.outcome != "postponed":
            self.skipped[error.outcome] += 1
            return
        # One refusal is enough: the rest of the limit belongs to the workloads.
        registry.is_closed = True
        registry.reason, registry.not_before = str(error), error.not_before
        registry.postponed += 1
        if self.mirrors.may_be_limited(source):
            self.limited.add(source)

    def _fail(self, registry: _Registry, error: TransientError) -> None:
        """Count a failed request; other registries are still asked."""
        self.failure = self.failure or error
        registry.failures += 1
        registry.timeouts += not isinstance(error, ManifestUnavailableError)
        registry.postponed += 1
        registry.reason = str(error)
        if registry.timeouts == _MAX_TIMEOUTS or registry.failures == _MAX_FAILURES:
            registry.is_closed = True
