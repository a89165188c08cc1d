"""The warmups of an image, as Jobs, facts and Artifact Registry show them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.domain.fact import PREWARMED, PULLED, make_insert_id
from shared.domain.image_reference import (
    Digest,
    ImageReference,
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.image_state import (
    PREWARM_PROGRESS,
    UNDER_WAY,
    Progress,
    State,
    judge_warmups,
    read_fact_progress,
    read_job_progress,
)
from shared.domain.job_state import JobState
from shared.domain.json_access import mapping_of, text_of
from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.timestamp import format_time, parse_time
from shared.domain.warmup_job import (
    DIGEST_ANNOTATION,
    IMAGE_ANNOTATION,
    MIRROR_ANNOTATION,
    NOT_BEFORE_ANNOTATION,
    TARGET_LABEL,
    end_of_period,
)
from shared.domain.warmup_outcome import FinishedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One warmup, from its Job, its fact, or its prewarmed artifact."""

    key: str
    """A stable identifier: the insert ID of its present or future fact."""
    image: str
    """The image as the user wrote it."""
    mirror: str | None
    """The reference that nodes pull, without its digest; ``None`` if no mirror was found."""
    digest: str | None
    """The digest from the registry; for a prewarmed artifact, the digest of one platform."""
    cluster: str
    target: str | None
    """``None`` for an artifact that is warm for a whole region, and if no target was chosen."""
    progress: Progress
    at: datetime
    """The time of its end, or of its creation while it is in progress."""
    due: datetime | None = None
    """When the sweep requests the image again, if it is in use."""
    expires: datetime | None = None
    """When the prewarmed artifact expires; ``None`` if the period decides."""
    job: str | None = None
    outcome: str | None = None
    """The outcome from its fact; ``None`` if unknown."""
    reason: str | None = None
    hint: str | None = None
    not_before: datetime | None = None
    fact: Mapping[str, Any] | None = None
    """The payload of the fact, if it was read."""

    @property
    def is_finished(self) -> bool:
        """Whether the warmup ended, successfully or not."""
        return self.progress not in UNDER_WAY

    @property
    def subject(self) -> tuple[str, str]:
        """The image, in one spelling, and the cluster."""
        return str(_parse(self.image) or self.image), self.cluster

    def is_of(self, reference: ImageReference, mirror: str | None, digest: str | None) -> bool:
        """
        Whether the warmup is of that version of the image.

        A warmup without a digest is matched by the requested name.
        """
        if self.digest is not None and digest is not None:
            return self.digest == digest and self.mirror == mirror
        return self.digest is None and _parse(self.image) == reference


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupState:
    """The current state of an image on a target of a cluster."""

    image: str
    mirror: str | None
    digest: str | None
    cluster: str
    target: str | None
    state: State
    since: datetime
    due: datetime | None
    last: Observation | None
    """The last warmup that ended; None if none did."""
    under_way: Observation | None
    """A warmup that waits or runs, also if the image is still warm from an earlier one."""
    observations: tuple[Observation, ...]
    """The warmups, newest first."""

    def as_json(self) -> dict[str, Any]:
        """Return it for other programs; times in RFC 3339, unknown is null."""
        last = self.last
        return {
            "image": self.image,
            "mirror": self.mirror,
            "digest": self.digest,
            "cluster": self.cluster,
            "target": self.target,
            "state": self.state,
            "since": format_time(self.since),
            "next_due": None if self.due is None else format_time(self.due),
            "under_way": None if self.under_way is None else self.under_way.progress,
            "job": self.observations[0].job,
            "last_outcome": last.outcome if last else None,
            "last_ended": format_time(last.at) if last else None,
            "reason": last.reason if last else None,
            "hint": last.hint if last else None,
            "not_before": format_time(last.not_before) if last and last.not_before else None,
        }


def read_job(
    body: Mapping[str, Any], fact: Mapping[str, Any] | None, *, cluster: str, period: timedelta
) -> Observation:
    """
    Return the warmup of a Job.

    Args:
        body: A warmup Job.
        fact: The payload of its fact, if it was read. It distinguishes a successful pull
            from a container that could not start afterwards.
        cluster: The cluster of the Job.
        period: The time after which an image in use is warmed again.
    """
    metadata = mapping_of(body.get("metadata"))
    annotations = mapping_of(metadata.get("annotations"))
    state = JobState.from_body(body)
    digest = annotations.get(DIGEST_ANNOTATION)
    created = parse_time(state.created)
    outcome = text_of((fact or {}).get("outcome")) or state.outcome
    if outcome is None and state.is_complete:
        # Its container ran, so its image was on the node: pulled, or there already.
        outcome = PULLED
    not_before = text_of((fact or {}).get("not_before")) or annotations.get(NOT_BEFORE_ANNOTATION)
    seconds = period.total_seconds()
    return Observation(
        key=job_key(cluster, state.uid),
        image=annotations[IMAGE_ANNOTATION],
        mirror=_without_digest(annotations.get(MIRROR_ANNOTATION)),
        digest=digest,
        cluster=cluster,
        target=mapping_of(metadata.get("labels")).get(TARGET_LABEL),
        progress=read_job_progress(state, fact),
        at=_end_of(body) or created,
        due=end_of_period(created, Digest(digest), seconds) if digest else None,
        job=state.name,
        outcome=outcome if state.is_finished else None,
        reason=text_of((fact or {}).get("reason")),
        hint=text_of((fact or {}).get("hint")),
        not_before=_time_of(not_before),
        fact=fact,
    )


def _time_of(text: str | None) -> datetime | None:
    """Return an optional time; an invalid one counts as unknown."""
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None


def read_fact(entry: Mapping[str, Any]) -> Observation | None:
    """
    Return the warmup of a fact's log entry; ``None`` if the fact is not of a warmup.

    The warmup may not have had a Job, or the Job is gone.
    """
    payload = mapping_of(entry.get("jsonPayload"))
    image, cluster = text_of(payload.get("image")), text_of(payload.get("cluster"))
    key, time = text_of(entry.get("insertId")), text_of(entry.get("timestamp"))
    outcome = text_of(payload.get("outcome"))
    if payload.get("event") != "warmup.finished" or not (image and cluster and key and time):
        return None
    not_before, job = text_of(payload.get("not_before")), text_of(payload.get("job"))
    # The fact of a failure in a sweep has the time of the day's begin.
    requested = None if job else text_of(payload.get("started_at"))
    try:
        return Observation(
            key=key,
            image=image,
            mirror=_without_digest(text_of(payload.get("mirror"))),
            digest=text_of(payload.get("digest")),
            cluster=cluster,
            target=text_of(payload.get("target")),
            progress=read_fact_progress(payload),
            at=parse_time(requested or time),
            job=job,
            outcome=outcome,
            reason=text_of(payload.get("reason")),
            hint=text_of(payload.get("hint")),
            not_before=parse_time(not_before) if not_before else None,
            fact=payload,
        )
    except ValueError:
        return None


def read_artifact(  # noqa: PLR0913  # each value has another source
    artifact: PrewarmedArtifact,
    *,
    image: str,
    mirror: str | None,
    digest: str,
    cluster: str,
    retention: timedelta,
) -> Observation:
    """
    Return the warmup of a prewarmed artifact in a cluster's region.

    Args:
        artifact: The prewarmed artifact.
        image: As the user wrote it, or as the artifact is called.
        mirror: The reference that nodes pull, without its digest.
        digest: The digest of the requested image, which may be an index.
        cluster: A cluster of the region.
        retention: How long Artifact Registry keeps a prewarmed artifact.
    """
    failed = artifact.state == "FAILED"
    return Observation(
        key=f"{artifact.uri} {artifact.location} {artifact.state} {artifact.expires}",
        image=image,
        mirror=mirror,
        digest=digest,
        cluster=cluster,
        target=None,
        progress=PREWARM_PROGRESS[artifact.state],
        at=artifact.created or artifact.expires - retention,
        due=artifact.expires - retention / 3,
        expires=artifact.expires,
        outcome=PREWARMED if artifact.state == "ACTIVE" else None,
        reason=(artifact.error or "Artifact Registry could not cache it") if failed else None,
    )


def combine(
    observations: Iterable[Observation], now: datetime, period: timedelta
) -> list[WarmupState]:
    """
    Return the state of each image on each target, in the order of their names.

    A failure without a target, such as an image that did not exist, says nothing of the image
    after a later warmup that did not fail.
    """
    groups: dict[tuple[str, ...], dict[str, Observation]] = {}
    for each in _drop_overcome(list(observations)):
        name = each.mirror or each.image
        key = (name, each.digest or "", each.cluster, each.target or "")
        groups.setdefault(key, {})[each.key] = each
    return [_summarize(list(groups[key].values()), now, period) for key in sorted(groups)]


def _drop_overcome(observations: Sequence[Observation]) -> Iterator[Observation]:
    """Yield the warmups, without failures before the choice of a target that are over."""
    latest: dict[tuple[str, str], datetime] = {}
    for each in observations:
        if each.progress != "bad":
            latest[each.subject] = max(latest.get(each.subject, each.at), each.at)
    for each in observations:
        is_over = latest.get(each.subject, each.at) > each.at
        if each.progress != "bad" or each.target is not None or not is_over:
            yield each


def job_key(cluster: str, uid: str) -> str:
    """Return the key of a Job's warmup: the insert id that its fact has, or will have."""
    return make_insert_id("warmup.finished", [cluster, uid])


def _summarize(observations: list[Observation], now: datetime, period: timedelta) -> WarmupState:
    newest_first = sorted(observations, key=lambda each: each.at, reverse=True)
    judged = judge_warmups(newest_first, now, period)
    under_way = judged.under_way
    shown = under_way if judged.state in UNDER_WAY else judged.decisive
    shown = shown or newest_first[0]
    ordered = (under_way, *newest_first) if under_way else tuple(newest_first)
    return WarmupState(
        image=shown.image,
        mirror=shown.mirror,
        digest=shown.digest,
        cluster=shown.cluster,
        target=shown.target,
        state=judged.state,
        since=shown.at,
        due=shown.due if judged.state in {"warm", "due"} else None,
        last=judged.last,
        under_way=under_way,
        observations=tuple({each.key: each for each in ordered}.values()),
    )


def _end_of(body: Mapping[str, Any]) -> datetime | None:
    finished = FinishedJob.from_body(body)
    return finished.at if finished else None


def _without_digest(text: str | None) -> str | None:
    reference = _parse(text or "")
    return None if reference is None else reference.name


def _parse(text: str) -> ImageReference | None:
    try:
        return parse_reference(text)
    except InvalidReferenceError:
        return None
