"""Image pulls of a node: streamed or not, their duration, and the log of the snapshotter."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.gke.event_recorder import EventRecorder
from sandbox.gke.log_entry import LogLine
from sandbox.gke.node import ImageName, ImageStore, NodeSpec, NodeSwitches, PulledImage, is_near
from sandbox.gke.registry_client import RegistryClient, resolve_upstream
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body
from sandbox.streaming_cache import StreamingCache


@dataclass(frozen=True, slots=True)
class PullTimes:
    """
    The speed of a node's pulls.

    The cold figures follow a published case: a deep learning image of 9.7 GB took 5m17s to
    pull, and 7.9 s streamed. The streamed ones grow with the layers, each of which is mounted
    on its own, and a little with the size.
    """

    bytes_per_s: float = 31e6
    cold_layer_s: float = 0.17
    streamed_layer_s: float = 0.126
    streamed_least_s: float = 0.5
    streamed_most_s: float = 5.0
    streamed_bytes_per_s: float = 2.2e9
    held_s: float = 0.3
    """A pull of an image that the node holds: one request to the registry."""

    def cold(self, size: int, layers: int) -> float:
        """Return the seconds that a pull of ``size`` compressed bytes takes."""
        return size / self.bytes_per_s + layers * self.cold_layer_s

    def streamed(self, size: int, layers: int) -> float:
        """Return the seconds until a streamed image can be started."""
        by_size = self.streamed_least_s + size / self.streamed_bytes_per_s
        return layers * self.streamed_layer_s + min(by_size, self.streamed_most_s)


_REASON = "ImageStreaming"

WriteLine = Callable[[LogLine], None]


class Snapshotter:
    """
    Reports the images that a node streams, in Events of the node and in its own log.

    Its Events name no pod, and are combined as client-go does: their absence proves nothing.
    """

    def __init__(
        self, api: Api, clock: Clock, node: Body, *, switches: NodeSwitches, write: WriteLine
    ) -> None:
        self._clock = clock
        self._node = node
        self._switches = switches
        self._write = write
        user = f"system:node:{node['metadata']['name']}"
        self._events = EventRecorder(
            api, clock, component="gcfs-snapshotter", user=user, reports=False
        )

    def report(self, name: ImageName, image: PulledImage) -> None:
        """Report that an image is streamed."""
        layers = image.layers
        plain = f"Image {name} is backed by image streaming."
        shares = (
            f"Image {name} is backed by secondary boot disk caching by 0.0% (0/{layers} layers), "
            f"by image streaming by 100.0% ({layers}/{layers} layers)."
        )
        self._events.normal(self._node, _REASON, plain)
        self._events.normal(self._node, _REASON, shares)
        for text in (plain, shares):
            self._write(self._line(text))

    def _line(self, text: str) -> LogLine:
        now = self._clock.now()
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        payload: Mapping[str, Any] = {
            "MESSAGE": f'time="{stamp}" level=info msg="{text}"',
            "PRIORITY": "6",
            "SYSLOG_FACILITY": "3",
            "SYSLOG_IDENTIFIER": "containerd-gcfs-grpc",
            "_HOSTNAME": self._node["metadata"]["name"],
            "_SYSTEMD_UNIT": "gcfs-snapshotter.service",
        }
        return LogLine("gcfs-snapshotter", self._node["metadata"]["name"], payload, now)


class InterruptedPullError(Exception):
    """The node stops in the middle of a pull."""


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull that succeeded."""

    image: PulledImage
    took_s: float
    waited_s: float
    """Including the wait for another pull of the same image."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The registries, the streaming cache and the switches of all nodes."""

    registry: RegistryClient
    catalogue: Catalogue
    cache: StreamingCache
    switches: NodeSwitches
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
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._sources = sources
        self._snapshotter = snapshotter
        self._store = store
        self._on_change = on_change
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def pull(self, text: str, stop: threading.Event) -> Pull:
        """
        Pull an image as a container names it.

        Raises:
            PullError: It cannot be pulled.
            InterruptedPullError: ``stop`` was set before the end.
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
            return resolve_upstream(name, self._sources.catalogue, self._spec.arch)
        return self._sources.registry.resolve(name, self._spec.arch)

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
