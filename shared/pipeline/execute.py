"""
Perform the actions that decisions return; no other module of the pipeline changes anything.

A dry run performs only what changes neither Kubernetes nor Artifact Registry: references are
published, and facts of what was observed are written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.domain.action import (
    Action,
    CountPullFailure,
    CreateJob,
    CreateMirror,
    DeleteJob,
    DistrustMirror,
    EndJob,
    MarkReported,
    Prewarm,
    ProveMirror,
    Publish,
    RemovePrewarmed,
    ResumeJobs,
    UpdateMirror,
    WriteFact,
)
from shared.domain.warmup_job import NOT_BEFORE_ANNOTATION, REPORTED_ANNOTATION
from shared.errors import TransientError

if TYPE_CHECKING:
    from shared.domain.prewarm import PrewarmedArtifact
    from shared.domain.warmup_job import JobName
    from shared.pipeline.ports import (
        ChangedCluster,
        FactLog,
        PrewarmApi,
        Publisher,
        Repositories,
        WarmedCluster,
    )


class ConflictError(TransientError):
    """An object changed after it was read."""


@dataclass(frozen=True, slots=True)
class Executor:
    """
    Performs actions.

    Args:
        facts: The log of facts.
        publisher: Makes the publisher of references when it is first needed.
        prewarm_api: Artifact Registry's prewarm API, for a ladder that includes it.
        dry_run: Whether changes of Kubernetes and Artifact Registry are suppressed.
    """

    facts: "FactLog | None" = None
    publisher: "Callable[[], Publisher] | None" = None
    prewarm_api: "PrewarmApi | None" = None
    dry_run: bool = False

    @property
    def details(self) -> dict[str, Any]:
        """The fields of the log line that mark a dry run."""
        return {"dry_run": True} if self.dry_run else {}

    def perform(self, actions: Sequence[Action], cluster: "ChangedCluster | None" = None) -> bool:
        """
        Perform actions in order, and return whether none was suppressed.

        Raises:
            ConflictError: An object changed after it was read.
            PrewarmRefusedError: Artifact Registry refuses to remove an artifact.
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity.
        """
        performed = [each for each in actions if not self._suppresses(each)]
        for action in performed:
            if isinstance(action, Publish):
                self._publish(action)
            elif isinstance(action, WriteFact):
                self._log.write(action.fact)
            elif isinstance(action, RemovePrewarmed):
                self._api.remove(action.version, location=action.location)
            else:
                _change(_given(cluster), action)
        return len(performed) == len(actions)

    def change(
        self, cluster: "ChangedCluster", plan: Callable[[], Sequence[Action]]
    ) -> Sequence[Action]:
        """
        Perform the actions of a plan, and return them.

        In a dry run the plan is not made, so nothing is read for a change that is suppressed.

        Raises:
            ConflictError: An object changed after it was read.
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity.
        """
        actions = () if self.dry_run else plan()
        self.perform(actions, cluster)
        return actions

    def resume(self, cluster: "ChangedCluster", plan: Callable[[], ResumeJobs]) -> "list[JobName]":
        """
        Resume Jobs, and return which; as in ``change``, a dry run does not make the plan.

        Another instance may resume the same Jobs at the same time, which has the same effect as
        one of them. Hence the patch has no resourceVersion: the Job controller writes the status
        of each new Job, and a Job that is not resumed because of that waits for the next event.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if self.dry_run:
            return []
        resumption = plan()
        resumed: list[JobName] = []
        for name in resumption.names:
            if len(resumed) >= resumption.limit:
                break
            # A Job that no longer exists leaves its place to the next.
            if cluster.patch_job(name, {"spec": {"suspend": False}}):
                resumed.append(name)
        return resumed

    def create(self, cluster: "WarmedCluster", plan: Callable[[], Sequence[Action]]) -> bool | None:
        """
        Perform the actions of a plan that creates a Job, and return whether it was created.

        Returns ``False`` if a Job of that name exists, and ``None`` in a dry run, which does not
        make the plan.

        Raises:
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity, or the cluster lacks our manifests.
        """
        if self.dry_run:
            return None
        is_created = False
        for action in plan():
            if isinstance(action, CreateJob):
                is_created = cluster.create_job(action.warmup.body())
            else:
                self.perform((action,), cluster)
        return is_created

    def change_mirror(
        self, repositories: "Repositories", action: CreateMirror | UpdateMirror
    ) -> bool:
        """
        Create or update a mirror, and return whether it was done; a dry run does nothing.

        Raises:
            UpstreamRefusedError: Artifact Registry refuses the upstream or its credentials.
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if self.dry_run:
            return False
        if isinstance(action, CreateMirror):
            repositories.create_repository(action.repository)
        else:
            repositories.update_credentials(action.repository)
        return True

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
        artifact = self._api.prewarm(
            action.version, location=action.location, retention_days=action.retention_days
        )
        return True, artifact

    def _suppresses(self, action: Action) -> bool:
        if isinstance(action, WriteFact):
            return self.dry_run and action.of_change
        return self.dry_run and not isinstance(action, Publish)

    def _publish(self, action: Publish) -> None:
        if self.publisher is None:
            raise TypeError("no publisher is configured")
        self.publisher().publish(action.requests)

    @property
    def _log(self) -> "FactLog":
        if self.facts is None:
            raise TypeError("no log of facts is configured")
        return self.facts

    @property
    def _api(self) -> "PrewarmApi":
        if self.prewarm_api is None:
            raise TypeError("no prewarm API is configured")
        return self.prewarm_api


def _given(cluster: "ChangedCluster | None") -> "ChangedCluster":
    if cluster is None:
        raise TypeError("the action needs a cluster")
    return cluster


def _change(cluster: "ChangedCluster", action: Action) -> None:
    if isinstance(action, DeleteJob):
        cluster.delete_job(action.name, action.uid, action.version)
    elif isinstance(action, EndJob):
        _patch_job(cluster, action.name, _end_patch(action), "was to be ended")
    elif isinstance(action, MarkReported):
        patch = _mark_patch(action)
        _patch_job(cluster, action.name, patch, "could be marked as reported", "before it")
    elif isinstance(action, ProveMirror | CountPullFailure | DistrustMirror):
        from shared.domain.proven_mirrors import PARAMETER_NAME

        if not cluster.patch_config_map(PARAMETER_NAME, action.patch):
            raise ConflictError(f"ConfigMap {PARAMETER_NAME} changed while it was to be kept")
    else:
        raise TypeError(f"{type(action).__name__} is performed by its own method")


def _patch_job(
    cluster: "ChangedCluster",
    name: str,
    patch: Mapping[str, Any],
    what: str,
    when: str = "while it",
) -> None:
    if not cluster.patch_job(name, patch):
        raise ConflictError(f"Job {name} changed {when} {what}")


def _end_patch(action: EndJob) -> Mapping[str, Any]:
    from shared.domain.warmup_refusal import REFUSAL_ANNOTATION

    return {
        "metadata": {
            "resourceVersion": action.version,
            "annotations": {REFUSAL_ANNOTATION: action.refusal},
        },
        "spec": {"activeDeadlineSeconds": 1},
    }


def _mark_patch(action: MarkReported) -> Mapping[str, Any]:
    annotations = {REPORTED_ANNOTATION: action.insert_id}
    if action.not_before:
        annotations[NOT_BEFORE_ANNOTATION] = action.not_before
    return {"metadata": {"resourceVersion": action.version, "annotations": annotations}}
