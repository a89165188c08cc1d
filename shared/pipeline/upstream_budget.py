"""
What a sweep asks registries: each image once, and none of them more than it will bear.

Pulls of workloads count against the same limit of an upstream, and they come first.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.domain.manifest import Manifest
from shared.domain.placement import DEFAULT_PLATFORM
from shared.domain.timestamp import format_time
from shared.errors import ImageError, TransientError
from shared.pipeline.mirror_lookup import Mirrors, Source

_MAX_FAILURES = 3
"""After so many a registry is left alone: each may have cost the seconds of a time-out."""


@dataclass(slots=True)
class _Registry:
    """What has been learnt of an upstream, or of a registry at Google."""

    closed: str | None = None
    """Why it is asked no more in this sweep."""
    not_before: datetime | None = None
    failures: int = 0
    postponed: int = 0


@dataclass(slots=True)
class Inquiry:
    """The questions of one sweep."""

    mirrors: Mirrors
    """They only look: what is missing is made by who warms."""
    share: float
    """Of a registry's allowance, what a sweep may spend."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Images that are left alone, by the outcome that a warmup of theirs would have."""
    was_answered: bool = False
    failure: TransientError | None = None
    """The first; it stands for all if nothing was answered."""
    _registries: dict[str, _Registry] = field(default_factory=dict)

    def resolve(self, source: Source) -> Manifest | None:
        """
        Ask what an image means now; a digest means itself, which costs no request.

        Returns None, and counts it, for an image that is left alone this time.

        Raises:
            MissingMirrorError: Its mirror has yet to be made.
            ConfigurationError: Our own identity is refused.
        """
        if source.mirror.digest is not None:
            return Manifest(source.mirror.digest)
        return self._ask(source, lambda: self.mirrors.resolve(source))

    def fetch_platform(
        self, source: Source, manifest: Manifest, platform: str | None
    ) -> Manifest | None:
        """
        Ask for the manifest of a platform; None if the image is left alone this time.

        Where the platform is left open, and the image has none for the usual one, who warms will
        tell: the node is known then. That is the index itself, here.

        Raises:
            MissingMirrorError: Its mirror has yet to be made.
            ConfigurationError: Our own identity is refused.
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

    def as_details(self) -> dict[str, Any]:
        """Return what the log line says of what was left alone."""
        postponed = {
            name: {
                "images": each.postponed,
                "reason": each.closed,
                "not_before": each.not_before and format_time(each.not_before),
            }
            for name, each in self._registries.items()
            if each.postponed
        }
        return {"skipped": dict(self.skipped), "postponed": postponed}

    def _ask(self, source: Source, question: Callable[[], Manifest]) -> Manifest | None:
        registry = self._registries.setdefault(source.image.registry, _Registry())
        if registry.closed is not None:
            registry.postponed += 1
            return None
        try:
            manifest = question()
        except ImageError as exc:
            self._refuse(registry, exc)
            return None
        except TransientError as exc:
            self._fail(registry, exc)
            return None
        self.was_answered = True
        if manifest.allowance is not None and not manifest.allowance.permits(self.share):
            registry.closed = f"{manifest.allowance.remaining} pulls are left to workloads"
        return manifest

    def _refuse(self, registry: _Registry, error: ImageError) -> None:
        self.was_answered = True
        if error.outcome != "postponed":
            self.skipped[error.outcome] += 1
            return
        # One refusal says it for all: what is left belongs to the workloads.
        registry.closed, registry.not_before = str(error), error.not_before
        registry.postponed += 1

    def _fail(self, registry: _Registry, error: TransientError) -> None:
        """Take note that a registry is silent; the others are asked all the same."""
        self.failure = self.failure or error
        registry.failures += 1
        registry.postponed += 1
        if registry.failures == _MAX_FAILURES:
            registry.closed = str(error)
