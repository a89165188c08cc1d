"""Classify saved entries, and run the step of the function that would receive each."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn, Self, get_args

from cli.input.log_export import Found, MalformedEntry
from shared.domain.cluster import ClusterName
from shared.domain.disposition import Outcome
from shared.domain.fact import EventName, Fact
from shared.domain.json_access import mapping_of
from shared.domain.request import ReferenceRequest
from shared.errors import EventError, InvalidEventError
from shared.messages.audit_entry import AuditEntry
from shared.messages.build import BuildNotification
from shared.messages.image_request import parse_reference_request
from shared.messages.node_event import EVENTS_LOG, SNAPSHOTTER_LOG, parse_log_entry
from shared.messages.pubsub_message import PubsubMessage
from shared.messages.registry_push import RegistryPush
from shared.pipeline.detect import detect_build, detect_push, detect_write, scope_of
from shared.pipeline.execute import Executor
from shared.pipeline.observe import Observer
from shared.settings.keys import Settings

Function = Literal[
    "audit_log", "build_notification", "registry_push", "pull_event", "image_reference"
]
Disposition = Literal["handled", "ignored", "rejected", "undecided"]

UNDECIDED: Final = "pull_event would look at the pod, its node or its Job in the cluster"

_PAYLOADS = frozenset({"protoPayload", "jsonPayload", "textPayload", "logName"})
_FACTS = get_args(EventName)
_NODE_LOGS = frozenset({EVENTS_LOG, SNAPSHOTTER_LOG})


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of one entry."""

    line: int
    function: Function | None
    """The function that receives such a message; ``None`` if unknown."""
    disposition: Disposition
    """The disposition; ``undecided`` if the function would have to read a cluster."""
    details: Mapping[str, Any] = field(default_factory=dict)
    requests: tuple[ReferenceRequest, ...] = ()
    """The requests that the function would publish."""

    @property
    def reason(self) -> str:
        """The reason of an entry that is not handled."""
        return str(self.details.get("reason") or "")

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "line": self.line,
            "function": self.function,
            "disposition": self.disposition,
            **{name: value for name, value in self.details.items() if name != "published"},
            "would_publish": [request.as_json() for request in self.requests],
        }


class Replayer:
    """
    Runs saved entries through the steps of the functions, without their effects.

    Args:
        settings: The configuration.
        look: Called for each write to an API server whose object is examined.
    """

    def __init__(
        self, settings: Settings, look: Callable[[AuditEntry], object] = lambda _: None
    ) -> None:
        self.settings = settings
        self._scope = scope_of(settings)
        self._look = look
        self._published: list[ReferenceRequest] = []
        self._observer = Observer(
            settings,
            connect=_refuse_to_connect,
            # The configuration alone decides, because no service is asked.
            is_watched=lambda _: True,
            execute=Executor(NoFacts(), dry_run=True),
        )
        self._handlers: Mapping[Function, Callable[[PubsubMessage], Outcome]] = {
            "audit_log": self._handle_write,
            "build_notification": self._handle_build,
            "registry_push": self._handle_push,
            "pull_event": self._handle_report,
            "image_reference": self._handle_reference,
        }

    def replay(self, found: Found) -> Replayed:
        """Return the result of the function for an entry that arrives now."""
        if isinstance(found, MalformedEntry):
            return Replayed(found.line, None, "rejected", {"reason": found.reason})
        self._published.clear()
        function: Function | None = None
        try:
            message = _read_message(found.value, found.data)
            function = _find_function(message)
            outcome = self._handlers[function](message)
        except _ClusterNeededError:
            return Replayed(found.line, function, "undecided", {"reason": UNDECIDED})
        except EventError as exc:
            return Replayed(found.line, function, "rejected", {"reason": str(exc)})
        return Replayed(
            found.line, function, outcome.disposition, outcome.details, tuple(self._published)
        )

    @property
    def publisher(self) -> Self:
        """The publisher of the detectors, which keeps the requests."""
        return self

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        """Keep the requests of a detector."""
        self._published += requests

    def _handle_write(self, message: PubsubMessage) -> Outcome:
        entry = AuditEntry.from_message(message)
        if entry.reason_to_ignore(self._scope) is None:
            self._look(entry)
        return detect_write(entry, message.publish_time, self)

    def _handle_build(self, message: PubsubMessage) -> Outcome:
        build = BuildNotification.from_message(message)
        return detect_build(build, message.publish_time, self)

    def _handle_push(self, message: PubsubMessage) -> Outcome:
        return detect_push(RegistryPush.from_message(message), message.publish_time, self)

    def _handle_report(self, message: PubsubMessage) -> Outcome:
        return self._observer.observe(parse_log_entry(message.data))

    def _handle_reference(self, message: PubsubMessage) -> Outcome:
        """Return a saved reference, for example a dead letter, unchanged."""
        request = parse_reference_request(message)
        self.publish([request])
        return Outcome("handled", {"published": [request.image]})


class _ClusterNeededError(Exception):
    """The result depends on a cluster, which is not asked."""


class _SavedEvent(dict[str, str]):
    """A saved message, in the form of the event that its function receives."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(id="saved", source="replay", type="saved")
        self.data = data


class NoFacts:
    """A fact log that drops facts."""

    def write(self, fact: Fact) -> None:
        """Drop the fact; the outcome describes it."""


def _refuse_to_connect(name: ClusterName) -> NoReturn:
    raise _ClusterNeededError(str(name))


def _read_message(value: Mapping[str, Any], data: bytes) -> PubsubMessage:
    """
    Return the message of an entry; an entry saved from a subscription is a message already.

    The publish time is the current time, regardless of the age of the entry.
    """
    now = datetime.now(UTC)
    if isinstance(value.get("message"), dict):
        message = {**value["message"], "publishTime": now.isoformat()}
        kept = PubsubMessage.from_cloud_event(_SavedEvent({"message": message}))
        return PubsubMessage(kept.message_id, now, kept.data, kept.attributes)
    return PubsubMessage("", now, data)


def _find_function(message: PubsubMessage) -> Function:
    """
    Return the function that receives a message, from the message's form.

    Raises:
        InvalidEventError: It wakes none.
    """
    if "buildId" in message.attributes:
        return "build_notification"
    try:
        value = mapping_of(json.loads(message.data))
    except (ValueError, RecursionError) as exc:
        raise InvalidEventError(f"the data of the message is not JSON: {exc}") from exc
    if not _PAYLOADS.isdisjoint(value):
        log = str(value.get("logName")).rpartition("/")[2]
        return "pull_event" if log in _NODE_LOGS else "audit_log"
    if "status" in value and not {"id", "steps"}.isdisjoint(value):
        return "build_notification"
    if "action" in value:
        return "registry_push"
    if value.get("event") in _FACTS:
        raise InvalidEventError("a fact, which no function receives")
    if "image" in value:
        return "image_reference"
    raise InvalidEventError(
        "not a log entry, a build, a registry push or an image reference: the fields are"
        f" {', '.join(sorted(value)[:5]) or 'no field'}"
    )
