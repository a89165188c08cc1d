"""Starting a container: its image, its creation, and what the kubelet says meanwhile."""

import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.clock import Clock
from sandbox.gke.events import EventRecorder
from sandbox.gke.image_names import ImageName, is_image_name
from sandbox.gke.image_puller import ImagePuller
from sandbox.gke.kubelet_messages import Wording
from sandbox.gke.pod_status import ContainerRecord
from sandbox.gke.pull_errors import PullError
from sandbox.gke.pulled_images import ImageStore, PulledImage
from sandbox.gke.switches import Switches
from sandbox.kubernetes.bodies import Body, format_seconds

_BACKOFF_FIRST_S = 10.0
_BACKOFF_MOST_S = 300.0
_START_ERROR_CODE = 128


@dataclass(frozen=True, slots=True)
class NodeServices:
    """What a node offers to the containers on it."""

    clock: Clock
    events: EventRecorder
    puller: ImagePuller
    store: ImageStore
    wording: Wording
    switches: Switches


@dataclass(slots=True)
class _BackOff:
    """When something that failed may be tried again, ever later."""

    delay_s: float = 0.0
    until: datetime | None = None
    reason: str = ""

    def extend(self, now: datetime) -> None:
        self.delay_s = min(self.delay_s * 2 or _BACKOFF_FIRST_S, _BACKOFF_MOST_S)
        self.until = now + timedelta(seconds=self.delay_s)

    def holds(self, now: datetime) -> bool:
        return self.until is not None and now < self.until


@dataclass(slots=True)
class ContainerStarter:
    """The attempts to start one container of a pod."""

    pod: Body
    record: ContainerRecord
    services: NodeServices
    stop: threading.Event
    _pulls: _BackOff = field(default_factory=_BackOff)
    _starts: _BackOff = field(default_factory=_BackOff)

    def attempt(self) -> None:
        """
        Try once; the record says how it went, and waits if it must be tried again.

        Raises:
            InterruptedPullError: The pod is going away.
        """
        now = self.services.clock.now()
        if self._starts.holds(now):
            self._wait_for_start()
            return
        image = self._ensure_image()
        if image is not None:
            self._start(image)

    def fail_again(self) -> None:
        """Plan the restart of a container that ended."""
        self.record.last_state = self.record.state
        self.record.restarts += 1
        self._starts.extend(self.services.clock.now())
        self._wait_for_start()

    def _ensure_image(self) -> PulledImage | None:
        """Return the image, or None if it is not there and must be waited for."""
        image = self.record.spec["image"]
        if not is_image_name(image):
            self._reject(image)
            return None
        held = self.services.store.find(ImageName.parse(image))
        policy = self.record.spec.get("imagePullPolicy", "IfNotPresent")
        if policy != "Always" and held is not None:
            self._say("Pulled", self.services.wording.already_present(image))
            return held
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            self._complain("ErrImageNeverPull", text)
            self._complain("Failed", "Error: ErrImageNeverPull")
            self.record.wait("ErrImageNeverPull", text)
            return None
        if self._pulls.holds(self.services.clock.now()):
            self._wait_for_pull(image)
            return None
        return self._pull(image)

    def _reject(self, image: str) -> None:
        text = (
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
            "invalid reference format"
        )
        self._complain("InspectFailed", text)
        self._complain("Failed", "Error: InvalidImageName")
        self.record.wait("InvalidImageName", text)

    def _pull(self, image: str) -> PulledImage | None:
        self._say("Pulling", f'Pulling image "{image}"')
        try:
            pull = self.services.puller.pull(image, self.stop)
        except PullError as error:
            self._complain("Failed", f'Failed to pull image "{image}": {error}')
            self._complain("Failed", "Error: ErrImagePull")
            self._pulls.extend(self.services.clock.now())
            self._pulls.reason = str(error)
            self.record.wait("ErrImagePull", str(error))
            return None
        text = self.services.wording.pulled(image, pull.took_s, pull.waited_s, pull.image.size)
        self._say("Pulled", text)
        return pull.image

    def _start(self, image: PulledImage) -> None:
        name = ImageName.parse(self.record.spec["image"])
        container_id = f"containerd://{secrets.token_hex(32)}"
        image_id = f"{name.repository}@{name.digest or image.digest}"
        now = format_seconds(self.services.clock.now())
        self._say("Created", self.services.wording.created(self.record.name))
        missing = self.services.switches.missing_executable(str(name))
        self.record.run(now, container_id, image_id)
        if missing is None:
            self._say("Started", self.services.wording.started(self.record.name))
            return
        text = (
            "failed to create containerd task: failed to create shim task: OCI runtime create "
            "failed: runc create failed: unable to start container process: error during container "
            f'init: exec: "{missing}": executable file not found in $PATH: unknown'
        )
        self._complain("Failed", f"Error: {text}")
        self.record.end(_START_ERROR_CODE, "StartError", now, text)

    def _wait_for_pull(self, image: str) -> None:
        text = f'Back-off pulling image "{image}"'
        self._say("BackOff", text)
        self._complain("Failed", "Error: ImagePullBackOff")
        self.record.wait("ImagePullBackOff", f"{text}: ErrImagePull: {self._pulls.reason}")

    def _wait_for_start(self) -> None:
        metadata = self.pod["metadata"]
        pod = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        text = f"Back-off restarting failed container {self.record.name} in pod {pod}"
        self._complain("BackOff", text)
        delay = f"back-off {int(self._starts.delay_s)}s restarting failed "
        self.record.wait("CrashLoopBackOff", f"{delay}container={self.record.name} pod={pod}")

    def _say(self, reason: str, message: str) -> None:
        self.services.events.normal(self.pod, reason, message, field_path=self.record.field_path)

    def _complain(self, reason: str, message: str) -> None:
        self.services.events.warning(self.pod, reason, message, field_path=self.record.field_path)
