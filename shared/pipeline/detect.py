"""
Turn an event into references to publish, or into the reason against it.

Most events ask for nothing, so the settings, the rules and the client are imported only when an
event needs them: an instance that starts for such an event answers at once.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.domain.disposition import TOO_OLD, Outcome, ignored, is_too_old

if TYPE_CHECKING:
    from shared.domain.image_selection import Scope, Selection
    from shared.domain.request import ReferenceRequest
    from shared.messages.audit_entry import AuditEntry
    from shared.messages.build import BuildNotification
    from shared.messages.registry_push import RegistryPush
    from shared.pipeline.ports import DetectorServices
    from shared.settings.keys import Settings

_SERVERLESS = "the image is a function's or a Cloud Run service's, which no node pulls"


def detect_write(
    entry: "AuditEntry", publish_time: datetime, services: "DetectorServices"
) -> Outcome:
    """
    Publish the images of a workload that was created or changed.

    Raises:
        EventError: The settings are invalid, or the references could not be published.
    """
    details = {"cause": entry.cause.as_json()}
    if reason := entry.reason_in_itself:
        return ignored(reason, **details)
    from shared.domain.workload import find_pod_specs

    pods = find_pod_specs(entry.body)
    if not pods:
        return ignored("the object names no image", **details)
    from shared.domain.image_selection import Selection

    settings = services.settings
    if _is_too_old(publish_time, settings):
        return ignored(TOO_OLD, **details)
    if reason := entry.reason_in_scope(scope_of(settings)):
        return ignored(reason, **details)
    selection = Selection(settings.include, settings.exclude, settings.accelerators_only)
    wanted = [pod for pod in pods if selection.wants(pod)]
    if not wanted:
        return ignored("no pod asks for an accelerator", **details)
    return publish_admitted(
        entry.requests(wanted, settings.placement_keys),
        selection,
        services,
        invalid_images=sum(pod.invalid_images for pod in wanted),
        cluster=entry.cluster,
        **details,
    )


def detect_build(
    build: "BuildNotification", publish_time: datetime, services: "DetectorServices"
) -> Outcome:
    """
    Publish the images of a successful build; ignore every other status.

    Raises:
        EventError: The settings are invalid, or the references could not be published.
    """
    details = {"cause": build.cause.as_json(), "status": build.status}
    if not build.has_succeeded:
        return ignored("the build has not succeeded", **details)
    if not build.pushed and not build.invalid_images:
        return ignored("the build pushed no image", **details)
    from shared.domain.mirror import is_serverless_build

    requests = [each for each in build.requests if not is_serverless_build(each.reference)]
    if build.pushed and not requests:
        return ignored(_SERVERLESS, **details)
    settings = services.settings
    if _is_too_old(publish_time, settings):
        return ignored(TOO_OLD, **details)
    return publish_admitted(
        requests,
        _select_by_pattern(settings),
        services,
        invalid_images=build.invalid_images,
        **details,
    )


def detect_push(
    push: "RegistryPush", publish_time: datetime, services: "DetectorServices"
) -> Outcome:
    """
    Publish the image that was pushed under a tag; ignore every other change.

    Raises:
        EventError: The settings are invalid, or the references could not be published.
    """
    request = push.request
    if request is None:
        reason = "what was pushed has no tag" if push.is_insertion else "nothing was pushed"
        return ignored(reason, action=push.action)
    details: dict[str, Any] = {"cause": push.cause.as_json()}
    if push.is_attachment:
        return ignored("what was pushed is a signature or the like", **details)
    from shared.domain.mirror import is_serverless_build
    from shared.domain.mirror_reference import trace_upstream

    if is_serverless_build(request.reference):
        return ignored(_SERVERLESS, **details)
    settings = services.settings
    if trace_upstream(request.reference, settings.project, settings.mirror_hosts) is not None:
        return ignored("our own mirror fetched it, because somebody pulls it", **details)
    if _is_too_old(publish_time, settings):
        return ignored(TOO_OLD, **details)
    return publish_admitted([request], _select_by_pattern(settings), services, **details)


def publish_admitted(
    requests: "Iterable[ReferenceRequest]",
    selection: "Selection",
    services: "DetectorServices",
    *,
    invalid_images: int = 0,
    **details: Any,
) -> Outcome:
    """
    Publish the requests of one event that the selection admits, each distinct one once.

    Args:
        requests: The requests of the event.
        selection: The rules for images; a manual or forced request overrides them.
        services: The publisher is read only if there is something to publish.
        invalid_images: The number of images that are not valid references.
        details: Further fields for the log line of the delivery.

    Returns:
        ``handled`` with the published images, or ``ignored`` with the reason.

    Raises:
        EventError: The requests could not be published; then none counts as published.
    """
    distinct = _without_repeats(requests)
    admitted = [
        request
        for request in distinct
        if request.overrides_rules or selection.admits(request.reference)
    ]
    counts = {"invalid_images": invalid_images, "excluded": len(distinct) - len(admitted)}
    if not admitted:
        reason = _reason_for_nothing(is_excluded=bool(distinct), is_invalid=bool(invalid_images))
        return ignored(reason, **details, **counts)
    services.publisher.publish(admitted)
    published = [request.image for request in admitted]
    return Outcome("handled", {**details, "published": published, **counts})


def scope_of(settings: "Settings") -> "Scope":
    """Return the scope in which the configuration admits workloads."""
    from shared.domain.image_selection import Scope

    return Scope(settings.namespace, settings.system_namespaces, settings.clusters)


def _select_by_pattern(settings: "Settings") -> "Selection":
    """Return the rules for images that no workload was seen to request."""
    from shared.domain.image_selection import Selection

    return Selection(settings.include, settings.exclude)


def _is_too_old(publish_time: datetime, settings: "Settings") -> bool:
    max_age = timedelta(hours=settings.max_event_age_hours)
    return is_too_old(publish_time, datetime.now(UTC), max_age)


def _without_repeats(requests: "Iterable[ReferenceRequest]") -> "list[ReferenceRequest]":
    """Return the first request for each image, cluster, placement and platform."""
    distinct: dict[Any, ReferenceRequest] = {}
    for request in requests:
        key = (request.reference, request.cluster, request.placement, request.platform)
        distinct.setdefault(key, request)
    return list(distinct.values())


def _reason_for_nothing(*, is_excluded: bool, is_invalid: bool) -> str:
    if is_excluded:
        return "every image is excluded by the include and exclude patterns"
    return "no image is a valid reference" if is_invalid else "there is no image"
