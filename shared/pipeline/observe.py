"""What nodes and Jobs report, turned into facts, whichever message comes first."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from shared.domain.cluster import ClusterName, is_watched
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
    PodUnschedulable,
)
from shared.domain.disposition import Irrelevant, Outcome, ignored
from shared.domain.fact import PullObserved, StreamObserved, Subject
from shared.domain.image_reference import ImageReference, InvalidReferenceError, parse_reference
from shared.domain.mirror import is_google_registry
from shared.domain.mirror_reference import trace_upstream
from shared.domain.streaming_verdict import PullObservation, judge_pull
from shared.domain.warmup_job import MIRROR_ANNOTATION, JobName, JobState
from shared.domain.warmup_pod import holds_image, uid_of
from shared.domain.warmup_refusal import REFUSAL_ANNOTATION, write_refusal
from shared.errors import InvalidEventError, TransientError
from shared.pipeline.plan_resume import Jobs, resume_next
from shared.pipeline.report_warmup import (
    Cluster,
    FactLog,
    Reporting,
    evidence_of,
    find_pods,
    is_warmup,
    view_node,
)
from shared.pipeline.track_proven import Cluster as ProvenCluster
from shared.pipeline.track_proven import Proving
from shared.settings.keys import Settings

PodEvent = (
    ImagePulling
    | ImagePulled
    | ImagePullFailed
    | ImagePullDelayed
    | ContainerFailed
    | PodUnschedulable
)

_SYSTEM_REGISTRIES = ("-artifactregistry.gcr.io", "gke.gcr.io")
"""Where GKE pulls its own images from; some of them run in pods of users, as sidecars."""


class WatchedCluster(Cluster, Jobs, ProvenCluster, Protocol):
    """A cluster's API, as far as observing it needs it."""

    def fetch_job(self, name: str) -> dict[str, Any] | None: ...  # noqa: D102


class Observing:
    """Writes a fact for each pull, each streamed image and each warmup that ended."""

    def __init__(
        self,
        settings: Settings,
        *,
        connect: Callable[[ClusterName], WatchedCluster],
        facts: FactLog,
        reporting: Reporting,
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._facts = facts
        self._reporting = reporting
        self._proving = Proving(settings, facts=facts)
        self._hosts = settings.mirror_hosts

    def observe(self, event: NodeEvent) -> Outcome:
        """
        Settle what was reported.

        Raises:
            TransientError: A cluster or Cloud Logging is unavailable, or a Job that is reported
                to have ended does not say so yet.
            ConfigurationError: One of them refuses our identity.
            InvalidEventError: It names a cluster as no cluster can be named.
            UnknownClusterError: There is no such cluster.
        """
        if isinstance(event, Irrelevant):
            return ignored(event.reason)
        if not is_watched(event.origin.cluster, self._settings.clusters):
            return ignored("the cluster is not watched", cluster=event.origin.cluster)
        return self._observe_watched(event)

    def _observe_watched(
        self, event: PodEvent | JobReported | ImageStreamed | LayerDownloadFailed
    ) -> Outcome:
        if isinstance(event, ImageStreamed):
            return self._observe_stream(event)
        if isinstance(event, JobReported):
            return self._observe_job(event)
        if isinstance(event, LayerDownloadFailed):
            return ignored("it is evidence for the pull of its image", node=event.origin.name)
        return self._observe_pod(event)

    def _observe_pod(self, event: PodEvent) -> Outcome:
        if isinstance(event, ImagePullFailed):
            return self._observe_failure(event)
        if event.origin.namespace == self._settings.namespace:
            return self._observe_warmup_pod(event)
        if isinstance(event, ImagePulled):
            return self._observe_pull(event)
        return ignored("only pulls that ended are written of", pod=event.origin.name)

    def _observe_failure(self, event: ImagePullFailed) -> Outcome:
        """Count a failed pull against its mirror; a warmup that cannot succeed ends by it."""
        reference = _parse(event.image)
        distrusted = None
        if reference is not None and self._proving.concerns(event, reference):
            cluster = self._connect_to(event.origin)
            distrusted = self._proving.count_failure(cluster, event, reference)
        if event.origin.namespace == self._settings.namespace:
            outcome = self._observe_warmup_pod(event)
        else:
            outcome = ignored("only pulls that ended well are written of", pod=event.origin.name)
        if distrusted is None:
            return outcome
        return Outcome("handled", {**outcome.details, "distrusted": distrusted})

    def _observe_stream(self, event: ImageStreamed) -> Outcome:
        statement, origin = event.statement, event.origin
        reference = _parse(statement.image)
        if reference is None or _is_of_system(reference):
            return ignored("the image is not a workload's", image=statement.image)
        if not statement.is_success:
            return ignored("no layer of the image is streamed", image=statement.image)
        fact = StreamObserved(
            subject=self._subject(reference, statement.image, origin),
            at=origin.timestamp,
            node=origin.name,
            text=statement.text,
            layers=statement.layers,
            streamed_layers=statement.streamed_layers,
        ).as_fact()
        self._facts.write(fact)
        return Outcome("handled", {"fact": fact.event, "image": statement.image})

    def _observe_pull(self, event: ImagePulled) -> Outcome:
        pulled, origin = event.pulled, event.origin
        if origin.namespace in self._settings.system_namespaces:
            return ignored("the namespace is a system namespace", namespace=origin.namespace)
        reference = _parse(pulled.image)
        if reference is None or not is_google_registry(reference.registry):
            return ignored("the image was not pulled from Artifact Registry", image=pulled.image)
        if _is_of_system(reference):
            return ignored("the image is not a workload's", image=pulled.image)
        cluster = self._connect_to(origin)
        view = view_node(cluster, origin.node, pulled, origin.timestamp)
        verdict = judge_pull(
            PullObservation(
                image=pulled.image,
                digest=reference.digest,
                seconds=pulled.seconds,
                image_bytes=pulled.image_bytes,
                already_present=pulled.already_present,
                node_streams=view.streams,
                pull=evidence_of(event),
                statements=tuple(each.statement for each in view.statements),
                layer_failures=tuple(each.failure for each in view.layer_failures),
            )
        )
        fact = PullObserved(
            subject=self._subject(reference, pulled.image, origin),
            at=origin.timestamp,
            verdict=verdict,
            pod_uid=origin.uid,
            container=origin.container,
            event_uid=origin.event_uid,
            workload=f"core/v1/namespaces/{origin.namespace}/pods/{origin.name}",
            place=view.place,
            pull_seconds=pulled.seconds,
            image_bytes=pulled.image_bytes,
        ).as_fact()
        self._facts.write(fact)
        details = {"fact": fact.event, "image": pulled.image, "streamed": verdict.streamed}
        return Outcome("handled", details)

    def _observe_job(self, event: JobReported) -> Outcome:
        origin = event.origin
        if origin.namespace != self._settings.namespace:
            return ignored("the Job is not a warmup's", job=origin.name)
        if not event.has_ended:
            return ignored(f"the Job goes on after {event.reason}", job=origin.name)
        cluster = self._connect_to(origin)
        body = cluster.fetch_job(origin.name)
        if body is None or (origin.uid and JobState.from_body(body).uid != origin.uid):
            return ignored("the Job is gone", job=origin.name)
        if not is_warmup(body):
            return ignored("the Job is not a warmup's", job=origin.name)
        state = JobState.from_body(body)
        if not state.is_finished:
            raise TransientError(f"Job {origin.name} is reported to have ended, and has not yet")
        proven = self._prove(cluster, state, body)
        # First, so that no warmup waits for Cloud Logging to take the fact.
        resumed = self._resume(cluster)
        fact = self._reporting.report_job(cluster, body)
        details: dict[str, Any] = {"job": state.name, "resumed": resumed}
        details |= {"proven": proven} if proven else {}
        if fact is None:
            return Outcome("handled", details | {"reason": "its fact was written before"})
        told = {name: fact.payload[name] for name in ("image", "outcome", "streamed")}
        return Outcome(
            "handled", details | told | {"fact": fact.event, "reason": fact.payload["reason"]}
        )

    def _resume(self, cluster: WatchedCluster) -> list[JobName]:
        settings = self._settings
        if settings.dry_run:
            return []
        return resume_next(
            cluster, settings.max_running, namespace_budget=settings.namespace_budget
        )

    def _prove(
        self, cluster: WatchedCluster, state: JobState, body: Mapping[str, Any]
    ) -> str | None:
        """Take up the mirror of a warmup whose container ran: its image was pulled from there."""
        pulled = _parse(body["metadata"]["annotations"].get(MIRROR_ANNOTATION) or "")
        if pulled is None or not state.is_complete:
            return None
        return self._proving.prove(cluster, pulled)

    def _observe_warmup_pod(self, event: PodEvent) -> Outcome:
        """
        End a warmup whose pull cannot succeed, so that the next has its turn.

        All else that happens to a warmup's pod is told when its Job ends.
        """
        if isinstance(event, ImagePullFailed) and event.failure.permanent:
            return self._give_up(event)
        return ignored("a warmup is told of when its Job ends", pod=event.origin.name)

    def _give_up(self, event: ImagePullFailed) -> Outcome:
        origin = event.origin
        cluster = self._connect_to(origin)
        job_name = origin.name.rpartition("-")[0]
        body = cluster.fetch_job(job_name)
        if body is None or not is_warmup(body) or not JobState.from_body(body).is_running:
            return ignored("the warmup has ended", pod=origin.name)
        state = JobState.from_body(body)
        # A Job of the same name may have come after the one that the pod belonged to.
        pods = [pod for pod in find_pods(cluster, state) if uid_of(pod) == origin.uid]
        if not pods or holds_image(pods[-1]):
            return ignored("the pod is gone, or has its image by now", pod=origin.name)
        if self._settings.dry_run:
            return ignored("a dry run leaves the warmup to its deadline", job=job_name)
        patch: Mapping[str, Any] = {
            "metadata": {
                "resourceVersion": state.resource_version,
                "annotations": {REFUSAL_ANNOTATION: write_refusal(event)},
            },
            "spec": {"activeDeadlineSeconds": 1},
        }
        if not cluster.patch_job(job_name, patch):
            raise TransientError(f"Job {job_name} changed while it was to be ended")
        details = {"job": job_name, "image": event.image, "reason": event.failure.reason}
        return Outcome("handled", {"ended": job_name, **details})

    def _connect_to(self, origin: Origin) -> WatchedCluster:
        try:
            name = ClusterName.parse(origin.cluster)
        except ValueError as exc:
            raise InvalidEventError(f"invalid cluster: {exc}") from exc
        return self._connect(name)

    def _subject(self, reference: ImageReference, pulled: str, origin: Origin) -> Subject:
        upstream = trace_upstream(reference, self._settings.project, self._hosts)
        return Subject(
            image=str(upstream or pulled),
            mirror=pulled,
            digest=reference.digest,
            cluster=origin.cluster,
        )


def _parse(text: str) -> ImageReference | None:
    try:
        return parse_reference(text)
    except InvalidReferenceError:
        return None


def _is_of_system(reference: ImageReference) -> bool:
    return reference.registry.endswith(_SYSTEM_REGISTRIES)
