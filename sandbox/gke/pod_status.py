"""The status of a pod, as its kubelet keeps it."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.gke.image_names import ImageName
from sandbox.gke.owners import merge_condition
from sandbox.kubernetes.bodies import Body

_READY = ("Ready", "ContainersReady")


@dataclass(slots=True)
class ContainerRecord:
    """One container of a pod, and what has become of it."""

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
        """How Events point at it."""
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
        """What it ended with; None while it has not."""
        code: int | None = self.state.get("terminated", {}).get("exitCode")
        return code

    def wait(self, reason: str, message: str = "") -> None:
        """Let it wait."""
        waiting = {"reason": reason} | ({"message": message} if message else {})
        self.state = {"waiting": waiting}

    def run(self, started_at: str, container_id: str, image_id: str) -> None:
        """Let it run."""
        self.container_id, self.image_id = container_id, image_id
        self.state = {"running": {"startedAt": started_at}}

    def end(self, code: int, reason: str, finished_at: str, message: str = "") -> None:
        """Let it end."""
        started_at = self.state.get("running", {}).get("startedAt", finished_at)
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
    """Return the records of a pod's containers, none of them begun."""
    init = [ContainerRecord(spec, is_init=True) for spec in pod["spec"].get("initContainers") or []]
    main = [ContainerRecord(spec, is_init=False) for spec in pod["spec"]["containers"]]
    for record in (*init, *main):
        record.wait("PodInitializing" if init else "ContainerCreating")
    return init + main


def make_status(
    before: Body, records: list[ContainerRecord], *, phase: str, now: str, addresses: Body
) -> Body:
    """Return the status with what the containers have come to."""
    init = [record for record in records if record.is_init]
    main = [record for record in records if not record.is_init]
    conditions = list(before.get("conditions") or [])
    for condition in _conditions(init, main, phase):
        conditions = merge_condition(conditions, {**condition, "lastTransitionTime": now})
    status: dict[str, Any] = {
        **before,
        **addresses,
        "phase": phase,
        "startTime": before.get("startTime", now),
        "conditions": conditions,
        "containerStatuses": [record.describe() for record in main],
    }
    if init:
        status["initContainerStatuses"] = [record.describe() for record in init]
    return status


def _conditions(init: list[ContainerRecord], main: list[ContainerRecord], phase: str) -> list[Body]:
    incomplete = [record.name for record in init if record.exit_code != 0]
    unready = [record.name for record in main if not record.is_running]
    conditions = [{"type": "PodReadyToStartContainers", "status": "True"}]
    if incomplete:
        conditions.append(
            _false(
                "Initialized",
                "ContainersNotInitialized",
                f"containers with incomplete status: [{' '.join(incomplete)}]",
            )
        )
    else:
        conditions.append({"type": "Initialized", "status": "True"})
    if phase == "Succeeded":
        return conditions + [_false(kind, "PodCompleted") for kind in _READY]
    if phase == "Failed":
        return conditions + [_false(kind, "PodFailed") for kind in _READY]
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return conditions + [_false(kind, "ContainersNotReady", text) for kind in _READY]
    return conditions + [{"type": kind, "status": "True"} for kind in _READY]


def _false(kind: str, reason: str, message: str = "") -> Body:
    condition = {"type": kind, "status": "False", "reason": reason}
    return condition | ({"message": message} if message else {})
