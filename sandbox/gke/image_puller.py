"""The pulls of one node: whether they stream, how long they take, what they leave behind."""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.clock import Clock
from sandbox.gke.image_names import ImageName, is_near
from sandbox.gke.nodes import NodeSpec
from sandbox.gke.pull_errors import make_schema_1
from sandbox.gke.pull_times import PullTimes
from sandbox.gke.pulled_images import ImageStore, PulledImage
from sandbox.gke.registry_client import RegistryClient
from sandbox.gke.snapshotter import Snapshotter
from sandbox.gke.switches import Switches
from sandbox.gke.upstream_pulls import FetchUpstream, resolve_upstream
from sandbox.streaming_cache import StreamingCache


class InterruptedPullError(Exception):
    """The node or the pod is going away in the middle of a pull."""


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull that succeeded."""

    image: PulledImage
    took_s: float
    waited_s: float
    """With the time that another pull of the same image kept it waiting."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where nodes pull from, and what the region knows."""

    registry: RegistryClient
    fetch_upstream: FetchUpstream
    cache: StreamingCache
    switches: Switches
    times: PullTimes


class ImagePuller:
    """Pulls for one node; two pulls of one image wait for each other."""

    def __init__(
        self,
        spec: NodeSpec,
        clock: Clock,
        sources: Sources,
        snapshotter: Snapshotter,
        store: ImageStore,
        on_change: Callable[[], None],
        *,
        takes_schema_1: bool,
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._sources = sources
        self._snapshotter = snapshotter
        self._store = store
        self._on_change = on_change
        self._takes_schema_1 = takes_schema_1
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def pull(self, text: str, stop: threading.Event) -> Pull:
        """
        Pull an image as a container names it.

        Raises:
            PullError: It cannot be pulled.
            InterruptedPullError: ``stop`` was set before it was there.
        """
        name = ImageName.parse(text)
        asked = self._clock.now()
        lock = self._locks[str(name)]
        has_waited = lock.locked()
        with lock:
            waited_s = (self._clock.now() - asked).total_seconds() if has_waited else 0.0
            image = self._resolve(name)
            took_s = self._transfer(name, image, stop)
        self._store.add(name, image)
        self._on_change()
        return Pull(image, took_s, waited_s + took_s)

    def hold(self, text: str) -> None:
        """Hold an image from the start, without a pull."""
        name = ImageName.parse(text)
        self._store.add(name, self._resolve(name))

    def _resolve(self, name: ImageName) -> PulledImage:
        if name.location is None:
            return resolve_upstream(name, self._sources.fetch_upstream)
        image = self._sources.registry.resolve(name, self._spec.arch)
        if image.is_schema_1 and not self._takes_schema_1:
            raise make_schema_1(name)
        return image

    def _transfer(self, name: ImageName, image: PulledImage, stop: threading.Event) -> float:
        """Let the time of the transfer pass, and return it: planned, not measured."""
        times, cache = self._sources.times, self._sources.cache
        if self._store.holds(image):
            self._sleep(times.held_s, stop)
            return times.held_s
        cold_s = times.cold(image.size, image.layers)
        if not self._can_stream(name, image):
            self._sleep(cold_s, stop)
            return cold_s
        if cache.has(self._spec.region, image.platform_digest):
            if self._sources.switches.failing_layers:
                self._snapshotter.report_failure(name, image)
            else:
                self._snapshotter.report(name, image)
                streamed_s = times.streamed(image.size, image.layers)
                self._sleep(streamed_s, stop)
                return streamed_s
        self._sleep(cold_s, stop)
        cache.add(self._spec.region, image.platform_digest)
        return cold_s

    def _can_stream(self, name: ImageName, image: PulledImage) -> bool:
        location = name.location
        return (
            self._spec.streaming
            and image.can_stream
            and location is not None
            and is_near(location, self._spec.region)
        )

    def _sleep(self, seconds: float, stop: threading.Event) -> None:
        if not self._clock.sleep(seconds, stop):
            raise InterruptedPullError
