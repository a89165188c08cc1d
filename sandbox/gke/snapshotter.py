"""The image-streaming snapshotter of a node: what it says when it streams."""

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.clock import Clock
from sandbox.gke.event_entries import LogLine
from sandbox.gke.events import EventRecorder
from sandbox.gke.image_names import ImageName
from sandbox.gke.pulled_images import PulledImage
from sandbox.gke.switches import Switches
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body

_REASON = "ImageStreaming"
_SYSTEM_IMAGE = "us-central1-artifactregistry.gcr.io/gke-release/gke-release/component-{number}"
_SYSTEM_LAYERS = 9

WriteLine = Callable[[LogLine], None]


class Snapshotter:
    """
    Reports which images a node streams: by Events of the node, and in its own log.

    Its Events name no pod; they are folded and dropped as client-go does it, so that their
    absence proves nothing.
    """

    def __init__(
        self, api: Api, clock: Clock, node: Body, *, switches: Switches, write: WriteLine
    ) -> None:
        self._clock = clock
        self._node = node
        self._switches = switches
        self._write = write
        user = f"system:node:{node['metadata']['name']}"
        self._events = EventRecorder(
            api, clock, component="gcfs-snapshotter", user=user, reports=False
        )
        self._gcfsd = EventRecorder(api, clock, component="gcfsd", user=user, reports=False)

    def start(self) -> None:
        """Stream GKE's own images, as a fresh node does."""
        for number in range(self._switches.system_images):
            self._report(_SYSTEM_IMAGE.format(number=number), _SYSTEM_LAYERS)

    def report(self, name: ImageName, image: PulledImage) -> None:
        """Say that an image is streamed."""
        self._report(str(name), image.layers)

    def report_failure(self, name: ImageName, image: PulledImage) -> None:
        """Say that a layer could not be downloaded."""
        layer = image.platform_digest
        text = f'Layer download failed. Layer id: "{layer}", image: "{name}"'
        self._gcfsd.normal(self._node, _REASON, text)

    def _report(self, name: str, layers: int) -> None:
        plain = f"Image {name} is backed by image streaming."
        shares = (
            f"Image {name} is backed by secondary boot disk caching by 0.0% (0/{layers} layers), "
            f"by image streaming by 100.0% ({layers}/{layers} layers)."
        )
        if self._switches.streaming_event:
            self._events.normal(self._node, _REASON, plain)
            self._events.normal(self._node, _REASON, shares)
        if self._switches.snapshotter_line:
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
