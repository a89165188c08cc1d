"""
How warm an image is somewhere, told from what was seen of it, and never from what was asked for.

=========  ==================================================================================
state      what was seen
=========  ==================================================================================
warm       a pull of the digest ended well less than a period ago; or Artifact Registry says
           that it holds it
warming    a warmup has its turn; or Artifact Registry is caching it
waiting    a warmup is queued
due        a pull ended well, but a period ago or longer: it may have gone cold since
failed     the last warmup ended otherwise
=========  ==================================================================================

A warmup under way takes nothing from what was seen before: an image that is renewed is warm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from shared.domain.fact import GOOD_OUTCOMES, PREWARMED, PULLED, make_insert_id
from shared.domain.image_reference import (
    Digest,
    ImageReference,
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.json_access import mapping_of, text_of
from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.timestamp import format_time, parse_time
from shared.domain.warmup_job import (
    DIGEST_ANNOTATION,
    IMAGE_ANNOTATION,
    MIRROR_ANNOTATION,
    NOT_BEFORE_ANNOTATION,
    TARGET_LABEL,
    JobState,
    end_of_period,
)
from shared.domain.warmup_outcome import FinishedJob

State = Literal["warm", "warming", "waiting", "due", "failed"]
Progress = Literal["waiting", "warming", "good", "bad"]

STATES: Final[tuple[State, ...]] = ("failed", "warming", "waiting", "due", "warm")
"""In the order in which people want to read of them."""

UNDER_WAY: Final = frozenset({"waiting", "warming"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One warmup, as it was seen: its Job, its fact, or what Artifact Registry holds of it."""

    key: str
    """Tells it from others, and stays: insert id of the fact that it has or will have."""
    image: str
    """As the user wrote it."""
    mirror: str | None
    """What nodes pull, without the digest; None where it came to no mirror."""
    digest: str | None
    """What the registry answered; for what is prewarmed, that of a platform's manifest."""
    cluster: str
    target: str | None
    """None for what is warm for every target of a region, and where it came to no target."""
    progress: Progress
    at: datetime
    """When it ended; of one under way, when it was made."""
    due: datetime | None = None
    """When the sweep asks for it again, if it is in use."""
    expires: datetime | None = None
    """Until when Artifact Registry holds it; None where a period counts."""
    job: str | None = None
    outcome: str | None = None
    """By its fact; None where none is known (yet)."""
    reason: str | None = None
    hint: str | None = None
    not_before: datetime | None = None
    fact: Mapping[str, Any] | None = None
    """The whole fact, where one was read."""

    @property
    def is_finished(self) -> bool:
        """Whether it ended, well or not."""
        return self.progress not in UNDER_WAY

    def is_of(self, reference: ImageReference, mirror: str | None, digest: str | None) -> bool:
        """
        Whether it warmed that image, in the version that is meant now.

        What came to no digest is told by the name that was asked for.
        """
        if self.digest is not None and digest is not None:
            return self.digest == digest and self.mirror == mirror
        return self.digest is None and _parse(self.image) == reference


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupState:
    """How warm an image is on a target of a cluster, now."""

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
    """A warmup that waits or runs, also where the image is still warm from the one before."""
    observations: tuple[Observation, ...]
    """Newest first."""

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
    Read a warmup out of its Job.

    Args:
        body: The Job, one that we made.
        fact: Payload of its fact; None where it has none, or none could be read. It tells a pull
            that ended well from a container that could not start after it.
        cluster: Where the Job stands.
        period: After which what is in use is warmed again.
    """
    metadata = mapping_of(body.get("metadata"))
    annotations = mapping_of(metadata.get("annotations"))
    state = JobState.from_body(body)
    digest = annotations.get(DIGEST_ANNOTATION)
    created = parse_time(state.created)
    outcome = text_of((fact or {}).get("outcome"))
    if outcome is None and state.is_complete:
        # Its container ran, so its image was on the node: pulled, or there already.
        outcome = PULLED
    progress: Progress
    if not state.is_finished:
        progress = "waiting" if state.is_waiting else "warming"
    else:
        progress = "good" if outcome in GOOD_OUTCOMES else "bad"
    not_before = text_of((fact or {}).get("not_before")) or annotations.get(NOT_BEFORE_ANNOTATION)
    seconds = period.total_seconds()
    return Observation(
        key=job_key(cluster, state.uid),
        image=annotations[IMAGE_ANNOTATION],
        mirror=_without_digest(annotations.get(MIRROR_ANNOTATION)),
        digest=digest,
        cluster=cluster,
        target=mapping_of(metadata.get("labels")).get(TARGET_LABEL),
        progress=progress,
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
    """Return a time that is told beside all else; what somebody broke is not known."""
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None


def read_fact(entry: Mapping[str, Any]) -> Observation | None:
    """
    Read a warmup out of the log entry of its fact; None for one that is no warmup's.

    It may have had no Job, or its Job is gone.
    """
    payload = mapping_of(entry.get("jsonPayload"))
    image, cluster = text_of(payload.get("image")), text_of(payload.get("cluster"))
    key, time = text_of(entry.get("insertId")), text_of(entry.get("timestamp"))
    outcome = text_of(payload.get("outcome"))
    if payload.get("event") != "warmup.finished" or not (image and cluster and key and time):
        return None
    not_before = text_of(payload.get("not_before"))
    try:
        return Observation(
            key=key,
            image=image,
            mirror=_without_digest(text_of(payload.get("mirror"))),
            digest=text_of(payload.get("digest")),
            cluster=cluster,
            target=text_of(payload.get("target")),
            progress="good" if outcome in GOOD_OUTCOMES else "bad",
            at=parse_time(time),
            job=text_of(payload.get("job")),
            outcome=outcome,
            reason=text_of(payload.get("reason")),
            hint=text_of(payload.get("hint")),
            not_before=parse_time(not_before) if not_before else None,
            fact=payload,
        )
    except ValueError:
        return None


def read_artifact(  # noqa: PLR0913  # whoever asks knows each from elsewhere
    artifact: PrewarmedArtifact,
    *,
    image: str,
    mirror: str | None,
    digest: str,
    cluster: str,
    retention: timedelta,
) -> Observation:
    """
    Read a warmup out of what Artifact Registry says that it holds in a cluster's region.

    Args:
        artifact: What it says.
        image: As the user wrote it, or as the artifact is called.
        mirror: What nodes pull, without the digest.
        digest: Of the image that is asked for, which may be an index.
        cluster: One of the region.
        retention: For how long things are prewarmed.
    """
    progress: Mapping[str, Progress] = {"CACHING": "warming", "ACTIVE": "good", "FAILED": "bad"}
    failed = artifact.state == "FAILED"
    return Observation(
        key=f"{artifact.uri} {artifact.location} {artifact.state} {artifact.expires}",
        image=image,
        mirror=mirror,
        digest=digest,
        cluster=cluster,
        target=None,
        progress=progress[artifact.state],
        at=artifact.created or artifact.expires - retention,
        due=artifact.expires - retention / 3,
        expires=artifact.expires,
        outcome=PREWARMED if artifact.state == "ACTIVE" else None,
        reason=(artifact.error or "Artifact Registry could not cache it") if failed else None,
    )


def combine(
    observations: Iterable[Observation], now: datetime, period: timedelta
) -> list[WarmupState]:
    """Return how warm each image is on each target, in the order of their names."""
    groups: dict[tuple[str, ...], dict[str, Observation]] = {}
    for each in observations:
        name = each.mirror or each.image
        key = (name, each.digest or "", each.cluster, each.target or "")
        groups.setdefault(key, {})[each.key] = each
    return [_summarize(list(groups[key].values()), now, period) for key in sorted(groups)]


def job_key(cluster: str, uid: str) -> str:
    """Return the key of a Job's warmup: the insert id that its fact has, or will have."""
    return make_insert_id("warmup.finished", [cluster, uid])


def _summarize(observations: list[Observation], now: datetime, period: timedelta) -> WarmupState:
    newest_first = sorted(observations, key=lambda each: each.at, reverse=True)
    last = next((each for each in newest_first if each.is_finished), None)
    # A Job that stands counts before any that ended: made before, it would have ended too.
    under_way = next((each for each in newest_first if not each.is_finished), None)
    state = _judge(last, now, period)
    if under_way is not None and state != "warm":
        state = "waiting" if under_way.progress == "waiting" else "warming"
    shown = last if state in {"warm", "failed", "due"} else under_way
    shown = shown or newest_first[0]
    ordered = (under_way, *newest_first) if under_way else tuple(newest_first)
    return WarmupState(
        image=shown.image,
        mirror=shown.mirror,
        digest=shown.digest,
        cluster=shown.cluster,
        target=shown.target,
        state=state,
        since=shown.at,
        due=shown.due if state in {"warm", "due"} else None,
        last=last,
        under_way=under_way,
        observations=tuple({each.key: each for each in ordered}.values()),
    )


def _judge(last: Observation | None, now: datetime, period: timedelta) -> State:
    """Return the state that the last warmup which ended has left."""
    if last is None:
        return "waiting"
    if last.progress == "bad":
        return "failed"
    return "warm" if now < (last.expires or last.at + period) else "due"


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
