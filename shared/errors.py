"""
The failures that a handler is expected to meet, told apart by whose fault they are.

- EventError
    - InvalidEventError    the event's: redelivery cannot help
    - TransientError       the world's: redelivery may help
    - ConfigurationError   the deployment's: redelivery helps once somebody mends it
- ImageError               one image's: a fact is written, and the event is settled

What is none of these is a bug, and is redelivered.
"""

import logging
from datetime import datetime
from typing import ClassVar, Literal

FailedOutcome = Literal["pull_failed", "not_allowed", "misconfigured", "postponed", "no_node"]
"""How a fact says that an image could not be warmed."""


class EventError(Exception):
    """Base of the failures that decide what becomes of a delivery."""

    disposition: ClassVar[str]
    """The word for it in the log line of the delivery."""

    severity: ClassVar[int]
    """Level of that log line."""

    redeliver: ClassVar[bool]
    """Whether Pub/Sub is asked to deliver the message again."""


class InvalidEventError(EventError):
    """The event cannot be understood, now or ever: a poison message."""

    disposition = "rejected"
    severity = logging.ERROR
    redeliver = False


class TransientError(EventError):
    """A service that we call is unavailable, too slow, or out of our quota: try again later."""

    disposition = "deferred"
    severity = logging.WARNING
    redeliver = True


class ConfigurationError(EventError):
    """The deployment is at fault: its settings are invalid, or its identity is refused."""

    disposition = "blocked"
    severity = logging.CRITICAL
    redeliver = True


class ImageError(Exception):
    """
    One image cannot be mirrored or warmed, through no fault of the event or the deployment.

    It ends in a fact, and the delivery is acknowledged: nacks slow down a whole push
    subscription, so one tenant's mistake must not cause them.

    Attributes:
        outcome: The outcome of the fact.
        hint: What a person can do about it, in one sentence.
        not_before: When trying again can help; None where no time is known.
    """

    def __init__(
        self,
        outcome: FailedOutcome,
        reason: str,
        *,
        hint: str,
        not_before: datetime | None = None,
    ) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.hint = hint
        self.not_before = not_before
