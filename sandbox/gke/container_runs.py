"""How long a container runs, which its command and its owner tell."""

from sandbox.gke.owners import controller_of
from sandbox.gke.pod_status import ContainerRecord
from sandbox.gke.switches import Switches
from sandbox.kubernetes.bodies import Body

_SHORT_COMMANDS = ("cp", "true", "false", "echo", "install")


def ends_by_itself(pod: Body, record: ContainerRecord, switches: Switches) -> bool:
    """
    Whether a container runs to completion.

    Init containers do, and all containers of a Job; elsewhere those whose command is that of
    a small program, as in a pod that is not to be restarted.
    """
    if switches.never_ends(record.spec["image"]):
        return False
    if record.is_init:
        return bool(record.spec.get("restartPolicy") != "Always")
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
