"""Containers of a pod on a node: image, start, end and status."""

import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Clock
from sandbox.gke.controller import FINISHED, controller_of, make_condition, merge_condition
from sandbox.gke.event_recorder import EventRecorder
from sandbox.gke.image_pull import ImagePuller
from sandbox.gke.node import ImageName, ImageStore, NodeSwitches, PulledImage, is_image_name
from sandbox.gke.registry_client import PullError
from sandbox.kubernetes.bodies import Body, format_seconds

_READY = ("Ready", "ContainersReady")


@dataclass(slots=True)
class ContainerRecord:
    """One container of a pod, and its state."""

    spec: Body
    is_init: bool
    state: Body = field(default_factory=dict)
    last_state: Body = field(default_factory=dict)
    image_id: str = ""
    container_id: str = ""
    restarts: int = 0

    @property
    def name(self) -> str:
        """The container's name."""
        name: str = self.spec["name"]
        return name

    @property
    def field_path(self) -> str:
        """The path of the container in Events."""
        return f"spec.{'initContainers' if self.is_init else 'containers'}{{{self.name}}}"

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return "running" in self.state

    @property
    def is_ended(self) -> bool:
        """Whether it has ended for good."""
        return "terminated" in self.state

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None before its end."""
        code: int | None = self.state.get("terminated", {}).get("exitCode")
        return code

    def wait(self, reason: str, message: str = "") -> None:
        """Set the state to waiting."""
        waiting = {"reason": reason} | ({"message": message} if message else {})
        self.state = {"waiting": waiting}

    def run(self, started_at: str, container_id: str, image_id: str) -> None:
        """Set the state to running."""
        self.container_id, self.image_id = container_id, image_id
        self.state = {"running": {"startedAt": started_at}}

    def end(
        self, code: int, reason: str, finished_at: str, message: str = "", started_at: str = ""
    ) -> None:
        """Set the state to ended."""
        started_at = started_at or self.state.get("running", {}).get("startedAt", finished_at)
        terminated: Body = {
            "exitCode": code,
            "reason": reason,
            "startedAt": started_at,
            "finishedAt": finished_at,
        }
        if message:
            terminated["message"] = message
        if self.container_id:
            terminated["containerID"] = self.container_id
        self.state = {"terminated": terminated}

    def describe(self) -> Body:
        """Return its containerStatus."""
        done = self.is_init and self.exit_code == 0
        status: Body = {
            "name": self.name,
            "image": str(ImageName.parse(self.spec["image"]))
            if self.image_id
            else self.spec["image"],
            "imageID": self.image_id,
            "state": self.state,
            "lastState": self.last_state,
            "ready": done or (self.is_running and not self.is_init),
            "started": self.is_running,
            "restartCount": self.restarts,
        }
        if self.container_id:
            status["containerID"] = self.container_id
        return status


def make_records(pod: Body) -> list[ContainerRecord]:
    """Return the records of a pod's containers before their start."""
    init = [ContainerRecord(spec, is_init=True) for spec in pod["spec"].get("initContainers") or []]
    main = [ContainerRecord(spec, is_init=False) for spec in pod["spec"]["containers"]]
    for record in (*init, *main):
        record.wait("PodInitializing" if init else "ContainerCreating")
    return init + main


def make_status(
    before: Body, records: list[ContainerRecord], *, phase: str, now: datetime, addresses: Body
) -> Body:
    """Return the status of the pod with the states of its containers."""
    init = [record for record in records if record.is_init]
    main = [record for record in records if not record.is_init]
    conditions = list(before.get("conditions") or [])
    for condition in _conditions(init, main, phase, now):
        conditions = merge_condition(conditions, condition)
    status: dict[str, Any] = {
        **before,
        **addresses,
        "phase": phase,
        "startTime": before.get("startTime", format_seconds(now)),
        "conditions": conditions,
        "containerStatuses": [record.describe() for record in main],
    }
    if init:
        status["initContainerStatuses"] = [record.describe() for record in init]
    return status


def _conditions(
    init: list[ContainerRecord], main: list[ContainerRecord], phase: str, now: datetime
) -> list[Body]:
    incomplete = [record.name for record in init if record.exit_code != 0]
    unready = [record.name for record in main if not record.is_running]
    done, reason, message = "", "", ""
    if phase == "Succeeded":
        done = reason = "PodCompleted"
    elif phase == "Failed":
        reason = "PodFailed"
    elif unready:
        reason = "ContainersNotReady"
        message = f"containers with unready status: [{' '.join(unready)}]"
    initialized = make_condition("Initialized", now, done)
    if incomplete:
        text = f"containers with incomplete status: [{' '.join(incomplete)}]"
        initialized = make_condition(
            "Initialized", now, "ContainersNotInitialized", text, is_true=False
        )
    return [
        make_condition("PodReadyToStartContainers", now, is_true=phase not in FINISHED),
        initialized,
        *(make_condition(kind, now, reason, message, is_true=not reason) for kind in _READY),
    ]


_SECOND_MS = 1000


def format_duration(seconds: float) -> str:
    """
    Return a duration, cut to milliseconds, as Go's ``time.Duration`` prints it.

    >>> [format_duration(seconds) for seconds in (317.0, 150.4625, 0.637, 3600, 0)]
    ['5m17s', '2m30.462s', '637ms', '1h0m0s', '0s']
    """
    milliseconds = int(seconds * 1000 + 1e-6)
    if milliseconds < _SECOND_MS:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60 * _SECOND_MS)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / _SECOND_MS:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def pulled_message(image: str, took_s: float, waited_s: float, size: int) -> str:
    """
    Return the message of a successful pull.

    >>> pulled_message("a:1", 317.0, 317.0, 9)
    'Successfully pulled image "a:1" in 5m17s (5m17s including waiting). Image size: 9 bytes.'
    """
    took, waited = format_duration(took_s), format_duration(waited_s)
    return (
        f'Successfully pulled image "{image}" in {took} ({waited} including waiting). '
        f"Image size: {size} bytes."
    )


_SHORT_COMMANDS = ("cp", "true", "false", "echo", "install")


def ends_by_itself(pod: Body, record: ContainerRecord, switches: NodeSwitches) -> bool:
    """
    Whether a container runs to completion.

    Init containers do, and all containers of a Job; of other pods that are not restarted, the
    containers whose command is a small program.
    """
    if switches.never_ends(record.spec["image"]):
        return False
    if record.is_init:
        return bool(record.spec.get("restartPolicy") != "Always")
    if switches.has_exit_code(record.spec["image"]):
        return True
    owner = controller_of(pod)
    if owner is not None and owner["kind"] == "Job":
        return True
    command = record.spec.get("command") or [""]
    program = command[0].rpartition("/")[2]
    is_short = program in _SHORT_COMMANDS or command[0].startswith("/bin/")
    return is_short and bool(pod["spec"].get("restartPolicy", "Always") != "Always")


def is_restarted(pod: Body, record: ContainerRecord) -> bool:
    """Whether the kubelet starts a container again that has ended."""
    policy = pod["spec"].get("restartPolicy", "Always")
    if policy == "Always" and not record.is_init:
        return True
    return policy != "Never" and record.exit_code != 0


_BACKOFF_FIRST_S = 10.0
_BACKOFF_MOST_S = 300.0
_START_ERROR_CODE = 128
_NEVER = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class NodeServices:
    """The services of a node for its containers."""

    clock: Clock
    events: EventRecorder
    puller: ImagePuller
    store: ImageStore
    switches: NodeSwitches


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
        Try to start the container once, and keep the result in the record.

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
        """Return the image, or None if the node does not have it yet."""
        image = self.record.spec["image"]
        if not is_image_name(image):
            self._reject(image)
            return None
        held = self.services.store.find(ImageName.parse(image))
        policy = self.record.spec.get("imagePullPolicy", "IfNotPresent")
        if policy != "Always" and held is not None:
            text = f'Container image "{image}" already present on machine'
            self._note("Pulled", f"{text} and can be accessed by the pod")
            return held
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            self._warn("ErrImageNeverPull", text)
            self._warn("Failed", "Error: ErrImageNeverPull")
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
        path = ImageName.parse(image).path
        if path != path.lower() and is_image_name(image.lower()):
            text += f": repository name ({path}) must be lowercase"
        self._warn("InspectFailed", text)
        self._warn("Failed", "Error: InvalidImageName")
        self.record.wait("InvalidImageName", text)

    def _pull(self, image: str) -> PulledImage | None:
        self._note("Pulling", f'Pulling image "{image}"')
        try:
            pull = self.services.puller.pull(image, self.stop)
        except PullError as error:
            self._warn("Failed", f'Failed to pull image "{image}": {error}')
            self._warn("Failed", "Error: ErrImagePull")
            self._pulls.extend(self.services.clock.now())
            self._pulls.reason = str(error)
            self.record.wait("ErrImagePull", str(error))
            return None
        text = pulled_message(image, pull.took_s, pull.waited_s, pull.image.size)
        self._note("Pulled", text)
        return pull.image

    def _start(self, image: PulledImage) -> None:
        name = ImageName.parse(self.record.spec["image"])
        container_id = f"containerd://{secrets.token_hex(32)}"
        image_id = f"{name.repository}@{name.digest or image.digest}"
        now = format_seconds(self.services.clock.now())
        self._note("Created", "Container created")
        missing = self.services.switches.missing_executable(str(name))
        self.record.run(now, container_id, image_id)
        if missing is None:
            self._note("Started", "Container started")
            return
        cause = (
            f"stat {missing}: no such file or directory"
            if missing.startswith("/")
            else "executable file not found in $PATH"
        )
        text = (
            "failed to create containerd task: failed to create shim task: OCI runtime create "
            "failed: runc create failed: unable to start container process: "
            f'exec: "{missing}": {cause}'
        )
        self._warn("Failed", f"Error: {text}")
        self.record.end(_START_ERROR_CODE, "StartError", now, text, started_at=_NEVER)

    def _wait_for_pull(self, image: str) -> None:
        text = f'Back-off pulling image "{image}"'
        self._note("BackOff", text)
        self._warn("Failed", "Error: ImagePullBackOff")
        self.record.wait("ImagePullBackOff", f"{text}: ErrImagePull: {self._pulls.reason}")

    def _wait_for_start(self) -> None:
        metadata = self.pod["metadata"]
        pod = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        text = f"Back-off restarting failed container {self.record.name} in pod {pod}"
        self._warn("BackOff", text)
        delay = f"back-off {int(self._starts.delay_s)}s restarting failed "
        self.record.wait("CrashLoopBackOff", f"{delay}container={self.record.name} pod={pod}")

    def _note(self, reason: str, message: str) -> None:
        self.services.events.normal(self.pod, reason, message, field_path=self.record.field_path)

    def _warn(self, reason: str, message: str) -> None:
        self.services.events.warning(self.pod, reason, message, field_path=self.record.field_path)
