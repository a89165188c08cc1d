"""Build the fact of a warmup that ended, and the mark that keeps it from being written again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.domain import warmup_job as jobs
from shared.domain.action import MarkReported, WriteFact
from shared.domain.cluster import ClusterName
from shared.domain.fact import (
    ALREADY_PRESENT,
    TIMED_OUT,
    Fact,
    Subject,
    WarmupFinished,
    WarmupOutcome,
    fills_cache,
)
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.domain.job_state import JobState
from shared.domain.json_access import number_of
from shared.domain.kubelet_messages import Pulled
from shared.domain.request import Cause
from shared.domain.streaming_verdict import PullObservation, Verdict, judge_pull
from shared.domain.timestamp import parse_time
from shared.pipeline.read_warmup import EndedWarmup, evidence_of, read_ended_warmup

if TYPE_CHECKING:
    from shared.pipeline.execute import Executor
    from shared.pipeline.ports import ClusterApi

_LACKING_FOR = timedelta(minutes=2)
"""The time for which a node that lacked the image is assumed to lack it still."""


def report_job(cluster: "ClusterApi", body: Mapping[str, Any], execute: "Executor") -> Fact | None:
    """
    Write the fact of a Job; None if it has not ended, is marked, or is not a warmup.

    Raises:
        ConflictError: The Job changed before it was marked; its fact is written.
        TransientError: The cluster or Cloud Logging is unavailable.
        ConfigurationError: One of them refuses our identity.
    """
    actions = read_report(cluster, body)
    execute.perform(actions, cluster)
    return actions[0].fact if actions else None


def read_report(
    cluster: "ClusterApi", body: Mapping[str, Any]
) -> tuple[WriteFact, MarkReported] | tuple[()]:
    """
    Return the actions that report a Job; none if it has not ended, is marked, or is not a warmup.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    if JobState.from_body(body).is_reported:
        return ()
    ended = read_ended_warmup(cluster, body)
    return () if ended is None else plan_report(ended)


def describe_job(cluster: "ClusterApi", body: Mapping[str, Any]) -> Fact | None:
    """
    Return the fact of a Job, marked or not; None if it has not ended or is not a warmup.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    ended = read_ended_warmup(cluster, body)
    return None if ended is None else make_fact(ended)


def plan_report(ended: EndedWarmup) -> tuple[WriteFact, MarkReported]:
    """
    Return the actions that report a warmup.

    The fact precedes the mark: a crash between the two writes the fact twice, with the same
    insert ID, instead of never.
    """
    fact = make_fact(ended)
    state, payload = ended.state, fact.payload
    mark = MarkReported(
        name=state.name,
        version=state.resource_version,
        insert_id=fact.insert_id,
        outcome=payload["outcome"],
        fills_cache=fills_cache(payload["outcome"], payload["streamed"], payload["evidence"]),
        not_before=payload["not_before"],
    )
    return WriteFact(fact), mark


def make_fact(ended: EndedWarmup) -> Fact:
    """
    Return the fact of a warmup that ended.

    The verdict decides between ``pulled`` and ``already_present``: a kubelet that has to pull
    reports success even if the node held the image.
    """
    body, state, diagnosis = ended.body, ended.state, ended.diagnosis
    annotations = _annotations_of(body)
    pulled = diagnosis.pulled.pulled if diagnosis.pulled else None
    created, at = parse_time(state.created), ended.finished.at
    started = (body.get("status") or {}).get("startTime")
    verdict = _judge(ended, annotations) if diagnosis.was_pulled else None
    held = verdict is not None and verdict.streamed == "cached_on_node"
    outcome: WarmupOutcome = ALREADY_PRESENT if held else diagnosis.outcome
    return WarmupFinished(
        subject=_make_subject(ended.cluster, annotations),
        outcome=outcome,
        at=at,
        job=state.name,
        job_uid=state.uid,
        strategy=annotations.get(jobs.STRATEGY_ANNOTATION),
        target=_target_of(body),
        node=ended.node.details,
        started_at=parse_time(started) if started else None,
        pull_seconds=pulled.seconds if pulled else None,
        total_seconds=(at - created).total_seconds(),
        image_bytes=_image_bytes(pulled, annotations),
        verdict=verdict,
        evidence=diagnosis.evidence,
        reason=diagnosis.reason,
        hint=diagnosis.hint,
        not_before=diagnosis.not_before,
    ).as_fact()


def make_lapsed_fact(cluster: ClusterName, body: Mapping[str, Any], at: datetime) -> Fact:
    """Return the fact of a warmup that was not resumed within a period, which ended at ``at``."""
    state, annotations = JobState.from_body(body), _annotations_of(body)
    return WarmupFinished(
        subject=_make_subject(cluster, annotations),
        outcome=TIMED_OUT,
        at=at,
        job=state.name,
        job_uid=state.uid,
        strategy=annotations.get(jobs.STRATEGY_ANNOTATION),
        target=_target_of(body),
        total_seconds=(at - parse_time(state.created)).total_seconds(),
        image_bytes=_image_bytes(None, annotations),
        reason="the warmup was not resumed within a period",
        hint="Raise `max_running` or `period_hours` in prestream.yaml if this happens often.",
    ).as_fact()


def _annotations_of(body: Mapping[str, Any]) -> Mapping[str, str]:
    annotations: Mapping[str, str] = body["metadata"]["annotations"]
    return annotations


def _target_of(body: Mapping[str, Any]) -> str | None:
    target: str | None = (body["metadata"].get("labels") or {}).get(jobs.TARGET_LABEL)
    return target


def _make_subject(cluster: ClusterName, annotations: Mapping[str, str]) -> Subject:
    return Subject(
        image=annotations[jobs.IMAGE_ANNOTATION],
        mirror=annotations.get(jobs.MIRROR_ANNOTATION),
        digest=annotations.get(jobs.DIGEST_ANNOTATION),
        cluster=str(cluster),
        cause=Cause.from_text(annotations.get(jobs.CAUSE_ANNOTATION)),
    )


def _image_bytes(pulled: Pulled | None, annotations: Mapping[str, str]) -> int | None:
    """Return the compressed size that the kubelet reports, or else the manifest's."""
    if pulled is not None and pulled.image_bytes is not None:
        return pulled.image_bytes
    return number_of(annotations.get(jobs.SIZE_ANNOTATION))


def _judge(ended: EndedWarmup, annotations: Mapping[str, str]) -> Verdict:
    diagnosis, node = ended.diagnosis, ended.node
    pulled = diagnosis.pulled.pulled if diagnosis.pulled else None
    return judge_pull(
        PullObservation(
            image=annotations.get(jobs.MIRROR_ANNOTATION) or annotations[jobs.IMAGE_ANNOTATION],
            digest=annotations.get(jobs.DIGEST_ANNOTATION),
            seconds=pulled.seconds if pulled else None,
            image_bytes=_image_bytes(pulled, annotations),
            already_present=bool(pulled and pulled.already_present),
            node_streams=node.streams,
            node_held_digest=held_before(ended),
            node_held_version=_held_version(ended, annotations),
            is_warmup=True,
            pull=evidence_of(diagnosis.pulled) if diagnosis.pulled else None,
            statements=tuple(each.statement for each in node.statements),
            layer_failures=tuple(each.failure for each in node.layer_failures),
        )
    )


def held_before(ended: EndedWarmup) -> bool | None:
    """
    Whether the node held the image before the pull; None if unknown.

    A pod of a workload can pull the same content under its upstream name while the warmup waits.
    """
    diagnosis, annotations = ended.diagnosis, _annotations_of(ended.body)
    holding = annotations.get(jobs.HOLDING_ANNOTATION, "").split(",")
    if ended.history.node_held or diagnosis.node in holding:
        return True
    if diagnosis.pulled is None or diagnosis.pulled.pulled.seconds is None:
        return None
    began = diagnosis.pulled.origin.timestamp - timedelta(seconds=diagnosis.pulled.pulled.seconds)
    joined = ended.node.created
    lacked = diagnosis.node in annotations.get(jobs.LACKING_ANNOTATION, "").split(",")
    # A node that joined after the Job held nothing.
    lacked |= joined is not None and joined > parse_time(ended.state.created)
    since = _read_nodes_at(ended)
    waited = began - max(since, joined or since)
    if not lacked or waited > _LACKING_FOR or _holds_elsewhere(ended, annotations):
        return None
    return False


def _read_nodes_at(ended: EndedWarmup) -> datetime:
    """
    Return when the nodes that lacked the image were read, at the latest.

    They are read for a new Job, and again when a Job that waited for long starts.
    """
    state = ended.state
    return parse_time(state.created if state.attempts or not state.started else state.started)


def _held_version(ended: EndedWarmup, annotations: Mapping[str, str]) -> bool | None:
    """Whether the node holds another image of the repository; None if its list is cut."""
    names = (annotations.get(jobs.MIRROR_ANNOTATION), annotations[jobs.IMAGE_ANNOTATION])
    repositories = {_repository_of(name) for name in names if name}
    digest_pulled = annotations.get(jobs.DIGEST_ANNOTATION, "")
    for name in ended.node.images:
        repository, _, digest = name.partition("@")
        if repository in repositories and digest not in {"", digest_pulled}:
            return True
    return False if ended.node.lists_all_images else None


def _repository_of(image: str) -> str:
    try:
        return str(parse_reference(image).name)
    except InvalidReferenceError:
        return image


def _holds_elsewhere(ended: EndedWarmup, annotations: Mapping[str, str]) -> bool:
    """Whether the node holds the content under a name that the warmup did not pull."""
    pulled = annotations.get(jobs.MIRROR_ANNOTATION) or annotations[jobs.IMAGE_ANNOTATION]
    digest = annotations.get(jobs.DIGEST_ANNOTATION, "")
    images = ended.node.images
    return any(digest and name.endswith(f"@{digest}") and name != pulled for name in images)
