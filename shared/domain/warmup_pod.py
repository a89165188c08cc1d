"""What the body of a warmup's pod says: it outlives events that were lost on their way."""

from collections.abc import Mapping
from typing import Any

from shared.domain.json_access import field_at, mappings_of, text_of
from shared.domain.warmup_job import CONTAINER, HELPER_CONTAINER

Pod = Mapping[str, Any]

_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
)


def uid_of(pod: Pod) -> str | None:
    """Return the uid, by which events name the pod that they are about."""
    return text_of(field_at(pod, ["metadata", "uid"]))


def node_of(pod: Pod) -> str | None:
    """Return the name of the node that the pod was given to; None while it has none."""
    return text_of(field_at(pod, ["spec", "nodeName"])) or None


def belongs_to(pod: Pod, job_uid: str) -> bool:
    """Whether a Job made the pod: an earlier Job of the same name had pods as well."""
    owners = mappings_of(field_at(pod, ["metadata", "ownerReferences"]))
    return any(owner.get("uid") == job_uid for owner in owners)


def holds_image(pod: Pod) -> bool:
    """Whether the pod's status names the image that its container runs from."""
    return any(status.get("imageID") for status in _statuses(pod, "containerStatuses", CONTAINER))


def pull_refusal(pod: Pod) -> str | None:
    """Return what the image's container waits for, if that is a pull that failed."""
    for status in _statuses(pod, "containerStatuses", CONTAINER):
        waiting = field_at(status, ["state", "waiting"])
        reason = text_of(field_at(waiting, ["reason"]))
        if reason in _PULL_REASONS:
            message = text_of(field_at(waiting, ["message"]))
            return f"{reason}: {message}" if message else reason
    return None


def helper_exit(pod: Pod) -> str | None:
    """Say how the helper ended, if it did not end well."""
    for status in _statuses(pod, "initContainerStatuses", HELPER_CONTAINER):
        ended = field_at(status, ["state", "terminated"])
        code = field_at(ended, ["exitCode"])
        if isinstance(code, int) and code != 0:
            said = text_of(field_at(ended, ["message"])) or text_of(field_at(ended, ["reason"]))
            return f"it ended with exit code {code}" + (f": {said}" if said else "")
    return None


def failure_of(pod: Pod) -> str | None:
    """Return why the pod as a whole failed, such as for want of room on its node."""
    reason, message = (text_of(field_at(pod, ["status", key])) for key in ("reason", "message"))
    return ": ".join(each for each in (reason, message) if each) or None


def _statuses(pod: Pod, kind: str, name: str) -> list[Mapping[str, Any]]:
    statuses = mappings_of(field_at(pod, ["status", kind]))
    return [status for status in statuses if status.get("name") == name]
