"""The state in the body of a warmup's pod, which does not depend on lost events."""

from collections.abc import Mapping
from typing import Any

from shared.domain.json_access import field_at, mappings_of, text_of
from shared.domain.warmup_job import CONTAINER, HELPER_CONTAINER

Pod = Mapping[str, Any]

PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
)
"""The reasons for which a container waits after a failed pull."""


def uid_of(pod: Pod) -> str | None:
    """Return the uid, by which events refer to the pod."""
    return text_of(field_at(pod, ["metadata", "uid"]))


def node_of(pod: Pod) -> str | None:
    """Return the name of the pod's node; ``None`` before it is scheduled."""
    return text_of(field_at(pod, ["spec", "nodeName"])) or None


def job_of(pod: Pod) -> str | None:
    """Return the name of the Job that owns the pod."""
    owners = mappings_of(field_at(pod, ["metadata", "ownerReferences"]))
    names = (text_of(owner.get("name")) for owner in owners if owner.get("kind") == "Job")
    return next(filter(None, names), None)


def belongs_to(pod: Pod, job_uid: str) -> bool:
    """Whether the Job owns the pod: an earlier Job of the same name had pods too."""
    owners = mappings_of(field_at(pod, ["metadata", "ownerReferences"]))
    return any(owner.get("uid") == job_uid for owner in owners)


def holds_image(pod: Pod) -> bool:
    """Whether the pod's status has the ID of the container's image."""
    return any(status.get("imageID") for status in _statuses(pod, "containerStatuses", CONTAINER))


def pull_refusal(pod: Pod) -> str | None:
    """Return the waiting state of the image's container, if its pull failed."""
    for status in _statuses(pod, "containerStatuses", CONTAINER):
        waiting = field_at(status, ["state", "waiting"])
        reason = text_of(field_at(waiting, ["reason"]))
        if reason in PULL_REASONS:
            message = text_of(field_at(waiting, ["message"]))
            return f"{reason}: {message}" if message else reason
    return None


def helper_exit(pod: Pod) -> str | None:
    """Describe how the helper failed, if it did."""
    for status in _statuses(pod, "initContainerStatuses", HELPER_CONTAINER):
        ended = field_at(status, ["state", "terminated"])
        code = field_at(ended, ["exitCode"])
        if isinstance(code, int) and code != 0:
            said = text_of(field_at(ended, ["message"])) or text_of(field_at(ended, ["reason"]))
            return f"it ended with exit code {code}" + (f": {said}" if said else "")
    return None


def failure_of(pod: Pod) -> str | None:
    """Return why the whole pod failed, for example because its node lacked resources."""
    reason, message = (text_of(field_at(pod, ["status", key])) for key in ("reason", "message"))
    return ": ".join(each for each in (reason, message) if each) or None


def _statuses(pod: Pod, kind: str, name: str) -> list[Mapping[str, Any]]:
    statuses = mappings_of(field_at(pod, ["status", kind]))
    return [status for status in statuses if status.get("name") == name]
