"""
What a detector makes of an event: the references that it publishes, or why there are none.

The functions do this with each delivery, and the prestream command with what was saved of them, so
that both say the same. Most deliveries ask for nothing: what it takes to publish is imported once
one asks for something, so that an instance which starts for such a delivery answers at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from shared.domain.disposition import TOO_OLD, Outcome, ignored, is_too_old
from shared.domain.request import Cause

if TYPE_CHECKING:
    from shared.domain.image_reference import WrittenImage
    from shared.domain.image_selection import Scope
    from shared.domain.request import ReferenceRequest
    from shared.domain.workload import PodSpec
    from shared.pipeline.announce import Announcer, Publisher
    from shared.settings.keys import Settings


class Write(Protocol):
    """A write to a Kubernetes API server."""

    @property
    def cause(self) -> Cause: ...  # noqa: D102
    @property
    def body(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def cluster(self) -> str: ...  # noqa: D102
    @property
    def reason_in_itself(self) -> str | None: ...  # noqa: D102
    def reason_in_scope(self, scope: "Scope") -> str | None: ...  # noqa: D102
    def requests(  # noqa: D102
        self, pods: "Iterable[PodSpec]", placement_keys: frozenset[str]
    ) -> "Iterator[ReferenceRequest]": ...


class Build(Protocol):
    """A state of a build."""

    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def has_succeeded(self) -> bool: ...  # noqa: D102
    @property
    def cause(self) -> Cause: ...  # noqa: D102
    @property
    def pushed(self) -> "tuple[WrittenImage, ...]": ...  # noqa: D102
    @property
    def invalid_images(self) -> int: ...  # noqa: D102
    @property
    def requests(self) -> "Iterator[ReferenceRequest]": ...  # noqa: D102


class Push(Protocol):
    """A change in a repository of Artifact Registry."""

    @property
    def action(self) -> str: ...  # noqa: D102
    @property
    def is_insertion(self) -> bool: ...  # noqa: D102
    @property
    def is_attachment(self) -> bool: ...  # noqa: D102
    @property
    def cause(self) -> Cause: ...  # noqa: D102
    @property
    def request(self) -> "ReferenceRequest | None": ...  # noqa: D102


class Detecting:
    """
    Publishes what events ask for.

    Args:
        settings: Loads the settings, once they matter: what asks for nothing in any case is
            settled without them.
        publisher: Makes the publisher, once there is something to publish.
    """

    def __init__(
        self, settings: "Callable[[], Settings]", publisher: "Callable[[], Publisher]"
    ) -> None:
        self._settings = settings
        self._publisher = publisher

    def detect_write(self, write: Write, publish_time: datetime) -> Outcome:
        """
        Publish the images of a workload that was created or changed.

        Raises:
            EventError: The settings are invalid, or the references could not be published.
        """
        details = {"cause": write.cause.as_json()}
        if reason := write.reason_in_itself:
            return ignored(reason, **details)
        from shared.domain.workload import find_pod_specs

        pods = find_pod_specs(write.body)
        if not pods:
            return ignored("the object names no image", **details)
        from shared.domain.image_selection import Selection
        from shared.pipeline.announce import Announcer

        settings = self._settings()
        if self._is_too_old(publish_time):
            return ignored(TOO_OLD, **details)
        if reason := write.reason_in_scope(scope_of(settings)):
            return ignored(reason, **details)
        selection = Selection(settings.include, settings.exclude, settings.accelerators_only)
        wanted = [pod for pod in pods if selection.wants(pod)]
        if not wanted:
            return ignored("no pod asks for an accelerator", **details)
        return Announcer(self._publisher, selection).announce(
            write.requests(wanted, settings.placement_keys),
            invalid_images=sum(pod.invalid_images for pod in wanted),
            cluster=write.cluster,
            **details,
        )

    def detect_build(self, build: Build, publish_time: datetime) -> Outcome:
        """
        Publish the images of a successful build; ignore every other state.

        Raises:
            EventError: The settings are invalid, or the references could not be published.
        """
        details = {"cause": build.cause.as_json(), "status": build.status}
        if not build.has_succeeded:
            return ignored("the build has not succeeded", **details)
        if not build.pushed and not build.invalid_images:
            return ignored("the build pushed no image", **details)
        if self._is_too_old(publish_time):
            return ignored(TOO_OLD, **details)
        return self._announcer().announce(
            build.requests, invalid_images=build.invalid_images, **details
        )

    def detect_push(self, push: Push, publish_time: datetime) -> Outcome:
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
        from shared.domain.mirror_reference import trace_upstream

        settings = self._settings()
        if trace_upstream(request.reference, settings.project, settings.mirror_hosts) is not None:
            return ignored("our own mirror fetched it, because somebody pulls it", **details)
        if self._is_too_old(publish_time):
            return ignored(TOO_OLD, **details)
        return self._announcer().announce([request], **details)

    def _announcer(self) -> "Announcer":
        """Return what announces images that no workload was seen to ask for."""
        from shared.domain.image_selection import Selection
        from shared.pipeline.announce import Announcer

        settings = self._settings()
        return Announcer(self._publisher, Selection(settings.include, settings.exclude))

    def _is_too_old(self, publish_time: datetime) -> bool:
        max_age = timedelta(hours=self._settings().max_event_age_hours)
        return is_too_old(publish_time, datetime.now(UTC), max_age)


def scope_of(settings: "Settings") -> "Scope":
    """Return where the configuration lets workloads be looked at."""
    from shared.domain.image_selection import Scope

    return Scope(settings.namespace, settings.system_namespaces, settings.clusters)
