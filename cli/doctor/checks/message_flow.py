"""Whether messages reach the functions: sinks, topics, subscriptions, and the dead letters."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cli.doctor.check import Check, Verdict, command, unknown
from cli.doctor.checks.iam_grants import PUBLISHES, has_grant
from cli.doctor.response import Body, GoogleRequest, NotFound, Response, Unavailable
from shared.domain.json_access import field_at, list_of, mapping_of, mappings_of, text_of

SINKS: Final[Mapping[str, str]] = {
    "prestream-audit": "prestream-audit",
    "prestream-gke-events": "prestream-gke-events",
}
"""The sinks of a project with clusters, and their topics, as in the Terraform module prestream."""

SUBSCRIPTIONS: Final[Mapping[str, str]] = {
    "prestream-audit-log": "prestream-audit",
    "prestream-build-notification": "cloud-builds",
    "prestream-image-reference": "prestream-image-references",
    "prestream-pull-event": "prestream-gke-events",
    "prestream-registry-push": "gcr",
    "prestream-scheduled-sweep": "prestream-schedule",
}
"""The push subscription of each function, and its topic, as in the Terraform module prestream."""

DEAD_LETTERS: Final = "prestream-dead-letters"
"""A topic, and the subscription that keeps what goes there."""

_APPLY: Final = "terraform -chdir=infra apply"
_WIDE_WRITER: Final = re.compile(
    r"serviceAccount:(?:service-(?:folder|org)-\d+|[fo]\d+-\d+)@gcp-sa-logging\."
)
"""The identity of a sink of a folder or an organization."""

_GONE: Final = "_deleted-topic_"


@dataclass(frozen=True, slots=True)
class SinkResponses:
    """A sink of a project, and the policy of its topic."""

    project: str
    name: str
    topic: str
    """``projects/P/topics/T``."""
    look: GoogleRequest
    sink: Response
    policy: Response
    """The name of the topic."""


def check_sink(readings: SinkResponses) -> Iterator[Check]:
    """Check that a sink sends to its topic, and has the right to."""
    subject = f"sink {readings.name} of project {readings.project}"
    sink = readings.sink
    if isinstance(sink, Unavailable):
        yield unknown("messages", "sink", subject, sink)
        return
    if isinstance(sink, NotFound):
        yield _check_absent(subject, readings)
        return
    yield _check_destination(subject, readings, sink)
    yield _check_writer(subject, readings, sink)


def _check_absent(subject: str, readings: SinkResponses) -> Check:
    """Check whether a sink of a folder or an organization covers the project."""
    policy = readings.policy
    if isinstance(policy, Unavailable):
        reason = (
            f"the project has no sink, and whether a folder has one is unknown: {policy.reason}"
        )
        unseen = Unavailable(policy.what, reason, policy.permission, policy.fix)
        return unknown("messages", "sink", subject, unseen)
    members = [
        str(member)
        for binding in ([] if isinstance(policy, NotFound) else mappings_of(policy.get("bindings")))
        for member in list_of(binding.get("members"))
    ]
    if any(_WIDE_WRITER.match(member) for member in members):
        found = "the project has no sink, but a sink of a folder or an organization may publish"
        return _make(subject, "sink", "ok", str(readings.look), found)
    found = "the sink does not exist, so log entries of the project's clusters do not arrive"
    return _make(subject, "sink", "failed", str(readings.look), found, _APPLY)


def _check_destination(subject: str, readings: SinkResponses, sink: Body) -> Check:
    look, at = str(readings.look), ("--project=" + readings.project,)
    update = ("gcloud", "logging", "sinks", "update", readings.name)
    wanted = f"pubsub.googleapis.com/{readings.topic}"
    destination = text_of(sink.get("destination")) or ""
    if sink.get("disabled") is True:
        fix = command(*update, "--no-disabled", *at)
        return _make(
            subject, "sink", "failed", look, "it is disabled, so messages do not arrive", fix
        )
    if destination != wanted:
        found = f"it sends to {destination}, not to {readings.topic}"
        return _make(subject, "sink", "failed", look, found, command(*update, wanted, *at))
    return _make(subject, "sink", "ok", look, f"it sends to {readings.topic}")


def _check_writer(subject: str, readings: SinkResponses, sink: Body) -> Check:
    writer = text_of(sink.get("writerIdentity"))
    policy = readings.policy
    what = f"the policy of {readings.topic}"
    if isinstance(policy, NotFound):
        found = f"its topic {readings.topic} is missing"
        return _make(subject, "sink-writer", "failed", what, found, _APPLY)
    if isinstance(policy, Unavailable):
        return unknown("messages", "sink-writer", subject, policy)
    if writer is None:
        return unknown(
            "messages",
            "sink-writer",
            subject,
            Unavailable(what, "the sink does not name its writer"),
        )
    if has_grant(policy, writer, PUBLISHES):
        return _make(subject, "sink-writer", "ok", what, f"{writer} may publish")
    _, project, _, topic = readings.topic.split("/")
    fix = command(
        *("gcloud", "pubsub", "topics", "add-iam-policy-binding", topic, f"--project={project}"),
        *(f"--member={writer}", "--role=roles/pubsub.publisher"),
    )
    found = f"its writer {writer} may not publish there, so Cloud Logging drops the entries"
    return _make(subject, "sink-writer", "failed", what, found, fix)


def check_subscription(topic: str, look: GoogleRequest, reading: Response) -> Iterator[Check]:
    """Check that a function receives messages, and that the failed ones are kept."""
    name = look.path.rpartition("/")[2]
    subject = f"subscription {name} of project {look.project}"
    if isinstance(reading, Unavailable):
        yield unknown("messages", "subscription", subject, reading)
        return
    if isinstance(reading, NotFound):
        found = f"the subscription does not exist, so messages of {topic} do not reach the function"
        yield _make(subject, "subscription", "failed", str(look), found, _APPLY)
        return
    fault = _find_fault(topic, reading)
    found = fault or f"it pushes the messages of {topic}"
    verdict: Verdict = "failed" if fault else "ok"
    yield _make(subject, "subscription", verdict, str(look), found, _APPLY if fault else None)
    dead = text_of(field_at(reading, ("deadLetterPolicy", "deadLetterTopic")))
    is_kept = dead is not None and not dead.startswith(_GONE)
    yield _make(
        subject,
        "dead-letter-policy",
        "ok" if is_kept else "failed",
        str(look),
        f"messages that fail repeatedly go to {dead}"
        if is_kept
        else "the subscription has no dead-letter topic: a message that always fails is lost",
        None if is_kept else _APPLY,
    )


def _find_fault(topic: str, body: Body) -> str | None:
    attached = text_of(body.get("topic")) or ""
    push = mapping_of(body.get("pushConfig"))
    if attached.startswith(_GONE) or body.get("detached") is True:
        return "its topic is deleted, so messages do not reach the function"
    if attached.rpartition("/")[2] != topic:
        return f"it is attached to {attached}, not to {topic}"
    if not push.get("pushEndpoint"):
        return "it does not have a push endpoint: messages wait until they expire"
    if not field_at(push, ("oidcToken", "serviceAccountEmail")):
        return "it pushes without an identity: the function refuses every message"
    if body.get("state") == "RESOURCE_ERROR":
        return "Pub/Sub reports that it cannot be used (RESOURCE_ERROR)"
    return None


def check_dead_letters(
    look: GoogleRequest, subscription: Response, backlog: Response
) -> Iterator[Check]:
    """Check that dead letters are kept, and that none exists."""
    subject = f"subscription {DEAD_LETTERS} of project {look.project}"
    if isinstance(subscription, Unavailable):
        yield unknown("messages", "dead-letters-kept", subject, subscription)
    elif isinstance(subscription, NotFound):
        found = "the subscription does not exist, so dead letters are lost"
        yield _make(subject, "dead-letters-kept", "failed", str(look), found, _APPLY)
    else:
        yield _make(subject, "dead-letters-kept", "ok", str(look), "dead letters are kept")
    if isinstance(backlog, NotFound):
        backlog = Unavailable(backlog.what, "the project does not exist")
    if isinstance(backlog, Unavailable):
        yield unknown("messages", "dead-letters", subject, backlog)
        return
    waiting = _count(backlog)
    what = "num_undelivered_messages in Cloud Monitoring"
    if waiting is None:
        # A subscription without any message yet does not have such a series.
        unseen = Unavailable(what, "nothing was measured within the last hour")
        yield unknown("messages", "dead-letters", subject, unseen)
        return
    pull = ("gcloud", "pubsub", "subscriptions", "pull", DEAD_LETTERS)
    yield _make(
        subject,
        "dead-letters",
        "warning" if waiting else "ok",
        what,
        f"{waiting} messages could not be handled; docs/operations.md describes how to replay them"
        if waiting
        else "no dead letter is waiting",
        command(*pull, f"--project={look.project}", "--limit=10") if waiting else None,
    )


def _count(body: Body) -> int | None:
    """Return the newest value of a series; int64 is a text in JSON."""
    for series in mappings_of(body.get("timeSeries")):
        for point in mappings_of(series.get("points")):
            value = field_at(point, ("value", "int64Value"))
            if str(value).isdecimal():
                return int(str(value))
    return None


def _make(  # noqa: PLR0913, PLR0917  # each is a field of the check
    subject: str, name: str, verdict: Verdict, looked_at: str, finding: str, fix: str | None = None
) -> Check:
    return Check(
        topic="messages",
        name=name,
        subject=subject,
        verdict=verdict,
        looked_at=looked_at,
        finding=finding,
        fix=fix,
    )
