"""
Perform the actions that decisions return.

No other module of the pipeline changes a cluster or Artifact Registry, or writes a fact; the steps
``detect`` and ``fan_out`` only publish messages. A dry run changes neither Kubernetes nor Artifact
Registry: it publishes references, and writes the facts of observed pulls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from shared.domain.action import (
    Action,
    CountPullFailure,
    CreateJob,
    CreateMirror,
    DeleteJob,
    DistrustMirror,
    EndJob,
    MarkReported,
    Postpone,
    Prewarm,
    ProveMirror,
    Publish,
    RecordPull,
    RemovePrewarmed,
    ResumeJobs,
    ShareJob,
    SuspendJob,
    UpdateMirror,
    WriteFact,
)
from shared.domain.warmup_job import (
    ATTEMPTS_ANNOTATION,
    CACHE_ANNOTATION,
    NOT_BEFORE_ANNOTATION,
    OTHER_TENANT,
    OUTCOME_ANNOTATION,
    QUEUE_LABEL,
    REPORTED_ANNOTATION,
    REQUEUED_ANNOTATION,
    RUNNING,
    WAITING,
)
from shared.errors import TransientError

if TYPE_CHECKING:
    from shared.domain.prewarm import PrewarmedArtifact
    from shared.domain.warmup_job import JobName
    from shared.pipeline.ports import ClusterApi, FactLog, PrewarmApi, Publisher, Repositories

_T = TypeVar("_T")


class ConflictError(TransientError):
    """An object changed after it was read."""


@dataclass(frozen=True, slots=True)
class Executor:
    """
    Performs actions.

    Args:
        facts: The log of facts.
        publisher: Makes the publisher of references when it is first needed.
        repositories: Makes the client of Artifact Registry when it is first needed.
        prewarm_api: Artifact Registry's prewarm API, for a ladder that includes it.
        dry_run: Whether changes of Kubernetes and Artifact Registry are suppressed.
    """

    facts: "FactLog | None" = None
    publisher: "Callable[[], Publisher] | None" = None
    repositories: "Callable[[], Repositories] | None" = None
    prewarm_api: "PrewarmApi | None" = None
    dry_run: bool = False

    @property
    def details(self) -> dict[str, Any]:
        """The fields of the log line that mark a dry run."""
        return {"dry_run": True} if self.dry_run else {}

    def perform(
        self, actions: Sequence[Action], cluster: "ClusterApi | None" = None
    ) -> tuple[Action, ...]:
        """
        Perform actions in order, and return those that had an effect.

        A suppressed action has none, nor has the creation of a Job that exists.

        Raises:
            ConflictError: An object changed after it was read.
            PrewarmRefusedError: Artifact Registry refuses to remove an artifact.
            UpstreamRefusedError: Artifact Registry refuses the upstream of a mirror.
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity.
        """
        return tuple(
            each for each in actions if not self._suppresses(each) and self._perform(each, cluster)
        )

    def change(
        self, cluster: "ClusterApi", plan: Callable[[], Sequence[Action]]
    ) -> Sequence[Action]:
        """
        Perform the actions of a plan, and return them.

        In a dry run the plan is not made, so nothing is read for a change that is suppressed.

        Raises:
            ConflictError: An object changed after it was read.
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity.
        """
        actions = self.read_for_change(plan) or ()
        self.perform(actions, cluster)
        return actions

    def resume(
        self, cluster: "ClusterApi", plan: Callable[[], ResumeJobs]
    ) -> "dict[str, list[JobName]]":
        """
        Release Jobs, resume others, and return which, as the fields of the log line.

        As in ``change``, a dry run does not make the plan. Another instance may resume the same
        Jobs at the same time, which has the same effect as one of them. Hence that patch has no
        resourceVersion: the Job controller writes the status of each new Job, and a Job that is
        not resumed because of that waits for the next event. A release applies to the version
        read, so that two instances do not count one attempt twice.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        resumption = self.read_for_change(plan)
        if resumption is None:
            return {"resumed": []}
        released = [
            each for each in resumption.releases if cluster.patch_job(each.name, _make_patch(each))
        ]
        requeued = [each.name for each in released if isinstance(each, SuspendJob)]
        ended = [each.name for each in released if isinstance(each, EndJob)]
        kept = {each.name for each in resumption.releases} - set(requeued)
        resumed: list[JobName] = []
        room = resumption.limit + len(requeued)
        for name in resumption.names:
            if room <= 0:
                break
            if name in kept:
                continue
            if cluster.patch_job(name, _resume_patch(resumption.patches.get(name, {}))):
                resumed.append(name)
                room -= 1
            elif name in resumption.patches:
                # Another instance has resumed it since it was read, and it takes its place.
                room -= 1
            # A Job that no longer exists leaves its place to the next.
        details = {"resumed": resumed, "requeued": requeued, "ended": ended}
        return {key: names for key, names in details.items() if names or key == "resumed"}

    def read_for_change(self, read: Callable[[], _T]) -> _T | None:
        """Read for a change of a cluster; None in a dry run, which changes nothing."""
        return None if self.dry_run else read()

    def describe_creation(
        self, done: Sequence[Action]
    ) -> Literal["created", "waiting", "would_create"]:
        """Return the result of a plan to create a Job, by the actions that had an effect."""
        if any(isinstance(each, CreateJob) for each in done):
            return "created"
        # Unless this is a dry run, another delivery has just created the Job.
        return "would_create" if self.dry_run else "waiting"

    def prewarm(self, action: Prewarm) -> "tuple[bool, PrewarmedArtifact | None]":
        """
        Ask for an image to be prewarmed.

        Returns whether the request was made, and the artifact if the API returns one.

        Raises:
            PrewarmRefusedError: The API does not serve the image.
            TransientError: It is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if self.dry_run:
            return False, None
        artifact = _given(self.prewarm_api).prewarm(
            action.version, location=action.location, retention_days=action.retention_days
        )
        return True, artifact

    def _perform(self, action: Action, cluster: "ClusterApi | None") -> bool:
        if isinstance(action, Publish):
            _given(self.publisher)().publish(action.requests)
        elif isinstance(action, WriteFact):
            _given(self.facts).write(action.fact)
        elif isinstance(action, CreateMirror):
            _given(self.repositories)().create_repository(action.repository)
        elif isinstance(action, UpdateMirror):
            _given(self.repositories)().update_credentials(action.repository)
        elif isinstance(action, RemovePrewarmed):
            _given(self.prewarm_api).remove(action.version, location=action.location)
        elif isinstance(action, CreateJob):
            return _create_job(_given(cluster), action)
        elif isinstance(action, Postpone):
            _postpone(_given(cluster), action)
        else:
            _change(_given(cluster), action)
        return True

    def _suppresses(self, action: Action) -> bool:
        if isinstance(action, WriteFact):
            return self.dry_run and action.of_change
        return self.dry_run and not isinstance(action, Publish)


def _given(service: _T | None) -> _T:
    if service is None:
        raise TypeError("the action needs a service that is not configured")
    return service


def _create_job(cluster: "ClusterApi", action: CreateJob) -> bool:
    name = action.warmup.name
    if cluster.create_job(action.warmup.body()):
        return True
    existing = cluster.fetch_job(name) if action.replaces else None
    if action.replaces and (existing is None or existing["metadata"]["uid"] == action.replaces):
        raise ConflictError(f"failed Job {name} is still being deleted")
    return False


def _postpone(cluster: "ClusterApi", action: Postpone) -> None:
    record = action.postponement
    if not cluster.create_job(record.body(action.namespace)):
        # An earlier record, or one that another instance has just made.
        cluster.patch_job(record.name, {"metadata": {"annotations": record.annotations()}})


def _change(cluster: "ClusterApi", action: Action) -> None:
    if isinstance(action, DeleteJob):
        cluster.delete_job(action.name, action.uid, action.version)
    elif isinstance(action, ShareJob):
        # A Job that is gone needs no further tenant.
        cluster.patch_job(
            action.name, {"metadata": {"labels": {action.tenant_label: OTHER_TENANT}}}
        )
    elif isinstance(action, EndJob):
        _patch_job(cluster, action.name, _make_patch(action), "was being ended")
    elif isinstance(action, MarkReported):
        patch = _mark_patch(action)
        _patch_job(cluster, action.name, patch, "was marked as reported", "before it")
    elif isinstance(action, ProveMirror | RecordPull | CountPullFailure | DistrustMirror):
        from shared.domain.proven_mirrors import PARAMETER_NAME

        if not cluster.patch_config_map(PARAMETER_NAME, action.patch):
            raise ConflictError(f"ConfigMap {PARAMETER_NAME} changed after it was read")
    else:
        raise TypeError(f"{type(action).__name__} is performed by its own method")


def _patch_job(
    cluster: "ClusterApi",
    name: str,
    patch: Mapping[str, Any],
    what: str,
    when: str = "while it",
) -> None:
    if not cluster.patch_job(name, patch):
        raise ConflictError(f"Job {name} changed {when} {what}")


def _resume_patch(patch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the patch that resumes a Job, together with another change."""
    metadata = {**patch.get("metadata", {}), "labels": {QUEUE_LABEL: RUNNING}}
    return {"metadata": metadata, "spec": {**patch.get("spec", {}), "suspend": False}}


def _make_patch(action: SuspendJob | EndJob) -> Mapping[str, Any]:
    labels: dict[str, str] = {}
    if isinstance(action, SuspendJob):
        labels = {QUEUE_LABEL: WAITING}
        annotations = {
            ATTEMPTS_ANNOTATION: str(action.attempts),
            REQUEUED_ANNOTATION: action.requeued,
        }
        spec: dict[str, Any] = {"suspend": True}
    else:
        from shared.domain.warmup_refusal import REFUSAL_ANNOTATION

        annotations = {REFUSAL_ANNOTATION: action.refusal}
        spec = {"activeDeadlineSeconds": 1}
    metadata = {
        "resourceVersion": action.version,
        "annotations": annotations,
        **({"labels": labels} if labels else {}),
    }
    return {"metadata": metadata, "spec": spec}


def _mark_patch(action: MarkReported) -> Mapping[str, Any]:
    annotations = {
        REPORTED_ANNOTATION: action.insert_id,
        OUTCOME_ANNOTATION: action.outcome,
        CACHE_ANNOTATION: "true" if action.fills_cache else "false",
    }
    if action.not_before:
        annotations[NOT_BEFORE_ANNOTATION] = action.not_before
    metadata = {
        "resourceVersion": action.version,
        "annotations": annotations,
        "labels": {QUEUE_LABEL: None},
    }
    return {"metadata": metadata}
