"""
Facts: what Prestream saw happen, in the form in which Cloud Logging keeps it.

A fact's insert id is derived from what it is about, and its timestamp is when that happened. So
of two copies, which come about when a message is delivered twice, a query keeps one:
https://docs.cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry

==================  ======================================================================
event               what its insert id is made of
==================  ======================================================================
warmup.finished     cluster, uid of the Job; without a Job: cluster, message id, image, target;
                    prewarmed: cluster, digest of the platform, region, when it expires
pull.observed       cluster, uid of the pod, container, uid of the event, time
stream.observed     cluster, node, image, text, time
tag.moved           cluster, image, old and new digest
mirror.bypassed     cluster, image, period
mirror.distrusted   cluster, upstream, image, time
==================  ======================================================================

A fact is a WARNING where a person has something to do that was not expected: a warmup that ended
otherwise than well, a workload's pull that demonstrably was not streamed, a mirror that is not
used. All else is INFO, also a warmup whose own pull was slow, since it had to fill the cache.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.request import Cause
from shared.domain.streaming_verdict import Evidence, Verdict
from shared.domain.timestamp import format_time

EventName = Literal[
    "warmup.finished",
    "pull.observed",
    "stream.observed",
    "tag.moved",
    "mirror.bypassed",
    "mirror.distrusted",
]
Severity = Literal["INFO", "WARNING"]
WarmupOutcome = Literal[
    "pulled",
    "already_present",
    "prewarmed",
    "pull_failed",
    "not_allowed",
    "misconfigured",
    "postponed",
    "no_node",
    "timed_out",
]

PULLED: Final = "pulled"
"""Also where the container could not start after its image was pulled."""
ALREADY_PRESENT: Final = "already_present"
PREWARMED: Final = "prewarmed"
PULL_FAILED: Final = "pull_failed"
NOT_ALLOWED: Final = "not_allowed"
MISCONFIGURED: Final = "misconfigured"
POSTPONED: Final = "postponed"
NO_NODE: Final = "no_node"
TIMED_OUT: Final = "timed_out"

GOOD_OUTCOMES: Final = frozenset({PULLED, ALREADY_PRESENT, PREWARMED})


@dataclass(frozen=True, slots=True)
class Fact:
    """An entry of the log ``prestream``."""

    event: EventName
    payload: Mapping[str, Any]
    insert_id: str
    timestamp: datetime
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What every fact says it is about; None is for what is not known."""

    image: str
    """As the user wrote it."""
    mirror: str | None = None
    """The reference that nodes pull."""
    digest: str | None = None
    """What the registry answers for the reference."""
    cluster: str | None = None
    """``projects/P/locations/L/clusters/C``."""
    cause: Cause | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields that all facts share."""
        return {
            "image": self.image,
            "mirror": self.mirror,
            "digest": self.digest,
            "cluster": self.cluster,
            "cause": None if self.cause is None else self.cause.as_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The node on which something happened; None is for what is not known."""

    node: str | None = None
    node_pool: str | None = None
    accelerator: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields of a fact."""
        return {
            "node": self.node,
            "node_pool": self.node_pool,
            "accelerator": self.accelerator,
        }


NOWHERE: Final = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupFinished:
    """A warmup ended, well or not; without a Job where none was needed or none could be made."""

    subject: Subject
    outcome: WarmupOutcome
    at: datetime
    """When it ended; without a Job, when its message was published, since that never changes."""
    job: str | None = None
    job_uid: str | None = None
    message_id: str | None = None
    """Of the reference message; it stands for the warmup where there is no Job."""
    artifact: PrewarmedArtifact | None = None
    """What was prewarmed, and until when: each renewal is a warmup of its own."""
    strategy: str | None = None
    """The rung of the ladder."""
    target: str | None = None
    place: Place = NOWHERE
    started_at: datetime | None = None
    pull_seconds: float | None = None
    total_seconds: float | None = None
    image_bytes: int | None = None
    verdict: Verdict | None = None
    """None where nothing was pulled: ``streamed`` is null then."""
    evidence: tuple[Evidence, ...] = ()
    """Of what went wrong, where there is no verdict."""
    reason: str | None = None
    hint: str | None = None
    """In place of the verdict's."""
    not_before: datetime | None = None

    def as_fact(self) -> Fact:
        """
        Return the fact.

        Raises:
            ValueError: There is nothing to tell it from others by.
        """
        key = self._key()
        fields = {
            **self.subject.as_json(),
            "outcome": self.outcome,
            "strategy": self.strategy,
            "job": self.job,
            "target": self.target,
            **self.place.as_json(),
            "started_at": _time(self.started_at),
            "pull_seconds": _seconds(self.pull_seconds),
            "total_seconds": _seconds(self.total_seconds),
            "image_bytes": self.image_bytes,
            **_judged(self.verdict, self.hint, self.evidence),
            "reason": self.reason,
            "not_before": _time(self.not_before),
        }
        severity: Severity = "INFO" if self.outcome in GOOD_OUTCOMES else "WARNING"
        return _fact("warmup.finished", key, fields, self.at, severity)

    def _key(self) -> list[str | None]:
        cluster, artifact = self.subject.cluster, self.artifact
        if self.job_uid:
            return [cluster, self.job_uid]
        if artifact is not None:
            expires = format_time(artifact.expires)
            return [cluster, artifact.digest, artifact.location, expires]
        if self.message_id:
            return [cluster, self.message_id, self.subject.image, self.target]
        raise ValueError("a warmup has neither a Job nor a message")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullObserved:
    """A pod other than a warmup's pulled an image that lies in Artifact Registry."""

    subject: Subject
    at: datetime
    verdict: Verdict
    pod_uid: str | None
    container: str | None
    event_uid: str | None
    workload: str | None = None
    place: Place = NOWHERE
    pull_seconds: float | None = None
    image_bytes: int | None = None

    def as_fact(self) -> Fact:
        """Return the fact."""
        when = format_time(self.at)
        key = [self.subject.cluster, self.pod_uid, self.container, self.event_uid, when]
        fields = {
            **self.subject.as_json(),
            "workload": self.workload,
            **self.place.as_json(),
            "pull_seconds": _seconds(self.pull_seconds),
            "image_bytes": self.image_bytes,
            **_judged(self.verdict),
        }
        severity: Severity = "WARNING" if self.verdict.streamed == "not_streamed" else "INFO"
        return _fact("pull.observed", key, fields, self.at, severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamObserved:
    """A node's snapshotter says that it streams an image."""

    subject: Subject
    at: datetime
    node: str
    text: str
    """Of the statement; it tells it from others of the same second."""
    layers: int | None = None
    streamed_layers: int | None = None

    def as_fact(self) -> Fact:
        """Return the fact."""
        when = format_time(self.at)
        key = [self.subject.cluster, self.node, self.subject.image, self.text, when]
        fields = {
            **self.subject.as_json(),
            "node": self.node,
            "layers": self.layers,
            "streamed_layers": self.streamed_layers,
        }
        return _fact("stream.observed", key, fields, self.at, "INFO")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMoved:
    """A tag in use points at another digest, the subject's, than the one that runs."""

    subject: Subject
    at: datetime
    old_digest: str
    workloads: tuple[str, ...] = ()

    def as_fact(self) -> Fact:
        """Return the fact."""
        subject = self.subject
        key = [subject.cluster, subject.image, self.old_digest, subject.digest]
        fields = {
            **subject.as_json(),
            "old_digest": self.old_digest,
            "workloads": list(self.workloads),
        }
        return _fact("tag.moved", key, fields, self.at, "INFO")


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorBypassed:
    """A workload runs an upstream image though its mirror is proven in that cluster."""

    subject: Subject
    at: datetime
    period: str
    """It is said once in each."""
    workloads: tuple[str, ...] = ()
    hint: str | None = None

    def as_fact(self) -> Fact:
        """Return the fact."""
        key = [self.subject.cluster, self.subject.image, self.period]
        fields = {**self.subject.as_json(), "workloads": list(self.workloads), "hint": self.hint}
        return _fact("mirror.bypassed", key, fields, self.at, "WARNING")


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorDistrusted:
    """Pulls from a mirror failed for several pods, so no pod is rewritten to it any more."""

    subject: Subject
    """Of the last pull that failed."""
    at: datetime
    upstream: str
    pods: int
    """How many failed within minutes."""
    reason: str
    evidence: tuple[Evidence, ...] = ()

    def as_fact(self) -> Fact:
        """Return the fact."""
        key = [self.subject.cluster, self.upstream, self.subject.image, format_time(self.at)]
        fields = {
            **self.subject.as_json(),
            "upstream": self.upstream,
            "pods": self.pods,
            "reason": self.reason,
            "evidence": [each.as_json() for each in self.evidence],
            "hint": f"Mend what keeps nodes from pulling {self.upstream}'s mirror; the next warmup"
            " through it proves it again.",
        }
        return _fact("mirror.distrusted", key, fields, self.at, "WARNING")


def make_insert_id(event: EventName, key: Sequence[str | None]) -> str:
    """
    Return the insert id of a fact: at most 100 of the characters that Cloud Logging takes.

    >>> make_insert_id("tag.moved", ["c", None])[:20]
    'tag.moved-afb4d8c70f'
    """
    # As JSON, so that no two keys read the same when their parts are put together.
    digest = hashlib.sha256(json.dumps([event, *key]).encode()).hexdigest()
    return f"{event}-{digest}"


def _time(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)


def _seconds(seconds: float | None) -> float | None:
    """Return a duration; None for one that clocks which disagree make negative."""
    return None if seconds is None or seconds < 0 else float(seconds)


def _judged(
    verdict: Verdict | None, hint: str | None = None, evidence: Iterable[Evidence] = ()
) -> dict[str, Any]:
    if verdict is None:
        seen = [each.as_json() for each in evidence]
        return {"streamed": None, "evidence": seen, "hint": hint}
    return {
        "streamed": verdict.streamed,
        "evidence": [each.as_json() for each in verdict.evidence],
        "hint": hint or verdict.hint,
    }


def _fact(
    event: EventName,
    key: Sequence[str | None],
    fields: Mapping[str, Any],
    at: datetime,
    severity: Severity,
) -> Fact:
    return Fact(event, {"event": event, **fields}, make_insert_id(event, key), at, severity)
