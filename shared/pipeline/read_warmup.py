"""Read what a cluster still knows about a warmup that ended: its pods, its node, their events."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.domain import warmup_job as jobs
from shared.domain.cluster import ClusterName
from shared.domain.cluster_event import (
    ImagePulled,
    ImageStreamed,
    LayerDownloadFailed,
    NodeEvent,
)
from shared.domain.disposition import Irrelevant
from shared.domain.fact import NodeDetails
from shared.domain.job_state import JobState
from shared.domain.json_access import field_at, text_of
from shared.domain.kubelet_messages import Pulled
from shared.domain.node import Node
from shared.domain.placement import ACCELERATOR_KEY
from shared.domain.pull_history import PullHistory, find_history
from shared.domain.streaming_verdict import Evidence
from shared.domain.timestamp import parse_time
from shared.domain.warmup_outcome import Diagnosis, FinishedJob, diagnose
from shared.domain.warmup_pod import Pod, belongs_to, uid_of
from shared.domain.warmup_refusal import read_refusal
from shared.errors import InvalidEventError
from shared.messages.node_event import parse_event

if TYPE_CHECKING:
    from shared.pipeline.ports import ClusterApi

_JOB_LABEL = "batch.kubernetes.io/job-name"

NODE_EVENTS_NAMESPACE = "default"
"""The namespace in which Kubernetes keeps the events of objects without a namespace."""

_BEFORE = timedelta(minutes=1)
_AFTER = timedelta(minutes=5)
"""How far from a pull a statement still counts: clocks differ, and events are rationed."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node around the time of a pull; only its events are known if the node is gone."""

    details: NodeDetails
    streams: bool | None
    reports: tuple[NodeEvent, ...]
    images: frozenset[str] = frozenset()
    """The images on the node, under every name."""
    lists_all_images: bool = False
    created: datetime | None = None

    @property
    def statements(self) -> tuple[ImageStreamed, ...]:
        """The statements of its snapshotter."""
        return tuple(each for each in self.reports if isinstance(each, ImageStreamed))

    @property
    def layer_failures(self) -> tuple[LayerDownloadFailed, ...]:
        """The layers that it could not download."""
        return tuple(each for each in self.reports if isinstance(each, LayerDownloadFailed))


@dataclass(frozen=True, slots=True)
class EndedWarmup:
    """A warmup Job that ended, with everything that its fact is made of."""

    cluster: ClusterName
    body: Mapping[str, Any]
    state: JobState
    finished: FinishedJob
    diagnosis: Diagnosis
    node: NodeView
    history: PullHistory
    """The pulls of other warmups on the same node."""


def read_ended_warmup(cluster: "ClusterApi", body: Mapping[str, Any]) -> EndedWarmup | None:
    """
    Return how a warmup Job ended; None if it has not ended or is not a warmup.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    finished = FinishedJob.from_body(body)
    if finished is None or not is_warmup(body):
        return None
    state = JobState.from_body(body)
    pods, strangers = _read_pods(cluster, state)
    reports = _read_job_events(cluster, state, pods)
    reports += read_refusal(body, cluster=str(cluster.name))
    diagnosis = diagnose(finished, pods[-1] if pods else None, reports)
    at = diagnosis.pulled.origin.timestamp if diagnosis.pulled else finished.at
    pulled = diagnosis.pulled.pulled if diagnosis.pulled else None
    node = read_node(cluster, diagnosis.node, pulled, at)
    history = _read_pulls_of(cluster, diagnosis.pulled, strangers)
    return EndedWarmup(cluster.name, body, state, finished, diagnosis, node, history)


def read_node(
    cluster: "ClusterApi", name: str | None, pulled: Pulled | None, at: datetime
) -> NodeView:
    """Return a node and its statements around a pull that ended at ``at``."""
    if name is None:
        return NodeView(NodeDetails(), None, ())
    body = cluster.fetch_node(name)
    selector = f"involvedObject.kind=Node,involvedObject.name={name},reason=ImageStreaming"
    reports = _read_events(cluster, selector, NODE_EVENTS_NAMESPACE)
    return view_node(name, body, reports, pulled, at)


def view_node(
    name: str,
    body: Mapping[str, Any] | None,
    reports: Iterable[NodeEvent],
    pulled: Pulled | None,
    at: datetime,
) -> NodeView:
    """Return a node and those of its statements that are around a pull that ended at ``at``."""
    node = None if body is None else Node.from_body(body)
    labels = {} if node is None else node.labels
    details = NodeDetails(
        name=name,
        node_pool=labels.get("cloud.google.com/gke-nodepool"),
        accelerator=labels.get(ACCELERATOR_KEY),
    )
    began = at - timedelta(seconds=(pulled.seconds if pulled else None) or 0.0) - _BEFORE
    near = tuple(
        report
        for report in reports
        if isinstance(report, ImageStreamed | LayerDownloadFailed)
        and report.origin.name == name
        and began <= report.origin.timestamp <= at + _AFTER
    )
    if node is None:
        return NodeView(details, None, near)
    return NodeView(
        details,
        node.streams,
        near,
        node.image_names,
        lists_all_images=node.smallest_listed == 0,
        created=_read_created(body),
    )


def _read_created(body: Mapping[str, Any] | None) -> datetime | None:
    with contextlib.suppress(ValueError):
        return parse_time(text_of(field_at(body, ("metadata", "creationTimestamp"))) or "")
    return None


def is_warmup(body: Mapping[str, Any]) -> bool:
    """Whether a Job is a warmup that Prestream created."""
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    return jobs.has_labels(body, jobs.APP_LABELS) and jobs.IMAGE_ANNOTATION in annotations


def evidence_of(report: Any) -> Evidence:
    """Return the kubelet's own message as evidence."""
    origin = report.origin
    return Evidence("pull", origin.message, origin.log, origin.insert_id)


def find_pods(cluster: "ClusterApi", state: JobState) -> list[Pod]:
    """Return the pods of a Job, oldest first; a disruption can lead to more than one."""
    return _select_pods(cluster.list_pods(f"{_JOB_LABEL}={state.name}"), state)


def _select_pods(pods: Iterable[Pod], state: JobState) -> list[Pod]:
    own = [pod for pod in pods if belongs_to(pod, state.uid)]
    return sorted(own, key=lambda pod: pod["metadata"].get("creationTimestamp") or "")


def _read_pods(cluster: "ClusterApi", state: JobState) -> tuple[list[Pod], list[Pod]]:
    """Return the pods of a Job, and those of other warmups of the same content."""
    content = text_of(field_at(state.body, ("metadata", "labels", jobs.CONTENT_LABEL)))
    if content is None:
        return find_pods(cluster, state), []
    pods = list(cluster.list_pods(f"{jobs.CONTENT_LABEL}={content}"))
    own = _select_pods(pods, state)
    return own, [pod for pod in pods if pod not in own]


def _read_pulls_of(
    cluster: "ClusterApi", pulled: ImagePulled | None, strangers: Iterable[Pod]
) -> PullHistory:
    """Return the history of a pull, from the events of other warmups of the content."""
    if pulled is None:
        return PullHistory()
    on_node = [
        pod for pod in strangers if field_at(pod, ("spec", "nodeName")) == pulled.origin.node
    ]
    reports = [each for pod in on_node for each in _read_pod_events(cluster, pod)]
    return find_history(pulled, [each for each in reports if isinstance(each, ImagePulled)])


def _read_job_events(
    cluster: "ClusterApi", state: JobState, pods: Collection[Pod]
) -> list[NodeEvent]:
    """
    Return the events of a Job's pods.

    A deadline deletes the pods, whose events are then found by their names. Without any, the events
    of the Job itself are returned instead.
    """
    if pods:
        own = [each for pod in pods for each in _read_pod_events(cluster, pod)]
    else:
        reports = _read_events(cluster, "involvedObject.kind=Pod")
        own = [each for each in reports if each.origin.name.startswith(f"{state.name}-")]
    if not own and not pods:
        selector = f"involvedObject.kind=Job,involvedObject.name={state.name}"
        own = _read_events(cluster, selector)
    # An earlier Job of the same name also left events behind.
    uids, created = {uid_of(pod) for pod in pods}, parse_time(state.created)
    return [each for each in own if each.origin.uid in uids or each.origin.timestamp >= created]


def _read_pod_events(cluster: "ClusterApi", pod: Pod) -> list[Any]:
    name = pod["metadata"]["name"]
    return _read_events(cluster, f"involvedObject.kind=Pod,involvedObject.name={name}")


def _read_events(cluster: "ClusterApi", selector: str, namespace: str | None = None) -> list[Any]:
    return list(parse_events(cluster, cluster.list_events(selector, namespace)))


def parse_events(cluster: "ClusterApi", events: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    """Yield the reports among events."""
    for event in events:
        try:
            report = parse_event(event, cluster=str(cluster.name))
        except InvalidEventError:
            # One invalid event must not hide the others.
            continue
        if not isinstance(report, Irrelevant):
            yield report
