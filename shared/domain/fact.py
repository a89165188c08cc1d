"""
Facts: the structured log entries that Prestream writes to Cloud Logging.

A fact's insert ID is derived from its subject, and its timestamp is the time of the event, so that
a query keeps one of two copies: https://docs.cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry

=====================  ==================================================================
event                  parts of its insert ID
=====================  ==================================================================
warmup.finished        cluster, uid of the Job; without a Job: cluster, message id, image, target;
                       prewarmed: cluster, digest of the platform, region, expiry
pull.observed          cluster, uid of the pod, container, uid of the event, time
stream.observed        cluster, node, image, text, time
tag.moved              cluster, image, old and new digest
mirror.bypassed        cluster, image, period
mirror.distrusted      cluster, upstream, image, time
cluster.not_onboarded  cluster, day
=====================  ==================================================================

A fact that may need action is a WARNING: a failed warmup, a workload's pull that was provably not
streamed, an unused mirror, a cluster that is not onboarded. Any other is INFO, also a warmup with
a slow pull, because that pull had to fill the cache.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from shared.domain.json_access import mapping_of
from shared.domain.request import Cause
from shared.domain.streaming_verdict import NODE_WITHOUT_IMAGE, Evidence, Verdict
from shared.domain.timestamp import format_time

if TYPE_CHECKING:
    from shared.domain.prewarm import PrewarmedArtifact

EventName = Literal[
    "warmup.finished",
    "pull.observed",
    "stream.observed",
    "tag.moved",
    "mirror.bypassed",
    "mirror.distrusted",
    "cluster.not_onboarded",
]
_MAX_PODS: Final = 50
"""The most pods that a fact names: a log entry has a limited size."""

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
"""The pull succeeded, even if the container did not start afterwards."""
ALREADY_PRESENT: Final = "already_present"
PREWARMED: Final = "prewarmed"
PULL_FAILED: Final = "pull_failed"
NOT_ALLOWED: Final = "not_allowed"
MISCONFIGURED: Final = "misconfigured"
POSTPONED: Final = "postponed"
NO_NODE: Final = "no_node"
TIMED_OUT: Final = "timed_out"

GOOD_OUTCOMES: Final = frozenset({PULLED, ALREADY_PRESENT, PREWARMED})

_DOWNLOADED: Final = frozenset({"streamed", "likely_streamed", "not_streamed"})
"""The verdicts on pulls that moved the bytes of an image to a node that lacked them."""


def fills_cache(outcome: str | None, streamed: str | None, evidence: Iterable[Any]) -> bool:
    """
    Whether a warmup filled the streaming cache of its region, so that the image is warm.

    A node that provably did not hold the image pulled it, or Artifact Registry prewarmed it.

    Args:
        outcome: The outcome in the fact of the warmup.
        streamed: Its verdict.
        evidence: Its evidence, as JSON.

    >>> fills_cache("pulled", "unknown", [{"kind": "node_without_image"}])
    True
    >>> fills_cache("pulled", "unknown", []), fills_cache("already_present", None, [])
    (False, False)
    """
    if outcome != PULLED:
        return outcome == PREWARMED
    kinds = {mapping_of(each).get("kind") for each in evidence}
    return streamed in _DOWNLOADED or NODE_WITHOUT_IMAGE in kinds


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
    """The subject of a fact; ``None`` marks an unknown part."""

    image: str | None = None
    """The image as the user wrote it; ``None`` in a fact about a cluster."""
    mirror: str | None = None
    """The reference that nodes pull."""
    digest: str | None = None
    """The digest that the registry returns for the reference."""
    cluster: str | None = None
    """``projects/P/locations/L/clusters/C``."""
    cause: Cause | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields that all facts have."""
        return {
            "image": self.image,
            "mirror": self.mirror,
            "digest": self.digest,
            "cluster": self.cluster,
            "cause": None if self.cause is None else self.cause.as_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDetails:
    """The node of a fact; ``None`` marks an unknown part."""

    name: str | None = None
    node_pool: str | None = None
    accelerator: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields of a fact."""
        return {
            "node": self.name,
            "node_pool": self.node_pool,
            "accelerator": self.accelerator,
        }


UNKNOWN_NODE: Final = NodeDetails()


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupFinished:
    """A warmup ended; it has no Job if it did not need one, or the Job could not be created."""

    subject: Subject
    outcome: WarmupOutcome
    at: datetime
    """The end of the Job; without a Job, the publish time of its message, which never changes."""
    job: str | None = None
    job_uid: str | None = None
    message_id: str | None = None
    """The ID of the reference message, which identifies a warmup without a Job."""
    artifact: "PrewarmedArtifact | None" = None
    """The prewarmed artifact and its expiry: each renewal is a separate warmup."""
    strategy: str | None = None
    """The rung of the ladder."""
    target: str | None = None
    node: NodeDetails = UNKNOWN_NODE
    started_at: datetime | None = None
    """When the Job started; without a Job, the time of the request, if ``at`` is another."""
    pull_seconds: float | None = None
    total_seconds: float | None = None
    image_bytes: int | None = None
    verdict: Verdict | None = None
    """``None`` if nothing was pulled; then ``streamed`` is null."""
    evidence: tuple[Evidence, ...] = ()
    """The evidence of a failure without a verdict."""
    reason: str | None = None
    hint: str | None = None
    """The hint that replaces the verdict's."""
    not_before: datetime | None = None

    def as_fact(self) -> Fact:
        """
        Return the fact.

        Raises:
            ValueError: The fact has neither a Job nor a message that identifies it.
        """
        key = self._key()
        fields = {
            **self.subject.as_json(),
            "outcome": self.outcome,
            "strategy": self.strategy,
            "job": self.job,
            "target": self.target,
            **self.node.as_json(),
            "started_at": _time(self.started_at),
            "pull_seconds": _seconds(self.pull_seconds),
            "total_seconds": _seconds(self.total_seconds),
            "image_bytes": self.image_bytes,
            **_judged(self.verdict, self.hint, self.evidence),
            "reason": self.reason,
            "not_before": _time(self.not_before),
        }
        severity: Severity = "INFO" if self.outcome in GOOD_OUTCOMES else "WARNING"
        return make_fact("warmup.finished", key, fields, self.at, severity)

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
    """A workload's pod pulled an image from Artifact Registry."""

    subject: Subject
    at: datetime
    verdict: Verdict
    pod_uid: str | None
    container: str | None
    event_uid: str | None
    workload: str | None = None
    node: NodeDetails = UNKNOWN_NODE
    pull_seconds: float | None = None
    image_bytes: int | None = None

    def as_fact(self) -> Fact:
        """Return the fact."""
        when = format_time(self.at)
        key = [self.subject.cluster, self.pod_uid, self.container, self.event_uid, when]
        fields = {
            **self.subject.as_json(),
            "workload": self.workload,
            **self.node.as_json(),
            "pull_seconds": _seconds(self.pull_seconds),
            "image_bytes": self.image_bytes,
            **_judged(self.verdict),
        }
        severity: Severity = "WARNING" if self.verdict.streamed == "not_streamed" else "INFO"
        return make_fact("pull.observed", key, fields, self.at, severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamObserved:
    """A node's snapshotter reports that it streams an image."""

    subject: Subject
    at: datetime
    node: str
    text: str
    """The text of the statement, which distinguishes it from others of the same second."""
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
        return make_fact("stream.observed", key, fields, self.at, "INFO")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMoved:
    """A tag in use points to a new digest, the subject's, and not to the running one."""

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
        return make_fact("tag.moved", key, fields, self.at, "INFO")


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorDistrusted:
    """Pulls from a mirror failed, so pods are no longer rewritten to it."""

    subject: Subject
    """The digest of the last failed pull."""
    at: datetime
    upstream: str
    pods: tuple[str, ...]
    """``NAMESPACE/NAME`` of the pods that still wait for images at the mirror."""
    reason: str
    evidence: tuple[Evidence, ...] = ()

    def as_fact(self) -> Fact:
        """Return the fact."""
        key = [self.subject.cluster, self.upstream, self.subject.image, format_time(self.at)]
        fields = {
            **self.subject.as_json(),
            "upstream": self.upstream,
            "pods": list(self.pods[:_MAX_PODS]),
            "reason": self.reason,
            "evidence": [each.as_json() for each in self.evidence],
            "hint": f"Fix the failing pulls from the mirror of {self.upstream}; the next warmup"
            f" through it proves it again.{self._release}",
        }
        return make_fact("mirror.distrusted", key, fields, self.at, "WARNING")

    @property
    def _release(self) -> str:
        """The command that lets the owners of the waiting pods create them again."""
        names: dict[str, list[str]] = {}
        for pod in self.pods[:_MAX_PODS]:
            namespace, _, name = pod.partition("/")
            names.setdefault(namespace, []).append(name)
        if not names:
            return ""
        commands = (f"kubectl -n {key} delete pod {' '.join(pods)}" for key, pods in names.items())
        more = len(self.pods) - _MAX_PODS
        rest = f" ({more} more pods wait)" if more > 0 else ""
        return f" Pods that wait pull from the upstream once recreated: {'; '.join(commands)}{rest}"


def make_insert_id(event: EventName, key: Sequence[str | None]) -> str:
    """
    Return the insert ID of a fact: at most 100 characters that Cloud Logging accepts.

    >>> make_insert_id("tag.moved", ["c", None])[:20]
    'tag.moved-afb4d8c70f'
    """
    # JSON keeps the parts apart, so that different keys have different texts.
    digest = hashlib.sha256(json.dumps([event, *key]).encode()).hexdigest()
    return f"{event}-{digest}"


def _time(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)


def _seconds(seconds: float | None) -> float | None:
    """Return a duration; ``None`` if clock skew makes it negative."""
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


def make_fact(
    event: EventName,
    key: Sequence[str | None],
    fields: Mapping[str, Any],
    at: datetime,
    severity: Severity,
) -> Fact:
    """Return a fact of a kind, with the insert ID of its key."""
    return Fact(event, {"event": event, **fields}, make_insert_id(event, key), at, severity)
