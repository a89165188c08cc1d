"""Report a warmup that ended: its Job, its pod, its node and their events, in one fact."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.domain import warmup_job as jobs
from shared.domain.cluster import ClusterName
from shared.domain.cluster_event import ImageStreamed, LayerDownloadFailed, NodeEvent
from shared.domain.disposition import Irrelevant
from shared.domain.fact import TIMED_OUT, Fact, Place, Subject, WarmupFinished
from shared.domain.json_access import number_of
from shared.domain.kubelet_messages import Pulled
from shared.domain.ladder import Node
from shared.domain.placement import ACCELERATOR_KEY
from shared.domain.request import Cause
from shared.domain.streaming_verdict import Evidence, PullObservation, Verdict, judge_pull
from shared.domain.timestamp import parse_time
from shared.domain.warmup_outcome import Ending, FinishedJob, tell_ending
from shared.domain.warmup_pod import Pod, belongs_to, uid_of
from shared.domain.warmup_refusal import read_refusal
from shared.errors import InvalidEventError, TransientError
from shared.messages.node_event import parse_event

NODE_EVENTS_NAMESPACE = "default"
"""Where Kubernetes keeps the events of objects that have no namespace."""

_BEFORE = timedelta(minutes=1)
_AFTER = timedelta(minutes=5)
"""How far from a pull a statement about it may lie: clocks differ, and events are rationed."""

_LACKING_FOR = timedelta(minutes=2)
"""How long what a node was seen to lack is taken to be lacking still."""


class Cluster(Protocol):
    """A cluster's API, as far as reporting needs it."""

    @property
    def name(self) -> ClusterName: ...  # noqa: D102
    def fetch_node(self, name: str) -> dict[str, Any] | None: ...  # noqa: D102
    def list_pods(self, label_selector: str) -> Iterable[dict[str, Any]]: ...  # noqa: D102
    def list_events(  # noqa: D102
        self, field_selector: str, namespace: str | None = None
    ) -> Iterable[dict[str, Any]]: ...
    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool: ...  # noqa: D102


class JobChangedError(TransientError):
    """A Job changed before it could be marked; its fact is written, and marking it can wait."""


class FactLog(Protocol):
    """Where facts are written."""

    def write(self, fact: Fact) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class NodeView:
    """What is known of a node around a pull; of a node that is gone, its events at most."""

    place: Place
    streams: bool | None
    reports: tuple[NodeEvent, ...]
    images: frozenset[str] = frozenset()
    """What it holds, under every name."""

    @property
    def statements(self) -> tuple[ImageStreamed, ...]:
        """What its snapshotter said."""
        return tuple(each for each in self.reports if isinstance(each, ImageStreamed))

    @property
    def layer_failures(self) -> tuple[LayerDownloadFailed, ...]:
        """Which layers it could not download."""
        return tuple(each for each in self.reports if isinstance(each, LayerDownloadFailed))


def view_node(cluster: Cluster, name: str | None, pulled: Pulled | None, at: datetime) -> NodeView:
    """Look at a node, and at what it said around a pull that ended at ``at``."""
    if name is None:
        return NodeView(Place(), None, ())
    body = cluster.fetch_node(name)
    node = None if body is None else Node.from_body(body)
    labels = {} if node is None else node.labels
    place = Place(
        node=name,
        node_pool=labels.get("cloud.google.com/gke-nodepool"),
        accelerator=labels.get(ACCELERATOR_KEY),
    )
    began = at - timedelta(seconds=(pulled.seconds if pulled else None) or 0.0) - _BEFORE
    selector = f"involvedObject.kind=Node,involvedObject.name={name},reason=ImageStreaming"
    reports = [
        report
        for report in _read_events(cluster, selector, NODE_EVENTS_NAMESPACE)
        if isinstance(report, ImageStreamed | LayerDownloadFailed)
        and began <= report.origin.timestamp <= at + _AFTER
    ]
    if node is None:
        return NodeView(place, None, tuple(reports))
    return NodeView(place, node.streams, tuple(reports), node.image_names)


class Reporting:
    """
    Writes one fact for each warmup Job that ended, and marks the Job once it is written.

    ``marks`` is off in a dry run, which leaves the cluster as it is.
    """

    def __init__(self, facts: FactLog, *, marks: bool = True) -> None:
        self._facts = facts
        self._marks = marks

    def write(self, fact: Fact) -> None:
        """Write a fact of another kind to the same log."""
        self._facts.write(fact)

    def report_job(self, cluster: Cluster, body: Mapping[str, Any]) -> Fact | None:
        """
        Write the fact of a Job; None if it has not ended, is marked, or is none of ours.

        The fact comes first, so that a crash between the two writes it twice, under one insert
        id, rather than never.

        Raises:
            TransientError: The cluster or Cloud Logging is unavailable, or the Job changed
                before it was marked (``JobChangedError``).
            ConfigurationError: One of them refuses our identity.
        """
        state = jobs.JobState.from_body(body)
        finished = FinishedJob.from_body(body)
        if finished is None or state.is_reported or not is_warmup(body):
            return None
        fact = _describe(cluster, body, state, finished).as_fact()
        self._facts.write(fact)
        if self._marks:
            _mark(cluster, state, fact)
        return fact

    def report_lapsed(self, cluster: Cluster, body: Mapping[str, Any], at: datetime) -> Fact | None:
        """
        Write the fact of a Job whose turn did not come until ``at``; None if it is none of ours.

        Raises:
            TransientError: Cloud Logging is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if not is_warmup(body):
            return None
        state = jobs.JobState.from_body(body)
        annotations = body["metadata"]["annotations"]
        fact = WarmupFinished(
            subject=_subject(cluster, annotations),
            outcome=TIMED_OUT,
            at=at,
            job=state.name,
            job_uid=state.uid,
            strategy=annotations.get(jobs.STRATEGY_ANNOTATION),
            target=(body["metadata"].get("labels") or {}).get(jobs.TARGET_LABEL),
            total_seconds=(at - parse_time(state.created)).total_seconds(),
            image_bytes=_image_bytes(None, annotations),
            reason="the warmup's turn did not come within a period",
            hint="Raise `max_running` or `period_hours` in prestream.yaml if this happens often.",
        ).as_fact()
        self._facts.write(fact)
        return fact


def describe_job(cluster: Cluster, body: Mapping[str, Any]) -> Fact | None:
    """
    Return the fact of a Job that ended, marked or not, and write nothing; None if it is not ours.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    finished = FinishedJob.from_body(body)
    if finished is None or not is_warmup(body):
        return None
    return _describe(cluster, body, jobs.JobState.from_body(body), finished).as_fact()


def _describe(
    cluster: Cluster,
    body: Mapping[str, Any],
    state: jobs.JobState,
    finished: FinishedJob,
) -> WarmupFinished:
    created = parse_time(state.created)
    pods = find_pods(cluster, state)
    pod = pods[-1] if pods else None
    reports = _read_job_events(cluster, state, created, pods)
    reports += read_refusal(body, cluster=str(cluster.name))
    ending = tell_ending(finished, pod, reports)
    annotations = body["metadata"]["annotations"]
    pulled = ending.pulled.pulled if ending.pulled else None
    view = _view_end(cluster, ending, pulled, finished)
    started = (body.get("status") or {}).get("startTime")
    return WarmupFinished(
        subject=_subject(cluster, annotations),
        outcome=ending.outcome,
        at=finished.at,
        job=state.name,
        job_uid=state.uid,
        strategy=annotations.get(jobs.STRATEGY_ANNOTATION),
        target=(body["metadata"].get("labels") or {}).get(jobs.TARGET_LABEL),
        place=view.place,
        started_at=parse_time(started) if started else None,
        pull_seconds=pulled.seconds if pulled else None,
        total_seconds=(finished.at - created).total_seconds(),
        image_bytes=_image_bytes(pulled, annotations),
        verdict=_judge(ending, view, annotations, created) if ending.was_pulled else None,
        evidence=ending.evidence,
        reason=ending.reason,
        hint=ending.hint,
        not_before=ending.not_before,
    )


def _view_end(
    cluster: Cluster, ending: Ending, pulled: Pulled | None, finished: FinishedJob
) -> NodeView:
    at = ending.pulled.origin.timestamp if ending.pulled else finished.at
    return view_node(cluster, ending.node, pulled, at)


def _mark(cluster: Cluster, state: jobs.JobState, fact: Fact) -> None:
    """Mark a Job on that version only: a new one of the same name has not been reported."""
    annotations = {jobs.REPORTED_ANNOTATION: fact.insert_id}
    if fact.payload["not_before"]:
        annotations[jobs.NOT_BEFORE_ANNOTATION] = fact.payload["not_before"]
    mark = {
        "metadata": {"resourceVersion": state.resource_version, "annotations": annotations},
    }
    if not cluster.patch_job(state.name, mark):
        raise JobChangedError(f"Job {state.name} changed before it could be marked as reported")


def is_warmup(body: Mapping[str, Any]) -> bool:
    """Whether a Job is a warmup that we made."""
    metadata = body.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    ours = all(labels.get(key) == value for key, value in jobs.APP_LABELS.items())
    return ours and jobs.IMAGE_ANNOTATION in annotations


def evidence_of(pulled: Any) -> Evidence:
    """Return the kubelet's own message as evidence."""
    origin = pulled.origin
    return Evidence("pull", origin.message, origin.log, origin.insert_id)


def find_pods(cluster: Cluster, state: jobs.JobState) -> list[Pod]:
    """Return the pods of a Job, the last one last; a disruption may have made several."""
    pods = cluster.list_pods(f"batch.kubernetes.io/job-name={state.name}")
    own = [pod for pod in pods if belongs_to(pod, state.uid)]
    return sorted(own, key=lambda pod: pod["metadata"].get("creationTimestamp") or "")


def _read_job_events(
    cluster: Cluster, state: jobs.JobState, created: datetime, pods: Iterable[Pod]
) -> list[NodeEvent]:
    """Read what was reported of a Job's pods, and of the Job itself where it has none."""
    uids = {uid_of(pod) for pod in pods}
    reports = _read_events(cluster, "involvedObject.kind=Pod")
    own = [each for each in reports if each.origin.name.startswith(f"{state.name}-")]
    if not own and not uids:
        selector = f"involvedObject.kind=Job,involvedObject.name={state.name}"
        own = _read_events(cluster, selector)
    # An earlier Job of the same name left events behind as well.
    return [each for each in own if each.origin.uid in uids or each.origin.timestamp >= created]


def _read_events(cluster: Cluster, selector: str, namespace: str | None = None) -> list[Any]:
    reports = []
    for event in cluster.list_events(selector, namespace):
        try:
            report = parse_event(event, cluster=str(cluster.name))
        except InvalidEventError:
            # One odd event among many says nothing, and must not hide the others.
            continue
        if not isinstance(report, Irrelevant):
            reports.append(report)
    return reports


def _subject(cluster: Cluster, annotations: Mapping[str, str]) -> Subject:
    return Subject(
        image=annotations[jobs.IMAGE_ANNOTATION],
        mirror=annotations.get(jobs.MIRROR_ANNOTATION),
        digest=annotations.get(jobs.DIGEST_ANNOTATION),
        cluster=str(cluster.name),
        cause=Cause.from_text(annotations.get(jobs.CAUSE_ANNOTATION)),
    )


def _image_bytes(pulled: Pulled | None, annotations: Mapping[str, str]) -> int | None:
    """Return the compressed size: the kubelet's figure, or else the manifest's."""
    if pulled is not None and pulled.image_bytes is not None:
        return pulled.image_bytes
    return number_of(annotations.get(jobs.SIZE_ANNOTATION))


def _judge(
    ending: Ending, view: NodeView, annotations: Mapping[str, str], created: datetime
) -> Verdict:
    pulled = ending.pulled.pulled if ending.pulled else None
    return judge_pull(
        PullObservation(
            image=annotations.get(jobs.MIRROR_ANNOTATION) or annotations[jobs.IMAGE_ANNOTATION],
            digest=annotations.get(jobs.DIGEST_ANNOTATION),
            seconds=pulled.seconds if pulled else None,
            image_bytes=_image_bytes(pulled, annotations),
            already_present=bool(pulled and pulled.already_present),
            node_streams=view.streams,
            node_held_digest=_held_before(ending, view, annotations, created),
            is_warmup=True,
            pull=evidence_of(ending.pulled) if ending.pulled else None,
            statements=tuple(each.statement for each in view.statements),
            layer_failures=tuple(each.failure for each in view.layer_failures),
        )
    )


def _held_before(
    ending: Ending, view: NodeView, annotations: Mapping[str, str], created: datetime
) -> bool | None:
    """
    Whether the node held the image when the warmup was made; that it lacked it may pass.

    A workload's pod may bring the same content under the upstream's name while the warmup waits.
    """
    if ending.node in annotations.get(jobs.HOLDING_ANNOTATION, "").split(","):
        return True
    if ending.pulled is None or ending.pulled.pulled.seconds is None:
        return None
    began = ending.pulled.origin.timestamp - timedelta(seconds=ending.pulled.pulled.seconds)
    lacked = ending.node in annotations.get(jobs.LACKING_ANNOTATION, "").split(",")
    if not lacked or began - created > _LACKING_FOR or _holds_elsewhere(view, annotations):
        return None
    return False


def _holds_elsewhere(view: NodeView, annotations: Mapping[str, str]) -> bool:
    """Whether the node holds the content under a name that the warmup did not pull."""
    pulled = annotations.get(jobs.MIRROR_ANNOTATION) or annotations[jobs.IMAGE_ANNOTATION]
    digest = annotations.get(jobs.DIGEST_ANNOTATION, "")
    return any(digest and name.endswith(f"@{digest}") and name != pulled for name in view.images)
