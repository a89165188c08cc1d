"""The streaming cache of each region: the digests that it holds, and their expiry."""

import threading
from datetime import datetime, timedelta

from sandbox.clock import Clock

DEFAULT_RETENTION = timedelta(days=3)


class StreamingCache:
    """
    The manifests in the streaming cache of each region, by the digest of a platform.

    It is shared by all clusters of a region and outlives them; a pull by a node that streams
    fills it, and so does Artifact Registry's prewarm API.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], datetime] = {}
        self._lock = threading.Lock()

    def add(self, region: str, digest: str, retention: timedelta = DEFAULT_RETENTION) -> None:
        """Keep the digest of a manifest in a region for ``retention``."""
        with self._lock:
            self._until[region, digest] = self._clock.now() + retention

    def remove(self, region: str, digest: str) -> None:
        """Remove a digest."""
        with self._lock:
            self._until.pop((region, digest), None)

    def has(self, region: str, digest: str) -> bool:
        """Whether the region can stream this manifest now."""
        with self._lock:
            until = self._until.get((region, digest))
        return until is not None and until > self._clock.now()
