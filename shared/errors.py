"""
The failures that a handler expects, by who is at fault.

- EventError
    - InvalidEventError    the event's: redelivery cannot help
    - TransientError       the world's: redelivery may help
        - ClusterUnavailableError
        - ManifestUnavailableError
    - ConfigurationError   the deployment's: redelivery helps after the fix
        - ClusterRefusedError  one cluster's: the delivery is ignored, and a sweep catches up
- ImageError               one image's: a fact is written, and the event is settled

Every other exception is a bug; its event is redelivered.
"""

import logging
from datetime import datetime
from typing import ClassVar, Literal

FailedOutcome = Literal[
    "pull_failed", "not_allowed", "misconfigured", "postponed", "no_node", "already_present"
]
"""The outcomes of an image that could not be warmed, as facts name them."""


class EventError(Exception):
    """Base of the failures that decide how a delivery is settled."""

    disposition: ClassVar[str]
    """The disposition in the log line of the delivery."""

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


class ClusterUnavailableError(TransientError):
    """The API server of a cluster does not answer; that of another cluster may."""


class ManifestUnavailableError(TransientError):
    """A registry answers, but not with the manifest of one image; it may serve other images."""


class ClusterRefusedError(ConfigurationError):
    """
    A cluster is not onboarded: its API server refuses our identity, or lacks our manifests.

    Nacks would slow down the deliveries of all other clusters. So the steps ignore the delivery,
    and the sweep reports the cluster once a day.
    """


class ImageError(Exception):
    """
    One image cannot be mirrored or warmed; the event and the deployment are not at fault.

    It ends in a fact, and the delivery is acknowledged: nacks slow down a whole push
    subscription, so one tenant's mistake must not cause them.

    Attributes:
        outcome: The outcome of the fact.
        hint: The remedy, in one sentence.
        not_before: The earliest time at which another try can help; ``None`` if it is not known.
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
