"""
A pod, as far as its body confirms an event about it.

A person with the right to create events can report anything about the pods of a namespace. Only
the API server, the scheduler and the kubelet write the fields that are read here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from shared.domain.cluster_event import ImagePulled, ImagePullFailed, Origin, PodEvicted
from shared.domain.image_fields import containers_of, image_volumes_of
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.domain.json_access import field_at, mapping_of, mappings_of, text_of
from shared.domain.warmup_pod import PULL_REASONS, Pod, failure_of, node_of, uid_of
from shared.domain.workload import read_originals

_STATUS_LISTS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def confirms_pull(pod: Pod | None, event: ImagePulled) -> bool:
    """Whether the pod exists, is on the node of the event, and uses its image."""
    if pod is None or not _is_subject(pod, event.origin):
        return False
    spec = mapping_of(pod.get("spec"))
    images = [each.get("image") for each in containers_of(spec)]
    images += [each.get("reference") for each in image_volumes_of(spec)]
    return any(_is_same_image(image, event.pulled.image) for image in images)


def confirm_failure(pod: Pod | None, event: ImagePullFailed) -> ImagePullFailed | None:
    """Return a failed pull with the failure in the pod's status; None if that is another one."""
    if pod is None or not _is_subject(pod, event.origin):
        return None
    from shared.domain.pull_failure import classify_pull_failure

    for image, message in find_failed_pulls(pod):
        failure = classify_pull_failure(message)
        if _is_same_image(image, event.image) and failure.kind == event.failure.kind:
            return replace(event, failure=failure)
    return None


def confirm_eviction(pod: Pod | None, event: PodEvicted) -> PodEvicted | None:
    """Return an eviction with the reason in the pod's status; None if the pod is not evicted."""
    if pod is None or not _is_subject(pod, event.origin):
        return None
    from shared.domain.pull_failure import classify_pull_failure

    if field_at(pod, ["status", "reason"]) != "Evicted":
        return None
    failure = classify_pull_failure(failure_of(pod) or "")
    return replace(event, failure=failure) if failure.kind == event.failure.kind else None


def is_rewritten(pod: Pod, image: str) -> bool:
    """Whether our policy replaced the image of a pod by one at the mirror."""
    return image in read_originals(pod)


def has_pull_secrets(pod: Pod) -> bool:
    """Whether the pod pulls with an identity of its own, not only with that of its node."""
    return bool(field_at(pod, ["spec", "imagePullSecrets"]))


def find_failed_pulls(pod: Pod) -> Iterator[tuple[str, str]]:
    """Yield the images for which containers of the pod wait after a failed pull, with the error."""
    for kind in _STATUS_LISTS:
        for status in mappings_of(field_at(pod, ["status", kind])):
            waiting = field_at(status, ["state", "waiting"])
            if field_at(waiting, ["reason"]) in PULL_REASONS:
                message = text_of(field_at(waiting, ["message"])) or ""
                yield text_of(status.get("image")) or "", message


def find_waiting_pods(pods: Iterable[Pod], mirror: str) -> tuple[str, ...]:
    """Return ``NAMESPACE/NAME`` of the pods that wait for an image at a mirror, in order."""
    waiting = (
        "/".join(text_of(field_at(pod, ["metadata", key])) or "" for key in ("namespace", "name"))
        for pod in pods
        if any(image.startswith(f"{mirror}/") for image, _ in find_failed_pulls(pod))
    )
    return tuple(sorted(waiting))


def _is_subject(pod: Pod, origin: Origin) -> bool:
    return uid_of(pod) == origin.uid and origin.node in {None, node_of(pod)}


def _is_same_image(one: Any, other: str) -> bool:
    """Whether two texts name the same image; one may lack the registry or the default tag."""
    try:
        return one == other or parse_reference(str(one)) == parse_reference(other)
    except InvalidReferenceError:
        return False
