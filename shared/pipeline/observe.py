"""Turn the reports of nodes and Jobs into facts, in any order of the messages."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.domain.action import Action, WriteFact
from shared.domain.cluster import ClusterName, UnknownClusterError, is_listed
from shared.domain.cluster_event import (
    ContainerFailed,
    ImagePullDelayed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    ImageStreamed,
    JobReported,
    LayerDownloadFailed,
    NodeEvent,
    Origin,
    PodEvicted,
    PodUnschedulable,
)
from shared.domain.disposition import (
    NOT_CONFIRMED,
    NOT_WATCHED,
    TOO_OLD,
    Irrelevant,
    Outcome,
    ignored,
    is_too_old,
)
from shared.domain.fact import PullObserved, StreamObserved, Subject
from shared.domain.image_reference import (
    DOCKER_HUB,
    ImageReference,
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.mirror import is_google_registry
from shared.domain.mirror_reference import trace_upstream
from shared.domain.pull_history import PullHistory, is_repeated
from shared.domain.reported_pod import confirms_pull
from shared.domain.streaming_verdict import PullObservation, judge_pull
from shared.errors import ClusterRefusedError, InvalidEventError
from shared.pipeline.read_pull import PullReader
from shared.pipeline.read_warmup import NodeView, evidence_of
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.execute import Executor
    from shared.pipeline.ports import ClusterApi, ObserverServices

WarmupEvent = JobReported | ImagePullFailed | PodEvicted | PodUnschedulable
PodEvent = ImagePulling | ImagePulled | ImagePullDelayed | ContainerFailed | PodUnschedulable
RelevantEvent = WarmupEvent | PodEvent | ImageStreamed | LayerDownloadFailed

_SYSTEM_REGISTRIES = ("-artifactregistry.gcr.io", "gke.gcr.io")
"""Registries of GKE's own images, some of which run in the pods of users, as sidecars."""


def observe_report(
    event: NodeEvent, publish_time: datetime, services: "ObserverServices"
) -> Outcome:
    """
    Observe a report, unless its message is too old, or its cluster no longer exists or refuses us.

    Raises:
        EventError: The report is invalid, or it cannot be observed now.
    """
    max_age = timedelta(hours=services.settings.max_event_age_hours)
    if is_too_old(publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD)
    try:
        return services.observer.observe(event)
    except (UnknownClusterError, ClusterRefusedError) as exc:
        return ignored(str(exc))


class _UnwatchedClusterError(Exception):
    """The event is about a cluster that is not watched."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a report: the outcome of the delivery, once the actions are performed."""

    outcome: Outcome
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Observer:
    """Observes the reports of the watched clusters."""

    settings: Settings
    connect: "Callable[[ClusterName], ClusterApi]"
    is_watched: Callable[[ClusterName], bool]
    execute: "Executor"
    reader: PullReader = field(default_factory=PullReader)

    def observe(self, event: NodeEvent) -> Outcome:
        """
        Write the fact of a report, and do what else follows from it.

        Raises:
            TransientError: A cluster or Cloud Logging is unavailable, or a Job that is reported
                to have ended has no end yet.
            ConfigurationError: One of them refuses our identity.
            InvalidEventError: The name of the cluster is invalid.
            UnknownClusterError: The cluster does not exist.
        """
        if isinstance(event, Irrelevant):
            return ignored(event.reason)
        cluster = event.origin.cluster
        if not is_listed(cluster, self.settings.clusters):
            return ignored(NOT_WATCHED, cluster=cluster)
        try:
            return self._observe(event)
        except _UnwatchedClusterError:
            return ignored(NOT_WATCHED, cluster=cluster)

    def _observe(self, event: RelevantEvent) -> Outcome:
        is_own = event.origin.namespace == self.settings.namespace
        if isinstance(event, JobReported | ImagePullFailed | PodEvicted) or (
            is_own and isinstance(event, PodUnschedulable)
        ):
            return self._observe_warmup(event)
        if isinstance(event, LayerDownloadFailed):
            return ignored("it is evidence for the pull of its image", node=event.origin.name)
        if isinstance(event, ImageStreamed):
            decision = self._plan_stream(event)
        else:
            decision = self._plan_pod(event)
        self.execute.perform(decision.actions)
        return decision.outcome

    def _observe_warmup(self, event: WarmupEvent) -> Outcome:
        # Most reports are pulls of workloads, which need none of this.
        from shared.pipeline.observe_warmup import (
            observe_eviction,
            observe_failure,
            observe_job,
            observe_unschedulable,
        )

        def connect() -> "ClusterApi":
            return self._connect_to(event.origin)

        if isinstance(event, JobReported):
            return observe_job(event, connect, self.settings, self.execute)
        if isinstance(event, PodEvicted):
            return observe_eviction(event, connect, self.settings, self.execute)
        if isinstance(event, PodUnschedulable):
            return observe_unschedulable(event, connect, self.settings, self.execute)
        return observe_failure(event, connect, self.settings, self.execute)

    def _plan_stream(self, event: ImageStreamed) -> Decision:
        decision = plan_stream(event, self.settings)
        if (
            decision.actions
            and self._connect_to(event.origin).fetch_node(event.origin.name) is None
        ):
            return Decision(ignored(NOT_CONFIRMED, node=event.origin.name))
        return decision

    def _plan_pod(self, event: PodEvent) -> Decision:
        origin = event.origin
        if origin.namespace == self.settings.namespace:
            return Decision(ignored("a warmup is told of when its Job ends", pod=origin.name))
        if not isinstance(event, ImagePulled):
            return Decision(ignored("only pulls that ended are written of", pod=origin.name))
        skipped = find_skip_reason(event, self.settings)
        if skipped is not None:
            return Decision(skipped)
        cluster = self._connect_to(origin)
        if not confirms_pull(cluster.fetch_pod(origin.name, origin.namespace or ""), event):
            return Decision(ignored(NOT_CONFIRMED, pod=origin.name))
        history, node = self.reader.read(cluster, event)
        if node is None:
            return Decision(_ignore_restart(event))
        return plan_pull(event, node, history, self.settings)

    def _connect_to(self, origin: Origin) -> "ClusterApi":
        return self.connect(self._check_watched(origin))

    def _check_watched(self, origin: Origin) -> ClusterName:
        """
        Return the name of an event's cluster.

        Most events need nothing, so it is checked only before a call or a fact.
        """
        try:
            name = ClusterName.parse(origin.cluster)
        except ValueError as exc:
            raise InvalidEventError(f"invalid cluster: {exc}") from exc
        if not self.is_watched(name):
            raise _UnwatchedClusterError
        return name


def plan_stream(event: ImageStreamed, settings: Settings) -> Decision:
    """Decide what a statement of a node's snapshotter means."""
    statement, origin = event.statement, event.origin
    reference = _parse(statement.image)
    if reference is None or _is_of_system(reference):
        return Decision(ignored("the image is not a workload's", image=statement.image))
    if not statement.is_success:
        return Decision(ignored("no layer of the image is streamed", image=statement.image))
    fact = StreamObserved(
        subject=_make_subject(reference, statement.image, origin, settings),
        at=origin.timestamp,
        node=origin.name,
        text=statement.text,
        layers=statement.layers,
        streamed_layers=statement.streamed_layers,
    ).as_fact()
    outcome = Outcome("handled", {"fact": fact.event, "image": statement.image})
    return Decision(outcome, (WriteFact(fact),))


def find_skip_reason(event: ImagePulled, settings: Settings) -> Outcome | None:
    """Return why a workload's pull is ignored; None for an image that GKE may stream."""
    namespace, image = event.origin.namespace, event.pulled.image
    if namespace in settings.system_namespaces:
        return ignored("the namespace is a system namespace", namespace=namespace)
    reference = _parse(image)
    if reference is None or not _may_stream(reference):
        return ignored("the image was not pulled from Artifact Registry", image=image)
    if _is_of_system(reference):
        return ignored("the image is not a workload's", image=image)
    return _ignore_restart(event) if is_repeated(event) else None


def plan_pull(
    event: ImagePulled, node: NodeView, history: PullHistory, settings: Settings
) -> Decision:
    """Decide what a workload's pull from Artifact Registry or Docker Hub means."""
    pulled, origin = event.pulled, event.origin
    reference = parse_reference(pulled.image)
    upstream = settings.upstreams.get(reference.registry)
    verdict = judge_pull(
        PullObservation(
            image=pulled.image,
            digest=reference.digest,
            seconds=pulled.seconds,
            image_bytes=pulled.image_bytes,
            already_present=pulled.already_present,
            node_streams=node.streams,
            node_held_digest=history.node_held or None,
            bypasses_mirror=upstream is not None and upstream.is_mirrored,
            pull=evidence_of(event),
            statements=tuple(each.statement for each in node.statements),
            layer_failures=tuple(each.failure for each in node.layer_failures),
        )
    )
    fact = PullObserved(
        subject=_make_subject(reference, pulled.image, origin, settings),
        at=origin.timestamp,
        verdict=verdict,
        pod_uid=origin.uid,
        container=origin.container,
        event_uid=origin.event_uid,
        workload=f"core/v1/namespaces/{origin.namespace}/pods/{origin.name}",
        node=node.details,
        pull_seconds=pulled.seconds,
        image_bytes=pulled.image_bytes,
    ).as_fact()
    details = {"fact": fact.event, "image": pulled.image, "streamed": verdict.streamed}
    return Decision(Outcome("handled", details), (WriteFact(fact),))


def _ignore_restart(event: ImagePulled) -> Outcome:
    return ignored("the pod pulled the image before", image=event.pulled.image)


def _make_subject(
    reference: ImageReference, pulled: str, origin: Origin, settings: Settings
) -> Subject:
    upstream = trace_upstream(reference, settings.project, settings.mirror_hosts)
    # A pod may shorten a name of Docker Hub, which a snapshotter reports in full.
    is_google = is_google_registry(reference.registry)
    return Subject(
        image=str(upstream or pulled),
        mirror=pulled if is_google else str(reference),
        digest=reference.digest,
        cluster=origin.cluster,
    )


def _parse(text: str) -> ImageReference | None:
    try:
        return parse_reference(text)
    except InvalidReferenceError:
        return None


def _may_stream(reference: ImageReference) -> bool:
    """
    Whether GKE may stream an image by its name.

    Google lists public images of Docker Hub as eligible; the verdicts show whether they stream.
    """
    return is_google_registry(reference.registry) or reference.registry == DOCKER_HUB


def _is_of_system(reference: ImageReference) -> bool:
    return reference.registry.endswith(_SYSTEM_REGISTRIES)
